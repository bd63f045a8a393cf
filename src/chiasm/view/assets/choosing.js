"use strict";
// Second: what is pointed at and what is kept, by pointer, touch and keyboard, and what is said of it.
// ---- what is chosen, in words --------------------------------------------------------------------------------------
const bold = (text) => Object.assign(document.createElement("b"), { textContent: text, dir: "auto" });
function tell(drawn) {
  const chosen = chosenNow();
  readout.replaceChildren();
  if (!chosen.length) {
    const linked = settings.lines && shown.some((method) => method.strongest.length);
    readout.append("Point at a word or an area to see what it works with. Click keeps it, more clicks add others, Esc lets go.",
      linked ? " Lines: the strongest pairs." : "");
    return;
  }
  const several = drawn.filter(([method]) => !method.section.hidden);
  const bare = several.filter(([method]) => !method.data.pairs.length);
  for (const [method, { partnered, limit }] of several) {
    if (bare.length > 1 && !method.data.pairs.length) continue;  // all of them in one line below
    if (readout.childNodes.length) readout.append(document.createElement("br"));
    if (several.length > 1) readout.append(bold(method.name), ": ");
    chosen.forEach((one, k) => readout.append(k ? " and " : "", bold(`“${labelOf(one)}”`)));
    const own = chosen.map(({ part, index }) => method.data.single[part][index]);
    if (chosen.length === 1 && own[0] !== null) readout.append(` alone ${number(own[0], method.data.limit)}`);
    if (!method.data.pairs.length) {
      readout.append("; this method gives no pairs.");
      continue;
    }
    if (chosen.length === 2 && method.pair(...chosen)) {
      const { value, error } = method.pair(...chosen);
      readout.append("; with each other ", chip(value, method.data.pairLimit, error));
    }
    const found = partners(method, chosen, partnered);
    readout.append(found.length ? "; with " : "; no partner can be told from noise.");
    found.slice(0, NAMED).forEach((partner, k) => {
      readout.append(k ? ", " : "", bold(labelOf(partner)), " ", chip(partner.value, limit, partner.error));
    });
    if (found.length > NAMED) readout.append(` and ${found.length - NAMED} more`);
  }
  if (bare.length > 1) {
    if (readout.childNodes.length) readout.append(document.createElement("br"));
    chosen.forEach((one, k) => {
      readout.append(k ? "; " : "", bold(`“${labelOf(one)}”`), " alone: ");
      bare.forEach(([{ name, data }], j) => {
        readout.append(j ? ", " : "", bold(name), ` ${number(data.single[one.part][one.index], data.limit)}`);
      });
    });
    readout.append("; these methods give no pairs.");
  }
}
function chip(value, limit, error) {
  const made = document.createElement("span");
  made.className = value > 0 ? "up" : "down";
  made.textContent = number(value, limit) + (error === null ? "" : ` ± ${number(error, limit, false)}`);
  return made;
}

// ---- choosing ------------------------------------------------------------------------------------------------------
function chosenNow() {
  const found = new Map(pinned);
  for (const one of pointed) found.set(key(one.part, one.index), one);
  return [...found.values()];
}
const shown = [...document.querySelectorAll("section[data-method]")].map((section) => new Method(section));
let waiting = false;
function draw() {
  waiting = false;
  const chosen = chosenNow();
  for (const method of shown) method.prepare(chosen);
  tell(shown.map((method) => [method, method.draw(chosen)]));
  mark("chosen", new Set(chosen.map(({ part, index }) => key(part, index))));
  mark("pinned", new Set(pinned.keys()));
}
// Wherever a player stands on the page; only what changes is touched.
const everywhere = new Map();
const marked = { chosen: new Set(), pinned: new Set() };
function mark(name, wanted) {
  for (const player of new Set([...marked[name], ...wanted])) {
    for (const element of everywhere.get(player) ?? []) {
      element.classList.toggle(name, wanted.has(player));
      if (name === "pinned" && element.hasAttribute("aria-pressed")) element.setAttribute("aria-pressed", wanted.has(player));
    }
  }
  marked[name] = wanted;
}
function later() {
  if (!waiting) requestAnimationFrame(draw);
  waiting = true;
}
function point(found) {
  const same = found.length === pointed.length && found.every((one, k) => one.part === pointed[k].part && one.index === pointed[k].index);
  if (same) return;
  pointed = found;
  later();
}
function toggle(found) {
  const every = found.every(({ part, index }) => pinned.has(key(part, index)));
  for (const one of found) {
    if (every) pinned.delete(key(one.part, one.index));
    else pinned.set(key(one.part, one.index), one);
  }
  later();
}

// The players that something on the page stands for: itself, or the row and the column of a matrix's cell.
function meant(target) {
  const element = target.closest?.("[data-part][data-index]");
  if (element && labels[element.dataset.part]) return [idOf(element)];
  const cell = target.closest?.(".matrix td");
  if (cell) {
    const head = cell.closest("table").tHead.rows[0].cells[cell.cellIndex];
    return [cell.parentElement.querySelector("[data-index]"), head].filter(Boolean).map(idOf);
  }
  const pair = target.closest?.("table.pairs tbody tr");
  return pair ? [...pair.querySelectorAll("[data-index]")].map(idOf) : [];
}
document.addEventListener("pointerover", (event) => {
  if (event.pointerType === "touch") return;
  point(meant(event.target));
  hint(event.target);
});
document.addEventListener("pointerleave", () => point([]));
document.addEventListener("focusin", (event) => {
  const target = /** @type {Element} */ (event.target);
  point(target.matches(":focus-visible") ? meant(target) : []);
  hint(target);
});
function hint(target) {
  const element = target.closest?.(".panels [data-part][data-index]");
  const method = element && shown.find(({ panels }) => panels.contains(element));
  if (method?.shown) method.hint(element);
}
document.addEventListener("focusout", () => point([]));
document.addEventListener("click", (event) => {
  const target = /** @type {Element} */ (event.target);
  if (target.closest(".sort, a, input, label, summary")) return;
  const found = meant(target);
  if (found.length) toggle(found);
});

// ---- keyboard: one stop of Tab for each panel, arrows inside -------------------------------------------------------
const stops = [];
for (const element of document.querySelectorAll(".panels [data-part][data-index], .player-name, .matrix thead [data-index]")) {
  if (!everywhere.has(keyOf(element))) everywhere.set(keyOf(element), []);
  everywhere.get(keyOf(element)).push(element);
}
for (const method of shown) {
  for (const picture of method.pictures) picture.setAttribute("role", "group");
  for (const figure of method.panels.querySelectorAll("figure")) {
    const inside = [...figure.querySelectorAll("[data-part][data-index]")];
    stops.push(inside);
    inside.forEach((element, k) => {
      element.setAttribute("tabindex", k ? "-1" : "0");
      if (element.tagName !== "TR") element.setAttribute("role", "button");
      element.setAttribute("aria-pressed", "false");
      method.hint(element);
    });
  }
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    pinned.clear();
    pointed = [];
    later();
    return;
  }
  const inside = stops.find((elements) => elements.includes(event.target));
  if (!inside) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    toggle(meant(event.target));
    return;
  }
  const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
  const next = way && nearest(inside, event.target, way);
  if (!next) return;
  event.preventDefault();
  for (const element of inside) element.setAttribute("tabindex", element === next ? "0" : "-1");
  next.focus();
});
function nearest(elements, from, [dx, dy]) {
  const middle = (element) => {
    const box = element.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
  };
  const [x, y] = middle(from);
  let best = null, least = Infinity;
  for (const element of elements) {
    const [a, b] = middle(element);
    const [along, across] = [(a - x) * dx + (b - y) * dy, Math.abs((a - x) * dy + (b - y) * dx)];
    const distance = along + 3 * across;
    if (element !== from && along > 1 && distance < least) [best, least] = [element, distance];
  }
  if (best) return best;
  const at = elements.indexOf(from);  // the end of a line of words: go on to the next
  return elements[at + dx + dy] ?? null;
}
