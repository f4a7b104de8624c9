// What happens in the mounted projects, by the places in their journals that were read so far.

import { at, cell, path, rows, when } from "/shown.js";

const DID = {
  create: "made", link: "gave another name", rename: "renamed", delete: "deleted", write: "wrote",
  attributes: "changed attributes of", lock: "locked", unlock: "unlocked",
  conflict: "saved another version of", settled: "settled",
};
const LATELY = 20;
const reader = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const places = {};
let projects = [];
let following = false;
let lately = [];

async function follow() {
  following = true;
  for (const project of projects) {
    const { after, told } = places[project] || {};
    const place = after === undefined ? "" : `&after=${after}&told=${told}`;
    // An answer may break off, as when the daemon is started anew: the next one is asked for all the same.
    const page = await fetch(`/changes?project=${project}&reader=${reader}${place}`)
      .then((answer) => answer.ok ? answer.json() : null).catch(() => null);
    if (!page) continue;
    places[project] = { after: page.after, told: page.told || 0 };
    lately = [...lately, ...(page.events || []).filter((event) => DID[event.event])]
      .sort((a, b) => b.time_ns - a.time_ns).slice(0, LATELY);
  }
  at("feed-card").hidden = lately.length === 0;
  rows("feed", lately.map((event) => [
    cell(when(event.time_ns / 1e9)),
    cell(event.member ? `${event.member} (${event.workstation})` : event.workstation),
    cell(DID[event.event]),
    path(event.old_path ? `${event.old_path} → ${event.path}` : event.path),
  ]));
  setTimeout(follow, 1000);
}

export function feed(facts) {
  projects = facts.mounts.map((mount) => mount.project);
  if (!following) follow();
}
