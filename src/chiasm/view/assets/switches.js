"use strict";
// Third: switches, matrices to be sorted, and the start.
// ---- switches ------------------------------------------------------------------------------------------------------
controls.addEventListener("input", () => {
  const input = (name, more = "") => /** @type {HTMLInputElement} */ (controls.querySelector(`[name=${name}]${more}`));
  settings.show = input("show", ":checked").value;
  settings.as = input("as", ":checked").value;
  settings.faint = input("faint").checked;
  settings.lines = input("lines").checked;
  settings.common = input("common")?.checked ?? false;
  settings.opacity = Number(input("opacity").value);
  for (const box of /** @type {NodeListOf<HTMLInputElement>} */ (controls.querySelectorAll("[name=method]"))) {
    shown.find((method) => method.name === box.value).section.hidden = !box.checked;
  }
  for (const picture of document.querySelectorAll(".panels svg.picture .areas")) smooth(picture);
  later();
});
// A smooth map is the same colours out of focus, by half the size of a player.
function smooth(areas) {
  const box = areas.getBoundingClientRect();
  const size = Math.sqrt(box.width * box.height / Math.max(1, areas.children.length));
  areas.style.filter = settings.as === "smooth" ? `blur(${(0.45 * size).toFixed(1)}px)` : "";
  areas.style.clipPath = settings.as === "smooth" ? "fill-box" : "";
}

// ---- sorting a matrix by one of its columns ------------------------------------------------------------------------
for (const table of /** @type {NodeListOf<HTMLTableElement>} */ (document.querySelectorAll(".matrix table"))) {
  const body = table.tBodies[0], original = [...body.rows];
  [...table.tHead.rows[0].cells].slice(1).forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.title = "sort the rows by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { none: "descending", descending: "ascending", ascending: "none" }[head.getAttribute("aria-sort") ?? "none"];
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      if (next !== "none") head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const value = (row) => Number(row.cells[column + 1].dataset.value ?? 0);
      body.replaceChildren(...(next === "none" ? original : [...original].sort((a, b) => sign * (value(a) - value(b)))));
    });
  });
}

document.documentElement.classList.add("live");
controls.hidden = readout.hidden = false;
const hide = (name) => {
  const input = controls.querySelector(`[name=${name}]`);
  (input.closest("fieldset") ?? input.closest("label")).hidden = true;
};
if (!shown.some((method) => method.data.pairs.length)) ["show", "lines"].forEach(hide);
if (!shown.some((method) => method.data.errors || method.data.pairs.some((block) => block.errors))) hide("faint");
const kinds = new Set(shown.map((method) => method.data.quantity));
if (kinds.size === shown.length) controls.querySelector("[name=common]")?.closest("label").remove();
for (const method of shown) new ResizeObserver(later).observe(method.panels);
draw();
