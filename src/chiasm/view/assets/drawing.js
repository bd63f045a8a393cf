"use strict";
// The page of an explanation, first of three scripts in one: its numbers, and how a method's panels are recoloured.
// The page is complete without them: they only recolour what is there.
const { labels, methods } = JSON.parse(document.getElementById("data").textContent);
const UP = "230 97 0", DOWN = "20 120 230", ON_PAPER = 0.8, ON_PICTURE = 0.66;
const NUMBERED = 3, LINES = 4, NAMED = 5, CLEAR = 2, FAINT = 0.2;
const SVG = "http://www.w3.org/2000/svg";
const controls = document.getElementById("controls");
const readout = document.getElementById("readout");
const settings = { show: "together", as: "players", faint: true, lines: true, common: false, opacity: 1 };
const pinned = new Map();
let pointed = [];

const key = (part, index) => `${index} ${part}`;
const idOf = (element) => ({ part: element.dataset.part, index: Number(element.dataset.index) });
const keyOf = (element) => key(element.dataset.part, element.dataset.index);
const labelOf = ({ part, index }) => labels[part][index];

// ---- numbers -------------------------------------------------------------------------------------------------------
function decimals(limit) {
  const size = Math.floor(Math.log10(Math.abs(limit) || 1));
  return Math.min(6, Math.max(0, size >= 0 ? 2 - size : 1 - size));
}
function number(value, limit, signed = true) {
  if (value === null) return "–";
  const size = Math.abs(limit);
  const text = size && (size < 1e-4 || size >= 1e7) ? value.toExponential(2) : value.toFixed(decimals(limit));
  const plain = text.replace("-", "−");
  if (Number(text) === 0) return plain.replace("−", "");
  return signed && value > 0 ? `+${plain}` : plain;
}

// ---- one method on the page ----------------------------------------------------------------------------------------
class Method {
  constructor(section) {
    this.section = section;
    this.name = section.dataset.method;
    this.data = methods[this.name];
    this.panels = section.querySelector(".panels");
    this.own = section.querySelector(".own");
    this.together = section.querySelector(".together");
    this.players = new Map();
    for (const element of this.panels.querySelectorAll("[data-part][data-index]")) {
      if (!this.players.has(keyOf(element))) this.players.set(keyOf(element), []);
      this.players.get(keyOf(element)).push(element);
    }
    // A browser takes far longer to restyle an area that has a title; the line above the panels says it all.
    for (const title of this.panels.querySelectorAll(".areas title")) title.remove();
    this.pictures = [...this.panels.querySelectorAll("svg.picture")].filter((svg) => svg.querySelector(".areas"));
    this.shown = { values: this.values(null), limit: this.data.limit };
    this.now = { partnered: null, together: false, limit: this.data.limit };
    this.strongest = this.strongestPairs();
    // Numbers above words change; words keep their place, or the pointer would fall off them.
    for (const word of this.panels.querySelectorAll(".glue")) word.style.minWidth = `${word.getBoundingClientRect().width}px`;
    this.links = document.createElementNS(SVG, "svg");
    this.links.classList.add("links");
    this.links.setAttribute("aria-hidden", "true");
    this.panels.append(this.links);
  }

  pair(a, b) {
    for (const { first, second, values, errors } of this.data.pairs) {
      const turned = first === b.part && second === a.part && first !== second;
      if (!turned && (first !== a.part || second !== b.part)) continue;
      const [row, column] = turned ? [b.index, a.index] : [a.index, b.index];
      if (values[row][column] === null) return null;
      return { value: values[row][column], error: errors ? errors[row][column] : null };
    }
    return null;
  }

  // Every player's own value, or the sum of its interactions with the chosen; a sum of several has no error.
  values(chosen) {
    const found = new Map();
    for (const part of Object.keys(labels)) {
      const { [part]: single } = this.data.single, errors = this.data.errors?.[part];
      labels[part].forEach((_, index) => {
        const one = { part, index, value: null, error: null };
        found.set(key(part, index), one);
        if (!chosen) [one.value, one.error] = [single[index], errors ? errors[index] : null];
        else for (const other of chosen) {
          const pair = this.pair(other, one);
          if (pair === null) continue;
          one.value = (one.value ?? 0) + pair.value;
          one.error = chosen.length === 1 ? pair.error : null;
        }
      });
    }
    return found;
  }

  // The pairs across parts that are clear of noise, strongest first; what the lines show while nothing is chosen.
  strongestPairs() {
    const found = [];
    for (const { first, second, values, errors } of this.data.pairs) {
      values.forEach((row, i) => row.forEach((value, j) => {
        const one = { value, error: errors ? errors[i][j] : null };
        if (!value || (first === second && j >= i) || !clear(one, errors === null)) return;
        found.push([{ part: first, index: i }, { part: second, index: j, ...one }]);
      }));
    }
    return found.sort((a, b) => Math.abs(b[1].value) - Math.abs(a[1].value)).slice(0, LINES);
  }

  draw(chosen) {
    const { together, partnered } = this.now;
    const values = together ? partnered : this.values(null);
    const exact = together ? this.data.pairs.every((block) => block.errors === null) : this.data.errors === null;
    const alike = settings.common ? shown.filter((other) => other.data.quantity === this.data.quantity) : [this];
    const limit = Math.max(...alike.map((other) => other.now.limit));
    this.shown = { values, limit };
    const legend = together ? this.together : this.own;
    for (const text of legend?.querySelectorAll(".limit") ?? []) text.textContent = number(limit, limit, false);
    for (const [name, elements] of this.players) {
      for (const element of elements) {
        paint(element, values.get(name), limit, exact);
      }
    }
    for (const picture of this.pictures) this.number(picture, values, limit);
    if (this.own && this.together) [this.own.hidden, this.together.hidden] = [together, !together];
    this.panels.classList.toggle("smooth", settings.as === "smooth");
    this.link(chosen, limit);
    return { partnered, limit: together ? limit : this.data.pairLimit };
  }

  // What is to be drawn: interactions with the chosen, whether they are what colours show, and the strongest colour's value.
  prepare(chosen) {
    const partnered = chosen.length && this.data.pairs.length ? this.values(chosen) : null;
    const together = settings.show === "together" && partnered !== null;
    let limit = together ? this.data.pairLimit : this.data.limit;
    if (together) for (const { value } of partnered.values()) limit = Math.max(limit, Math.abs(value ?? 0));
    this.now = { partnered, together, limit };
  }

  // What a player's number is now, for tooltips and screen readers: written when it is pointed at.
  hint(element) {
    const found = this.shown.values.get(keyOf(element));
    const { value, error } = found, { limit } = this.shown;
    const text = `${labelOf(found)}: ${number(value, limit)}${error === null ? "" : ` ± ${number(error, limit, false)}`}`;
    if (element.namespaceURI !== SVG) element.title = text;
    if (element.getAttribute("role") === "button") element.setAttribute("aria-label", text);
  }

  // The strongest players of a picture have their number on them.
  number(picture, values, limit) {
    for (const old of picture.querySelectorAll("text.value")) old.remove();
    const known = [...picture.querySelectorAll(".areas [data-index]")]
      .map((area) => [area, values.get(keyOf(area)).value])
      .filter(([, value]) => value !== null && Math.abs(value) > 0.1 * limit)
      .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    for (const [area, value] of known.slice(0, NUMBERED)) {
      const [x, y] = area.dataset.at.split(" ").map(Number);
      const text = document.createElementNS(SVG, "text");
      text.setAttribute("class", "value");
      text.setAttribute("x", String(Math.min(Math.max(x, 62), 938)));
      text.setAttribute("y", String(y));
      text.textContent = number(value, limit);
      picture.append(text);
    }
  }

  link(chosen, limit) {
    this.links.replaceChildren();
    if (!settings.lines || this.section.hidden || (chosen.length && !this.now.together)) return;
    const frame = this.panels.getBoundingClientRect();
    const anchor = ({ part, index }) => {
      const element = this.players.get(key(part, index))?.[0];
      if (!element) return null;
      const box = element.getBoundingClientRect(), area = element.namespaceURI === SVG;
      return [box.x + box.width / 2 - frame.x, box.y + (area ? box.height / 2 : box.height) - frame.y];
    };
    const lines = chosen.length
      ? chosen.flatMap((one) => {
        const values = chosen.length === 1 ? this.now.partnered : this.values([one]);
        return partners(this, [one], values).slice(0, LINES).map((partner) => [one, partner]);
      })
      : this.strongest;
    const strongest = chosen.length ? limit : this.data.pairLimit;
    for (const [one, partner] of lines) {
      const [from, to] = [anchor(one), anchor(partner)];
      if (!from || !to) continue;
      const path = document.createElementNS(SVG, "path");
      const low = Math.max(from[1], to[1]) + 0.12 * Math.abs(from[0] - to[0]) + 8;  // hangs below the words
      path.setAttribute("d", `M${from} C${from[0]},${low} ${(from[0] + to[0]) / 2},${low} ${to}`);
      path.style.stroke = `rgb(${partner.value > 0 ? UP : DOWN} / ${chosen.length ? 0.6 : 0.4})`;
      path.style.strokeWidth = `${1 + 5 * Math.abs(partner.value) / strongest}px`;
      this.links.append(path);
    }
  }
}

function clear({ value, error }, exact) {
  return exact || (error !== null && Math.abs(value) > CLEAR * error);
}

function paint(element, found, limit, exact) {
  const { value, error } = found;
  const picture = element.namespaceURI === SVG;
  const known = value !== null;
  const faded = known && settings.faint && error !== null && !clear(found, exact) ? FAINT : 1;
  const share = known && limit ? Math.min(1, Math.abs(value) / limit) : 0;
  const opacity = Math.min(1, share * (picture ? ON_PICTURE : ON_PAPER) * settings.opacity * faded);
  const colour = value > 0 ? UP : DOWN;
  const look = `${colour} ${opacity} ${value}`;
  if (painted.get(element) === look) return;
  painted.set(element, look);
  if (picture) {
    element.style.fill = known ? `rgb(${colour})` : "";
    element.style.fillOpacity = opacity;
  } else if (element.tagName === "TR") {
    const bar = element.querySelector(".halves i");
    if (bar) {
      bar.style.cssText = `${value > 0 ? "left" : "right"}:50%;width:${50 * share}%;background:rgb(${colour})`;
      element.lastElementChild.textContent = number(value, limit);
    }
  } else {
    element.style.background = opacity ? `rgb(${colour} / calc(${opacity.toFixed(3)} * var(--strength)))` : "transparent";
    const beside = element.nextElementSibling;
    const written = element.querySelector("rt bdi") ?? (beside?.classList.contains("after") ? beside : null);
    if (written) written.textContent = known ? ` ${number(value, limit)}` : "\u00a0";
  }
}
const painted = new WeakMap();

// Players by falling interaction with the chosen ones; those that may be noise come last.
function partners(method, chosen, values) {
  const exact = method.data.pairs.every((block) => block.errors === null);
  const names = new Set(chosen.map(({ part, index }) => key(part, index)));
  return [...values.entries()].filter(([name]) => !names.has(name)).map(([, found]) => found)
    .filter((found) => found.value && (exact || chosen.length > 1 || clear(found, exact)))
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
}
