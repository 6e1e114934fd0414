"use strict";
(() => {
  const cases = [...document.querySelectorAll("section.case")];
  const [brand, find, count] = ["brand", "find", "count"].map((id) => document.getElementById(id));
  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const each of cases) {
      const { brands, search } = each.dataset;
      each.hidden = !((!brand.value || brands.split("\n").includes(brand.value)) && words.every((word) => search.includes(word)));
      shown += each.hidden ? 0 : 1;
    }
    count.textContent = shown.toLocaleString("en") + " shown";
  };
  brand.addEventListener("change", filter);
  find.addEventListener("input", filter);
  filter();
})();
