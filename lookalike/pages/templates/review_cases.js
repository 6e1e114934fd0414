"use strict";
(() => {
  const get = (id) => document.getElementById(id);
  const GONE = "The review is not running any more. Start lookalike review again and open its new address.";
  const post = async (path, values, said) => {
    said.textContent = "Working …";
    try {
      let answer;
      try { answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values) }); } catch { throw new Error(GONE); }
      if (!answer.ok) throw new Error((await answer.text()).trim() || GONE);
      said.textContent = (await answer.json()).said;
      get("alert").hidden = true;
    } catch (error) { said.textContent = ""; get("alert").textContent = error.message; get("alert").hidden = false; }
  };
  for (const panel of document.querySelectorAll("[data-seller]")) {
    const said = panel.querySelector("[data-said]"), seller = panel.dataset.seller;
    panel.querySelector("[data-status]").addEventListener("change", (event) => post("case", { seller, status: event.target.value }, said));
    panel.querySelector("[data-bundle]").addEventListener("click", () => post("bundle", { seller }, said));
  }
  const find = () => { location.href = `cases?seller=${encodeURIComponent(get("seller").value)}`; };
  get("find").addEventListener("click", find);
  get("seller").addEventListener("keydown", (event) => { if (event.key === "Enter") find(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") location.href = get("back").href; });
})();
