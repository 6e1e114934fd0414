"use strict";
(() => {
  const get = (id) => document.getElementById(id);
  const GONE = "The review is not running any more. Start lookalike review again and open its new address.";
  const alert = (text) => { get("alert").textContent = text; get("alert").hidden = !text; };
  const ask = async (path, values) => {
    const settings = values === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values) };
    let answer;
    try { answer = await fetch(path, settings); } catch { throw new Error(GONE); }
    if (!answer.ok) throw new Error((await answer.text()).trim() || GONE);
    return answer;
  };
  const put = (id, html) => {
    const made = document.createElement("template");
    made.innerHTML = html;  // the server has escaped every value in it
    get(id).replaceChildren(made.content);
  };
  let asked = 0;
  const refresh = async () => {
    const mine = ++asked;
    get("value").textContent = `${Math.round(get("precision").value * 100)}%`;
    try {
      const html = await (await ask(`live/figures?precision=${get("precision").value}`)).text();
      if (mine === asked) { put("figures", html); alert(""); }
    } catch (error) { alert(error.message); }
  };
  const post = (path, then) => async () => {
    get("saved").textContent = "Working …";
    try { then(await (await ask(path, { precision: Number(get("precision").value) })).json()); alert(""); }
    catch (error) { get("saved").textContent = ""; alert(error.message); }
  };
  let waiting = null;
  get("precision").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(refresh, 120); get("value").textContent = `${Math.round(get("precision").value * 100)}%`; });
  get("save").addEventListener("click", post("live/save", ({ said }) => { get("saved").textContent = said; }));
  get("compare").addEventListener("click", post("live/compare", ({ html }) => { get("saved").textContent = ""; put("diff", html); }));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") location.href = get("back").href; });
  refresh();
})();
