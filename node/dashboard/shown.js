// What all panels draw with. All text goes in as text, never as markup.

export const SOURCES = [
  ["memory", "Memory"],
  ["cache", "Own disk cache"],
  ["peer", "Colleagues"],
  ["bucket", "The cloud"],
  ["unsent", "Not uploaded yet"],
];

export const at = (id) => document.getElementById(id);

export function size(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB", "PB"];
  let value = bytes, unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2)} ${units[unit]}`;
}

export function money(dollars) {
  return dollars > 0 && dollars < 0.01 ? "under $0.01"
    : dollars.toLocaleString("en-US", { style: "currency", currency: "USD" });
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${Math.round(seconds / 86400)} days`;
}

// A time, by the clock alone if it is today.
export function when(seconds) {
  const time = new Date(1000 * seconds);
  return time.toDateString() === new Date().toDateString()
    ? `today, ${time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`
    : time.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

export function facts(list) {
  return list.map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value)));
}

export function make(tag, classes, ...children) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  element.append(...children);
  return element;
}

export function drawn(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const MANY = 10;
const opened = new Set();
const waiting = {};

// Fills the table *id*; what is beyond the first MANY waits behind a button, unless *whole*. On a phone a
// row is a list, in which each cell says what it is; the roles keep it a table for whoever has it read
// aloud. A row that says what it said stays: what somebody marked in it, and the keyboard, stay with it.
export function rows(id, list, whole = false) {
  const table = at(id), body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent);
  const most = whole || opened.has(id) || list.length <= MANY + 2 ? list.length : MANY;
  const made = list.map((cells) => row(cells, heads));
  made.slice(0, most).forEach((fresh, place) => {
    const old = body.rows[place];
    if (!old) body.append(fresh);
    else if (old.outerHTML !== fresh.outerHTML) {
      const focused = [...old.querySelectorAll("button")].indexOf(document.activeElement);
      old.replaceWith(fresh);
      if (focused >= 0) fresh.querySelectorAll("button")[focused]?.focus({ preventScroll: true });
    }
  });
  while (body.rows.length > most) body.rows[most].remove();
  waiting[id] = made.slice(most);
  if (!whole) more(id, table, list.length);
}

function row(cells, heads) {
  const made = make("tr", "", ...cells);
  made.setAttribute("role", "row");
  cells.forEach((cell, index) => {
    cell.setAttribute("role", "cell");
    cell.dataset.label = heads[index];
  });
  return made;
}

function more(id, table, all) {
  let line = table.nextElementSibling;
  if (!line?.classList.contains("more")) {
    const button = make("button", "");
    button.type = "button";
    button.addEventListener("click", () => {
      const body = table.tBodies[0];
      if (opened.delete(id)) waiting[id] = [...body.rows].slice(MANY);
      else opened.add(id);
      if (opened.has(id)) body.append(...waiting[id].splice(0));
      else for (const each of waiting[id]) each.remove();
      more(id, table, body.rows.length + waiting[id].length);
    });
    line = make("p", "more", button);
    table.after(line);
  }
  line.hidden = all <= MANY + 2;
  line.firstChild.textContent = opened.has(id) ? `Show the first ${MANY}` : `Show all ${all}`;
}

for (const table of document.querySelectorAll("table")) {
  table.setAttribute("role", "table");
  for (const group of [table.tHead, table.tBodies[0]]) group.setAttribute("role", "rowgroup");
  table.tHead.rows[0].setAttribute("role", "row");
  for (const head of table.tHead.rows[0].cells) {
    head.scope = "col";
    head.setAttribute("role", "columnheader");
  }
}

export const cell = (...children) => children.join("") === "" ? make("td", "") : make("td", "", make("span", "", ...children));
// A path: the folder stands back behind the name.
export function path(text) {
  const cut = text.lastIndexOf("/") + 1;
  return make("td", "path", make("span", "", make("span", "folder", text.slice(0, cut)), text.slice(cut)));
}
export const number = (text) => make("td", "number", text);
