// What all panels draw with. All text goes in as text, never as markup.

export const SOURCES = [
  ["memory", "Memory of this workstation"],
  ["cache", "Local disk cache"],
  ["peer", "Other workstations in the office"],
  ["bucket", "The cloud"],
  ["unsent", "Written here, not uploaded yet"],
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
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
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

// Fills the table *id*. On a phone a row is a list, in which each cell says what it is; the roles
// keep it a table for whoever has it read aloud.
export function rows(id, list) {
  const table = at(id);
  const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent);
  table.tBodies[0].replaceChildren(...list.map((cells) => {
    const row = make("tr", "", ...cells);
    row.setAttribute("role", "row");
    cells.forEach((cell, index) => {
      cell.setAttribute("role", "cell");
      cell.dataset.label = heads[index];
    });
    return row;
  }));
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

export const cell = (...children) => make("td", "", make("span", "", ...children));
export const path = (text) => make("td", "path", make("span", "", text));
export const number = (text) => make("td", "number", text);
