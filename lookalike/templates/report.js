"use strict";
(() => {
  const main = document.querySelector("main");
  const cards = [...main.querySelectorAll("article")];
  const boxes = [...document.querySelectorAll(".chip input")];
  const [brand, sort, find, count] = ["brand", "sort", "find", "count"].map((id) => document.getElementById(id));
  const price = (card) => (card.dataset.price === "" ? -1 : Number(card.dataset.price));
  const filter = () => {
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const { verdict, brand: of, search } = card.dataset;
      card.hidden = !(verdicts.has(verdict) && (!brand.value || brand.value === of) && words.every((word) => search.includes(word)));
      shown += card.hidden ? 0 : 1;
    }
    count.textContent = shown.toLocaleString("en") + " shown";
  };
  const order = () => {
    const sorted = sort.value === "price" ? [...cards].sort((a, b) => price(b) - price(a)) : cards;
    main.append(...sorted);
  };
  for (const box of boxes) box.addEventListener("change", filter);
  brand.addEventListener("change", filter);
  find.addEventListener("input", filter);
  sort.addEventListener("change", order);
  filter();
})();
