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
    const groups = [element.closest(".product"), element.closest(".brand")];
    return { element, verdict, kind, brand, search, groups, rank: Number(rank), price: price === "" ? -1 : Number(price) };
  });
  const cardOf = new Map(cards.map((card) => [card.element, card]));
  const groups = [...document.querySelectorAll("details")].map((element) => ({
    element, tallies: [...element.querySelector("summary").querySelectorAll(".tally")],
  }));

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
    write();
  };

  const focus = (card) => {
    current = card;
    card.element.focus({ preventScroll: true });
    card.element.scrollIntoView({ block: "nearest" });
  };

  const step = (by) => {
    const folded = (card) => order.value === "" && card.groups.some((group) => !group.open);
    const reachable = evidence.open ? sequence : sequence.filter((card) => !folded(card));
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
    o: () => { if (current) open(current); }, l: () => follow(),
    f: () => toggle("verdict", "flagged"), r: () => toggle("verdict", "review"), c: () => toggle("verdict", "clear"),
    1: () => toggle("kind", "copied_photo"), 2: () => toggle("kind", "same_print"), 3: () => toggle("kind", "lookalike"),
    g: () => { order.value = order.value ? "" : "strength"; change(); if (current) focus(current); },
    x: () => fold(), 0: () => reset(), "/": () => find.focus(), "?": () => get("keys").showModal(),
  };
  const inEvidence = new Set(["j", "k", "ArrowRight", "ArrowLeft", "l"]);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || get("keys").open) return;
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
