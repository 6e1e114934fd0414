"use strict";
(() => {
  const get = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const COLOURS = ["#e69f00", "#56b4e9", "#f0e442", "#cc79a7"];
  const main = get("finding");
  const say = (id, text) => { const element = get(id); if (element) element.textContent = text; };
  const number = (value) => value.toLocaleString("en");

  let place = null, candidate = 0, photo = 0, photos = 0, group = 1, started = 0;
  let note = "", whole = false, busy = false, layers = null, blinking = null;
  let boxes = true, lines = false;
  const PANES = ["genuine-pane", "listing-pane"];
  const view = { zoom: 1, middle: [[0.5, 0.5], [0.5, 0.5]] };  // what is in the middle of each pane, in parts of the pane

  const alert = (text) => { const box = get("alert"); box.textContent = text; box.hidden = !text; };
  const GONE = "The review is not running any more. Start lookalike review again and open its new address; what you decided before is kept.";

  const ask = async (path, values) => {
    const settings = values === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values) };
    let answer;
    try { answer = await fetch(path, settings); } catch { throw new Error(GONE); }
    if (!answer.ok) throw new Error((await answer.text()).trim() || GONE);
    return answer.json();
  };

  const act = async (path, values) => {
    if (busy) return false;
    busy = true;
    try { show(await ask(path, values)); alert(""); return true; }
    catch (error) { alert(error.message); return false; }
    finally { busy = false; }
  };

  const show = (state) => {
    stopBlink();
    const shown = document.createElement("template");
    shown.innerHTML = state.html;  // the server has escaped every value in it
    place = state.place;
    layers = null; candidate = 0; photo = 0; whole = false; note = "";
    Object.assign(view, { zoom: 1, middle: [[0.5, 0.5], [0.5, 0.5]] });
    if (place === null) {
      const done = document.createElement("p");
      done.className = "empty";
      done.textContent = "Nothing waits for a verdict. See what tuning would give now (v), or the cases (c).";
      main.replaceChildren(done);
    } else {
      main.replaceChildren(shown.content);
      const data = main.querySelector(".look").dataset;
      photos = Number(data.photos); group = Number(data.group);
      for (const id of ["listing-photo", "genuine-photo"]) {
        get(id).addEventListener("load", draw);
        get(id).addEventListener("error", () => say(id === "listing-photo" ? "listing-caption" : "genuine-caption", "The photo can't be read."));
      }
      press("boxes", boxes); press("lines", lines);
      loadLayers();
    }
    get("recent-list").innerHTML = state.recent;
    const rate = state.perHour ? ` · ${number(state.perHour)} an hour · ${number(state.minutesLeft)} ${state.minutesLeft === 1 ? "minute" : "minutes"} left` : "";
    say("progress", `${number(state.judged)} of ${number(state.total)}${rate}`);
    for (const next of state.coming) for (const kind of ["photo", "genuine"]) new Image().src = `${kind}/${next}/0.jpg`;
    for (const button of document.querySelectorAll("[data-verdict], [data-step=skip], [data-step=note], [data-step=group]")) button.disabled = place === null;
    mark();
    started = performance.now();
    main.focus({ preventScroll: true });
    document.documentElement.dataset.place = place === null ? "none" : String(place);
  };

  const mark = () => {
    const button = document.querySelector("[data-step=group]");
    button.setAttribute("aria-pressed", String(whole));
    button.disabled = place === null || group < 2;
    button.querySelector("span").textContent = group > 1 ? `Whole group of ${number(group)}` : "Whole group";
    document.querySelector("[data-step=note] span").textContent = note ? "Note ✓" : "Note";
    const chosen = main.querySelector(`[data-candidate="${candidate}"]`);
    document.querySelector("[data-verdict=other_product] span").textContent = candidate ? `It is ${chosen.dataset.about}` : "Other product";
  };

  // what matches and differs

  const loadLayers = async () => {
    const asked = [place, candidate];
    say("said", "Comparing …");
    get("crops").replaceChildren();
    layers = null;
    let found;
    try { found = await ask(`evidence/${place}/${candidate}.json`); } catch { found = null; }
    if (asked[0] !== place || asked[1] !== candidate || !get("stage")) return;
    if (!found || found.error) { say("said", found?.error ?? "The photos can't be compared."); return; }
    layers = found;
    const differ = found.places.length, where = found.whole ? "in all that they share" : "around the matching points";
    const words = !found.inliers ? "No points match." :
      `${number(found.inliers)} points match${found.mirrored ? ", the listing's photo is mirrored" : ""}. ` +
      (!found.views ? "Too little to compare." : differ ? `${number(differ)} ${differ === 1 ? "place differs" : "places differ"} ${where}.` : `Nothing stands out ${where}.`);
    say("said", (found.changed ? "This photo has changed since the scan. " : "") + words);
    get("listing-photo").classList.toggle("mirrored", photo === 0 && found.mirrored);
    if (photo === 0) say("listing-caption", found.mirrored ? "Listing, shown mirrored" : "Listing");
    get("crops").replaceChildren(...found.places.map((_, at) => {
      const button = document.createElement("button");
      button.type = "button"; button.dataset.zoom = String(at);
      button.setAttribute("aria-label", `Place ${at + 1} that differs: genuine, listing`);
      const name = document.createElement("b");
      name.textContent = String(at + 1);
      button.append(name, ...["genuine", "listing"].map((which) => {
        const crop = document.createElement("img");
        crop.alt = ""; crop.src = `evidence/${place}/${candidate}/place-${at}-${which}.jpg`;
        return crop;
      }));
      return button;
    }));
    if (found.views) for (const which of ["genuine", "listing"]) get(`blink-${which}`).src = `evidence/${place}/${candidate}/view-${which}.jpg`;
    draw();
  };

  const frameOf = (pane) => {  // where the photo stands in its pane: left, top, width, height
    const image = pane.querySelector("img"), width = pane.clientWidth, height = pane.clientHeight;
    const scale = Math.min(width / (image.naturalWidth || 1), height / (image.naturalHeight || 1));
    const size = [image.naturalWidth * scale, image.naturalHeight * scale];
    const [left, top] = offset(pane);
    return [left + view.zoom * (width - size[0]) / 2, top + view.zoom * (height - size[1]) / 2, size[0] * view.zoom, size[1] * view.zoom];
  };

  const offset = (pane) => {
    const [x, y] = view.middle[PANES.indexOf(pane.id)];
    return [pane.clientWidth * (0.5 - x * view.zoom), pane.clientHeight * (0.5 - y * view.zoom)];
  };

  const element = (name, values) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
    return made;
  };

  const draw = () => {
    const overlay = get("overlay");
    if (!overlay) return;
    const panes = PANES.map(get);
    for (const pane of panes) {
      const [left, top] = offset(pane);
      pane.querySelector(".sheet").style.transform = `translate(${left}px, ${top}px) scale(${view.zoom})`;
    }
    const shapes = [];
    const at = (frame, [x, y]) => [frame[0] + x * frame[2], frame[1] + y * frame[3]];
    const frames = panes.map(frameOf);
    if (layers && photo === 0 && lines) layers.lines.forEach(([a, b, c, d], n) => {
      const [from, to] = [[1, [c, d]], [0, [a, b]]].map(([which, point]) => { const [x, y] = at(frames[which], point); return [x + panes[which].offsetLeft, y + panes[which].offsetTop]; });
      const colour = COLOURS[n % COLOURS.length];
      shapes.push(element("line", { class: "joins", x1: from[0], y1: from[1], x2: to[0], y2: to[1], stroke: colour }));
      for (const [x, y] of [from, to]) shapes.push(element("circle", { class: "end", cx: x, cy: y, r: 3.5, fill: colour }));
    });
    if (layers && photo === 0 && boxes) panes.forEach((pane, which) => {
      const clipped = element("svg", { x: pane.offsetLeft, y: pane.offsetTop, width: pane.clientWidth, height: pane.clientHeight });
      layers.places.forEach((spot, n) => {
        const corners = (which ? spot.listing : spot.reference).map((point) => at(frames[which], point));
        if (corners.length < 3) return;
        const points = corners.map((corner) => corner.join()).join(" ");
        const [x, y] = [Math.min(...corners.map((c) => c[0])), Math.max(15, Math.min(...corners.map((c) => c[1])))];
        const text = element("text", { class: "number", x: x + 4, y: y - 3 });
        text.textContent = String(n + 1);
        clipped.append(element("polygon", { class: "halo", points }), element("polygon", { class: "box", points }),
          element("rect", { class: "tag", x, y: y - 15, width: 15, height: 15 }), text);
      });
      shapes.push(clipped);
    });
    overlay.replaceChildren(...shapes);
  };

  // zoom, in step

  const within = (value) => Math.min(Math.max(value, 0.5 / view.zoom), 1 - 0.5 / view.zoom);
  const zoomTo = (zoom, middle = view.middle) => {
    view.zoom = Math.min(Math.max(zoom, 1), 12);
    view.middle = middle.map((point) => point.map(within));
    draw();
  };
  const pan = (x, y) => zoomTo(view.zoom, view.middle.map(([u, v]) => [u + x / view.zoom, v + y / view.zoom]));
  const zoomOn = (at) => {
    const spot = layers?.places[at];
    if (!spot) return;
    if (view.zoom > 1) { zoomTo(1); return; }
    zoomTo(4, PANES.map((id, which) => {
      const pane = get(id), [left, top, width, height] = frameOf(pane), outline = which ? spot.listing : spot.reference;
      const [x, y] = [0, 1].map((axis) => outline.reduce((sum, point) => sum + point[axis], 0) / (outline.length || 1));
      return [(left + x * width) / pane.clientWidth, (top + y * height) / pane.clientHeight];
    }));
  };

  // blink

  const startBlink = () => {
    if (blinking || !layers?.views) { if (layers && !layers.views) say("said", "Too little in common to lay one over the other."); return; }
    get("blink").hidden = false;
    let genuine = true;
    const turn = () => {
      get("blink-genuine").classList.toggle("on", genuine);
      get("blink-listing").classList.toggle("on", !genuine);
      say("blink-name", genuine ? "Genuine" : "Listing");
      genuine = !genuine;
    };
    turn();
    blinking = setInterval(turn, matchMedia("(prefers-reduced-motion: reduce)").matches ? 1200 : 450);
  };
  const stopBlink = () => { clearInterval(blinking); blinking = null; if (get("blink")) get("blink").hidden = true; };

  const press = (tool, on) => main.querySelector(`[data-tool=${tool}]`)?.setAttribute("aria-pressed", String(on));
  const tools = {
    boxes: () => { boxes = !boxes; press("boxes", boxes); draw(); }, lines: () => { lines = !lines; press("lines", lines); draw(); },
    in: () => zoomTo(view.zoom * 1.5), out: () => zoomTo(view.zoom / 1.5), whole: () => zoomTo(1),
  };

  const showPhoto = (at) => {
    if (at >= photos) return;
    photo = at;
    get("listing-photo").src = `photo/${place}/${at}.jpg`;
    get("listing-photo").classList.toggle("mirrored", at === 0 && Boolean(layers?.mirrored));
    say("listing-caption", at === 0 ? "Listing" : `Listing, photo ${at + 1}`);
    for (const button of main.querySelectorAll("[data-photo]")) button.setAttribute("aria-pressed", String(Number(button.dataset.photo) === at));
    draw();
  };

  const showCandidate = (at) => {
    const chosen = main.querySelector(`[data-candidate="${at}"]`);
    if (!chosen) return;
    candidate = at;
    if (photo) showPhoto(0);
    get("genuine-photo").src = `genuine/${place}/${at}.jpg`;
    say("genuine-caption", `Genuine: ${chosen.dataset.about}`);
    for (const button of main.querySelectorAll("[data-candidate]")) button.setAttribute("aria-pressed", String(button === chosen));
    mark();
    loadLayers();
  };

  // verdicts and steps

  const judge = (verdict) => {
    if (place === null) return;
    const seconds = (performance.now() - started) / 1000;
    const instead = verdict === "other_product" && candidate > 0 ? candidate : null;
    act("verdict", { place, verdict, note, seconds, instead, group: whole });
  };
  const steps = {
    skip: () => { if (place !== null) act("skip", { place }); }, undo: () => act("undo", {}),
    group: () => { if (group > 1) { whole = !whole; mark(); } },
    note: () => { if (place !== null) { get("note-text").value = note; get("note").showModal(); } },
    recent: () => { get("recent").showModal(); get("recent-list").querySelector("button")?.focus(); },
  };
  const follow = (id) => { location.href = get(id).href; };
  const keys = {
    b: tools.boxes, m: tools.lines, "+": tools.in, "=": tools.in, "-": tools.out, 0: tools.whole,
    ArrowLeft: () => pan(-0.15, 0), ArrowRight: () => pan(0.15, 0), ArrowUp: () => pan(0, -0.15), ArrowDown: () => pan(0, 0.15),
    p: () => { if (photos > 1) showPhoto((photo + 1) % photos); }, v: () => follow("to-live"), c: () => follow("to-cases"), "?": () => get("keys").showModal(),
  };
  for (const button of document.querySelectorAll("[data-verdict]")) keys[button.dataset.key] = () => judge(button.dataset.verdict);
  for (const button of document.querySelectorAll("[data-step]")) keys[button.dataset.key] = steps[button.dataset.step];

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (!get("letters").checked && /^[!-~]$/.test(event.key)) return;
    if (event.key === " ") {
      if (event.target.closest("button, a, input, textarea")) return;
      if (!event.repeat) startBlink();
    } else if (/^[1-9]$/.test(event.key)) showCandidate(Number(event.key) - 1);
    else if (Object.hasOwn(keys, event.key)) { if (!event.repeat || event.key.startsWith("Arrow")) keys[event.key](); }
    else return;
    event.preventDefault();
  });
  document.addEventListener("keyup", (event) => { if (event.key === " ") stopBlink(); });
  window.addEventListener("blur", stopBlink);

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { verdict, step, tool, zoom, candidate: other, photo: other_photo, open, reopen } = button.dataset;
    if (verdict) judge(verdict);
    else if (step) steps[step]();
    else if (tool && tools[tool]) tools[tool]();
    else if (zoom) zoomOn(Number(zoom));
    else if (other) showCandidate(Number(other));
    else if (other_photo) showPhoto(Number(other_photo));
    else if (open) act("open", { place: Number(open) });
    else if (reopen) { get("recent").close(); act("reopen", { number: Number(reopen) }); }
  });
  main.addEventListener("pointerdown", (event) => {
    if (event.target.closest("[data-tool=blink]")) startBlink();
    const stage = event.target.closest("#stage");
    if (!stage) return;
    let [x, y] = [event.clientX, event.clientY];
    const width = get("listing-pane").clientWidth, height = get("listing-pane").clientHeight;
    const move = (moved) => { pan((x - moved.clientX) / width, (y - moved.clientY) / height); [x, y] = [moved.clientX, moved.clientY]; };
    const stop = () => { document.removeEventListener("pointermove", move); document.removeEventListener("pointerup", stop); };
    document.addEventListener("pointermove", move);
    document.addEventListener("pointerup", stop);
  });
  document.addEventListener("pointerup", stopBlink);
  main.addEventListener("wheel", (event) => {
    const pane = event.target.closest(".pane");
    if (!pane) return;
    event.preventDefault();
    const box = pane.getBoundingClientRect(), by = event.deltaY < 0 ? 1.25 : 0.8;
    const [u, v] = [(event.clientX - box.left) / box.width - 0.5, (event.clientY - box.top) / box.height - 0.5];
    const zoom = Math.min(Math.max(view.zoom * by, 1), 12);
    zoomTo(zoom, view.middle.map(([x, y]) => [x + u / view.zoom - u / zoom, y + v / view.zoom - v / zoom]));
  }, { passive: false });
  main.addEventListener("dblclick", (event) => { if (event.target.closest(".pane")) zoomTo(view.zoom > 1 ? 1 : 3); });
  new ResizeObserver(draw).observe(main);

  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => main.focus({ preventScroll: true }));
  }
  get("note-text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    note = get("note-text").value;
    get("note").close();
    mark();
  });
  get("help").addEventListener("click", () => get("keys").showModal());
  get("letters").checked = localStorage.getItem("lookalike-letters") !== "off";
  get("letters").addEventListener("change", () => localStorage.setItem("lookalike-letters", get("letters").checked ? "on" : "off"));

  const opened = new URLSearchParams(location.search).get("open");
  act(opened && /^\d+$/.test(opened) ? `finding/${opened}` : "next");
})();
