"use strict";
// Only the rows in sight are in the document, so that thousands of samples scroll like ten.
(() => {
  const items = JSON.parse(document.getElementById("items").textContent);
  const form = /** @type {HTMLFormElement} */ (document.getElementById("filters"));
  const list = document.getElementById("list");
  const space = document.getElementById("space");
  const count = document.getElementById("count");
  const HEIGHT = 146, NARROW = 340, SPARE = 3;
  let shown = items, columns = 1, drawn = "", current = 0;

  const element = (name, className, text) => {
    const made = document.createElement(name);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const verdict = (item) => (item.correct === null ? "" : item.correct ? "correct" : "wrong");

  function card(at) {
    const item = shown[at];
    const place = element("div", "place");
    place.setAttribute("role", "listitem");
    place.setAttribute("aria-setsize", String(shown.length));
    place.setAttribute("aria-posinset", String(at + 1));
    const made = element(item.href ? "a" : "div", "card");
    if (item.href) made.href = item.href;
    made.tabIndex = at === current ? 0 : -1;
    made.dataset.id = item.id;
    made.dataset.at = at;
    place.append(made);
    if (item.thumbnail) {
      const image = element("img", "shot");
      image.alt = "";
      image.src = item.thumbnail;
      made.append(image);
    }
    const words = element("div", "words");
    const question = element("p", "question", item.question);
    const answer = element("p", "answer", item.answer);
    question.dir = answer.dir = "auto";
    if (verdict(item)) answer.append(" ", element("span", "verdict " + verdict(item), verdict(item)));
    const numbers = Object.entries(item.numbers).map(([name, value]) => `${name} ${value === null ? "–" : value.toPrecision(3)}`);
    words.append(question, answer, element("p", "soft", [item.dataset, ...Object.values(item.tags), ...numbers].filter(Boolean).join(" · ")));
    made.append(words);
    return place;
  }

  function draw() {
    columns = Math.max(1, Math.floor(list.clientWidth / NARROW));
    const rows = Math.ceil(shown.length / columns);
    space.style.height = `${rows * HEIGHT}px`;
    const top = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - SPARE);
    const end = Math.min(rows, Math.ceil((list.scrollTop + list.clientHeight) / HEIGHT) + SPARE);
    current = Math.min(Math.max(current, 0), Math.max(0, shown.length - 1));
    const wanted = [top, end, columns, current].join();
    if (wanted === drawn) return;
    drawn = wanted;
    const grid = element("div", "grid");
    grid.style.transform = `translateY(${top * HEIGHT}px)`;
    grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    for (let at = top * columns; at < Math.min(shown.length, end * columns); at += 1) grid.append(card(at));
    const focused = space.contains(document.activeElement);
    space.replaceChildren(grid);
    if (focused) focusCurrent();
  }
  const focusCurrent = () => /** @type {HTMLElement} */ (space.querySelector(`[data-at="${current}"]`))?.focus({ preventScroll: true });

  // One stop of Tab; arrows reach every sample, those out of sight too.
  list.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -shown.length, End: shown.length };
    if (!(event.key in steps) || !shown.length) return;
    event.preventDefault();
    current = Math.min(Math.max(current + steps[event.key], 0), shown.length - 1);
    const top = Math.floor(current / columns) * HEIGHT;
    if (top < list.scrollTop) list.scrollTop = top;
    if (top + HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + HEIGHT - list.clientHeight;
    draw();
    focusCurrent();
  });

  function fits(item, wanted) {
    return wanted.every(([field, value]) => {
      const [kind, name] = [field.slice(0, field.indexOf(":")), field.slice(field.indexOf(":") + 1)];
      if (kind === "dataset") return item.dataset === value;
      if (kind === "model") return item.model === value;
      if (kind === "verdict") return verdict(item) === value;
      if (kind === "tag") return item.tags[name] === value;
      const number = item.numbers[name];
      if (typeof number !== "number") return false;
      return value === "high" ? number >= middles[name] : number < middles[name];
    });
  }

  const middles = JSON.parse(document.getElementById("middles").textContent);
  function choose() {
    const wanted = [...form.querySelectorAll("select")].map((s) => [s.name, s.value]).filter(([, value]) => value !== "");
    const typed = /** @type {HTMLInputElement} */ (form.elements.namedItem("words")).value.trim().toLowerCase();
    shown = items.filter((item) => fits(item, wanted)
      && (!typed || `${item.question} ${item.answer} ${item.reference ?? ""} ${item.id}`.toLowerCase().includes(typed)));
    count.textContent = `${shown.length} of ${items.length} ${count.dataset.things}`;
    list.scrollTop = current = 0;
    drawn = "";
    draw();
  }

  // A link may choose: gallery.html#model:=zoo:llava-shapes&verdict:=wrong
  function follow() {
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      const field = /** @type {HTMLSelectElement | null} */ (form.elements.namedItem(name));
      if (field) field.value = value;
    }
    choose();
  }
  window.addEventListener("hashchange", () => { form.reset(); follow(); });
  form.addEventListener("input", choose);
  form.addEventListener("submit", (event) => event.preventDefault());
  list.addEventListener("scroll", draw, { passive: true });
  new ResizeObserver(draw).observe(list);
  follow();
})();
