"use strict";
(() => {
  const get = (id) => document.getElementById(id);
  const [brand, order, find, evidence, view] = ["brand", "order", "find", "evidence", "view"].map(get);
  const boxes = [...document.querySelectorAll(".chip input")];
  const boxesOf = (name) => boxes.filter((box) => box.name === name);
  const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const hide = (element, hidden) => { if (element.hidden !== hidden) element.hidden = hidden; };
  const number = (value) => value.toLocaleString("en");

  const cards = [...document.querySelectorAll("article")].map((element) => {
    const { verdict, kind, brand, search, rank, price } = element.dataset;
    const groups = [element.closest(".rest"), element.closest(".product"), element.closest(".brand")].filter(Boolean);
    return { element, verdict, kind, brand, search, groups, rank: Number(rank), price: price === "" ? -1 : Number(price) };
  });
  const cardOf = new Map(cards.map((card) => [card.element, card]));
  const groups = [...document.querySelectorAll("details")].map((element) => ({
    element, tallies: [...element.querySelector("summary").querySelectorAll(".tally")],
  }));

  const rests = groups.filter(({ element }) => element.className === "rest").map(({ element }) => element);

  let sequence = cards;  // in the order shown, those that pass the filters
  let current = null;
  let opened = null;  // the finding that the evidence shows, until the page has the focus again

  const filter = () => {
    const shown = { verdict: new Set(), kind: new Set() };
    for (const box of boxes) if (box.checked) shown[box.name].add(box.value);
    const kinds = boxesOf("kind").length > 0;
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const counts = { verdict: new Map(), kind: new Map() };
    const tallies = new Map(groups.map(({ element }) => [element, new Map()]));
    const add = (map, key) => map.set(key, (map.get(key) ?? 0) + 1);
    let passed = 0;
    for (const card of cards) {
      const common = (!brand.value || brand.value === card.brand) && words.every((word) => card.search.includes(word));
      const byVerdict = shown.verdict.has(card.verdict), byKind = !kinds || shown.kind.has(card.kind);
      if (common && byKind) add(counts.verdict, card.verdict);
      if (common && byVerdict) add(counts.kind, card.kind);
      const passes = common && byVerdict && byKind;
      hide(card.element, !passes);
      if (!passes) continue;
      passed += 1;
      for (const group of card.groups) add(tallies.get(group), card.verdict);
    }
    for (const box of boxes) say(box.nextElementSibling, number(counts[box.name].get(box.value) ?? 0));
    for (const group of groups) {
      const tally = tallies.get(group.element);
      hide(group.element, tally.size === 0);
      for (const element of group.tallies) {
        const many = tally.get(element.dataset.verdict) ?? 0;
        hide(element, many === 0);
        say(element.firstElementChild, number(many));
      }
    }
    if (shown.verdict.has("clear") && !shown.verdict.has("flagged") && !shown.verdict.has("review")) for (const rest of rests) rest.open = true;
    say(get("count"), passed === cards.length ? `${number(passed)} shown` : `${number(passed)} of ${number(cards.length)} shown`);
    say(get("filtered"), passed === cards.length ? "" : `Filtered: ${number(passed)} of ${number(cards.length)} findings; ${describe(words)}.`);
    hide(get("none"), passed > 0);
    hide(get("reset"), passed === cards.length && !find.value);
    arrange();
  };

  const describe = (words) => [
    ...["verdict", "kind"].filter((name) => boxesOf(name).some((box) => !box.checked)).map((name) =>
      `${name} ${boxesOf(name).filter((box) => box.checked).map((box) => box.dataset.name ?? box.value).join(" or ") || "none"}`),
    ...(brand.value ? [`brand ${brand.value}`] : []),
    ...(words.length ? [`with “${words.join(" ")}”`] : []),
  ].join("; ");

  let arranged = "";
  const homes = cards.map(({ element }) => element.parentElement);
  const arrange = () => {
    const sorted = [...cards];
    if (order.value === "strength") sorted.sort((a, b) => a.rank - b.rank);
    if (order.value === "price") sorted.sort((a, b) => b.price - a.price || a.rank - b.rank);
    if (arranged !== order.value) {
      if (order.value) get("flat").append(...sorted.map((card) => card.element));
      else cards.forEach((card, at) => homes[at].append(card.element));
      arranged = order.value;
    }
    hide(get("groups"), order.value !== "");
    hide(get("flat"), order.value === "");
    hide(get("fold"), order.value !== "");
    sequence = sorted.filter((card) => !card.element.hidden);
  };

  const write = () => {
    const state = new URLSearchParams();
    for (const name of ["verdict", "kind"]) {
      const of = boxesOf(name);
      if (of.some((box) => !box.checked)) state.set(name, of.filter((box) => box.checked).map((box) => box.value).join(","));
    }
    if (brand.value) state.set("brand", brand.value);
    if (find.value) state.set("find", find.value);
    if (order.value) state.set("order", order.value);
    if (evidence.open && opened) state.set("listing", current.element.dataset.listing);
    const hash = state.toString();
    if (hash !== location.hash.slice(1)) history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  };

  const read = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const name of ["verdict", "kind"]) {
      const values = state.has(name) ? new Set(state.get(name).split(",")) : null;
      for (const box of boxesOf(name)) box.checked = values === null || values.has(box.value);
    }
    for (const [element, name] of [[brand, "brand"], [order, "order"]]) {
      element.value = state.get(name) ?? "";
      if (element.selectedIndex < 0) element.value = "";
    }
    find.value = state.get("find") ?? "";
    filter();
    const listing = state.get("listing");
    const card = listing === null ? null : sequence.find(({ element }) => element.dataset.listing === listing);
    if (card) open(card);
    else if (evidence.open) evidence.close();
  };

  const change = () => { filter(); write(); };

  const open = (card) => {
    current = opened = card;
    view.replaceChildren(...[...card.element.children].map((child) => child.cloneNode(true)));
    view.className = card.element.className;
    evidence.setAttribute("aria-label", card.element.getAttribute("aria-label"));
    say(get("place"), `${number(sequence.indexOf(card) + 1)} of ${number(sequence.length)}`);
    if (!evidence.open) evidence.showModal();
    evidence.scrollTop = view.scrollTop = 0;
    press();
    write();
  };

  // verdicts: they stay in the browser's storage, by listing, product and photo, until they are downloaded

  const STORE = "lookalike-verdicts";
  const names = new Map([...document.querySelectorAll("[data-judgement]")].map((button) => [button.dataset.judgement, button.lastChild.textContent.trim()]));
  const given = (() => {
    try {
      const kept = JSON.parse(localStorage.getItem(STORE) ?? "{}");
      return new Map(Object.entries(kept).filter(([, { verdict }]) => names.has(verdict)));
    } catch { return new Map(); }
  })();
  const undone = [];

  const keep = () => {
    try { localStorage.setItem(STORE, JSON.stringify(Object.fromEntries(given))); } catch { return false; }
    return true;
  };

  const mark = (card) => {
    const { verdict, note } = given.get(card.element.dataset.key) ?? {};
    const said = card.element.querySelector(".said");
    hide(said, !verdict);
    say(said, verdict ? `✓ ${names.get(verdict)}${note ? ", with a note" : ""}` : "");
  };

  const press = () => {
    const now = opened && given.get(opened.element.dataset.key)?.verdict;
    for (const button of document.querySelectorAll("[data-judgement]")) button.setAttribute("aria-pressed", String(button.dataset.judgement === now));
  };

  const count = (stored = true) => {
    const many = cards.filter((card) => given.has(card.element.dataset.key)).length;
    say(get("judged"), many ? `${number(many)} with a verdict${stored ? "" : ", which this browser does not keep: download them"}` : "");
    hide(get("save"), many === 0);
  };

  const set = (card, value) => {
    const { key } = card.element.dataset;
    if (value) given.set(key, value); else given.delete(key);
    const stored = keep();
    mark(card);
    count(stored);
  };

  const judge = (verdict) => {
    const card = evidence.open ? opened : current;
    if (!card) return;
    const before = given.get(card.element.dataset.key);
    undone.push([card, before]);
    set(card, { verdict, note: before?.note ?? "", day: new Date().toISOString().slice(0, 10) });
    step(1);
    press();
  };

  const undo = () => {
    const [card, before] = undone.pop() ?? [];
    if (!card) return;
    set(card, before);
    if (evidence.open) open(card); else focus(card);
  };

  const write_note = () => {
    const card = evidence.open ? opened : current;
    const kept = card && given.get(card.element.dataset.key);
    if (!kept) return;  // a note is about a verdict
    get("text").value = kept.note;
    get("writing").showModal();
    get("writing").addEventListener("close", () => set(card, { ...kept, note: get("text").value }), { once: true });
  };

  // a cell as lookalike itself writes CSV: with an apostrophe before what a spreadsheet would run, which tune takes off
  const cell = (value) => {
    const marked = /^'*[=+\-@\t\r\n＝＋－＠]/.test(value) && !/^[+-]\d*\.?\d+$/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(marked) ? `"${marked.replaceAll('"', '""')}"` : marked;
  };
  const alike = { lookalike: "true", authorised: "true", not_lookalike: "false", other_product: "false", harmless: "false" };

  const save = () => {
    const lines = [["listing_id", "product_id", "brand", "lookalike", "date", "verdict", "note"]];
    for (const { element: { dataset } } of cards) {
      const said = given.get(dataset.key);
      if (said && said.verdict in alike) lines.push([dataset.listing, dataset.product, dataset.brand, alike[said.verdict], said.day, said.verdict, said.note]);
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.map((line) => line.map(cell).join(",") + "\n").join("")], { type: "text/csv" }));
    link.download = "verdicts.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  };

  const focus = (card) => {
    current = card;
    card.element.focus({ preventScroll: true });
    card.element.scrollIntoView({ block: "nearest" });
  };

  const step = (by) => {
    const folded = (card) => order.value === "" && card.groups.some((group) => !group.open);
    const aside = (card) => card !== opened && card.groups[0].className === "rest" && !card.groups[0].open && order.value === "";
    const reachable = sequence.filter((card) => !(evidence.open ? aside(card) : folded(card)));
    if (!reachable.length) return;
    const at = reachable.indexOf(current);
    const card = at < 0 ? reachable[0] : reachable[Math.min(Math.max(at + by, 0), reachable.length - 1)];
    if (evidence.open) open(card); else focus(card);
  };

  const fold = () => {
    const pressed = get("fold").getAttribute("aria-pressed") !== "true";
    get("fold").setAttribute("aria-pressed", String(pressed));
    for (const { element } of groups) if (element.className === "product") element.open = !pressed;
  };

  const reset = () => {
    for (const box of boxes) box.checked = true;
    brand.value = find.value = "";
    change();
  };

  const toggle = (name, value) => {
    const box = boxesOf(name).find((box) => box.value === value);
    if (box) { box.checked = !box.checked; change(); }
  };

  const follow = () => (evidence.open ? view : current?.element)?.querySelector("dd a")?.click();

  const keys = {
    j: () => step(1), ArrowRight: () => step(1), k: () => step(-1), ArrowLeft: () => step(-1),
    w: () => follow(), t: () => write_note(), z: () => undo(), d: () => save(),
    l: () => judge("lookalike"), n: () => judge("not_lookalike"), o: () => judge("other_product"),
    h: () => judge("harmless"), a: () => judge("authorised"), u: () => judge("unsure"),
    f: () => toggle("verdict", "flagged"), r: () => toggle("verdict", "review"), c: () => toggle("verdict", "clear"),
    1: () => toggle("kind", "copied_photo"), 2: () => toggle("kind", "same_print"), 3: () => toggle("kind", "lookalike"),
    g: () => { order.value = order.value ? "" : "strength"; change(); if (current) focus(current); },
    x: () => fold(), 0: () => reset(), "/": () => find.focus(), "?": () => get("keys").showModal(),
  };
  const inEvidence = new Set(["j", "k", "ArrowRight", "ArrowLeft", ..."wtzlnohau"]);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || get("keys").open || get("writing").open) return;
    if (event.target.matches("select, input[type=search]")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "Enter" && cardOf.has(event.target)) open(cardOf.get(event.target));
    else if (Object.hasOwn(keys, event.key) && (!evidence.open || inEvidence.has(event.key))) keys[event.key]();
    else return;
    event.preventDefault();
  });

  document.querySelector("main").addEventListener("click", (event) => {
    const card = cardOf.get(event.target.closest("article"));
    if (card && event.target.closest(".pair, .open")) open(card);
  });
  document.addEventListener("focusin", (event) => {
    if (!evidence.open && !opened) current = cardOf.get(event.target.closest("article")) ?? current;
  });
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  }
  evidence.addEventListener("close", () => {
    const card = opened;
    opened = null;
    write();
    if (!order.value) for (const group of card.groups) group.open = true;
    focus(card);
  });
  for (const button of document.querySelectorAll("[data-judgement]")) button.addEventListener("click", () => judge(button.dataset.judgement));
  get("note").addEventListener("click", write_note);
  get("undo").addEventListener("click", undo);
  get("save").addEventListener("click", save);
  cards.forEach(mark);
  count();
  get("previous").addEventListener("click", () => step(-1));
  get("next").addEventListener("click", () => step(1));
  get("help").addEventListener("click", () => get("keys").showModal());
  get("fold").addEventListener("click", fold);
  get("reset").addEventListener("click", reset);
  for (const control of [...boxes, brand, order]) control.addEventListener("change", change);
  find.addEventListener("input", change);
  window.addEventListener("hashchange", read);
  read();
})();
