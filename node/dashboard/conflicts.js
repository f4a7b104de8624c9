// Conflict copies by name, and what settles each: for everybody, so it is asked once more.

import { at, cell, make, path, rows } from "/shown.js";

const ORDERS = {
  mine: ["Keep mine", "Keep the version that this workstation saved, and remove the other one, on all workstations?"],
  theirs: ["Keep theirs", "Keep the version that the other workstation saved, and remove this one's, on all workstations?"],
  dismiss: ["Keep both", "Keep both, each under a name of its own?"],
};
let shown = "";
let chosen = null;

function ask(copy, order) {
  chosen = { copy, order };
  at("settle-file").textContent = `${copy.mountpoint}/${copy.path}`;
  at("settle-question").textContent = ORDERS[order][1];
  at("settle").showModal();
}

async function settle() {
  const { copy, order } = chosen;
  at("settle").close();
  at("conflicts-said").textContent = "";
  const answer = await fetch("/conflicts", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ project: copy.project, path: copy.path, order }),
  }).catch(() => null);
  at("conflicts-said").textContent = answer?.ok ? `${copy.path}: settled.`
    : `${copy.path}: ${answer ? await answer.text() : "the daemon does not answer"}`;
}

export function conflicts(facts) {
  const more = facts.mounts.reduce((sum, mount) => sum + mount.conflicts, 0) - facts.conflicts.length;
  at("conflicts-more").textContent = more > 0 ? `and ${more} more: lucidnode conflicts list` : "";
  // Only when they change: a button that is drawn anew loses the keyboard.
  const now = JSON.stringify([facts.conflicts, facts.visitor]);
  if (now === shown) return;
  shown = now;
  at("conflicts-card").hidden = facts.conflicts.length === 0 && !at("conflicts-said").textContent;
  rows("conflicts", facts.conflicts.map((copy) => [
    path(`${copy.mountpoint}/${copy.path}`),
    facts.visitor ? cell("on that workstation") : make("td", "actions", make("span", "", ...Object.entries(ORDERS).map(([order, [words]]) => {
      const button = make("button", "", words);
      button.type = "button";
      button.setAttribute("aria-label", `${words}: ${copy.path}`);
      button.addEventListener("click", () => ask(copy, order));
      return button;
    }))),
  ]));
}

at("settle-yes").addEventListener("click", settle);
at("settle-no").addEventListener("click", () => at("settle").close());
