"use strict";
// Draws what /live says, once a second. All text goes in as text, never as markup.

const SOURCES = [
  ["memory", "Memory of this workstation"],
  ["cache", "Local disk cache"],
  ["peer", "Other workstations in the office"],
  ["bucket", "The cloud"],
  ["unsent", "Written here, not uploaded yet"],
];
const HISTORY = 60;
const history = [];
const uploaded = [];
let before = null;

const at = (id) => document.getElementById(id);

function size(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB", "PB"];
  let value = bytes, unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2)} ${units[unit]}`;
}

function money(dollars) {
  return dollars > 0 && dollars < 0.01 ? "under $0.01"
    : dollars.toLocaleString("en-US", { style: "currency", currency: "USD" });
}

function make(tag, classes, ...children) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  element.append(...children);
  return element;
}

function rows(id, list) {
  at(id).tBodies[0].replaceChildren(...list.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells);
    return row;
  }));
}

const cell = (...children) => make("td", "", ...children);
const number = (text) => make("td", "number", text);

function alertItem(alert) {
  const where = alert.mountpoint === null ? "" : `${alert.mountpoint}: `;
  const since = alert.since === null ? "" : `Since ${new Date(1000 * alert.since).toLocaleString()}. `;
  return make("li", "", make("b", "", `${where}${alert.cause}`), make("small", "", `${since}${alert.remedy}`));
}

let alarmed = "";

function alarms(facts) {
  // Only when they change: whoever has them read aloud hears each once.
  const now = JSON.stringify(facts.alerts);
  if (now === alarmed) return;
  alarmed = now;
  at("alerts").hidden = facts.alerts.length === 0;
  at("alerts").replaceChildren(...facts.alerts.map(alertItem));
}

function headline(facts) {
  const { month, today } = facts.savings.periods;
  const office = month.office;
  at("saved").textContent = size(office.saved_by_office);
  at("saved-today").textContent = size(today.office.saved_by_office);
  at("again").textContent = size(office.saved_by_cache);
  at("again-today").textContent = size(today.office.saved_by_cache);
  at("percent").textContent = `${office.percent.toFixed(office.percent >= 99.95 || office.percent === 0 ? 0 : 1)} %`;
  at("money").textContent = money(office.money_by_office);
  at("money-again").textContent = money(office.money_by_cache);
  at("price").textContent = `$${facts.savings.price_per_gb}`;
  at("downloaded").textContent = size(office.downloaded);
  at("wasted").textContent = size(office.wasted);
  at("uploads").textContent = facts.uploads.bytes ? size(facts.uploads.bytes) : "nothing";
  at("uploads-note").textContent = facts.uploads.bytes
    ? `safe on this disk, oldest ${Math.round(facts.uploads.oldest_seconds)} s`
    : "everything written here is in the cloud";
}

function sources(facts) {
  const { here, office } = facts.savings;
  at("bar").replaceChildren(...SOURCES.map(([key]) => {
    const part = make("span", key);
    part.style.flexGrow = office[`read_${key}`];
    return part;
  }));
  rows("sources", SOURCES.map(([key, name]) => [
    cell(make("span", `swatch ${key}`), name),
    number(size(here[`read_${key}`])),
    number(size(office[`read_${key}`])),
  ]));
}

function chart(facts) {
  const here = facts.savings.here;
  const now = performance.now();
  if (before) {
    const seconds = Math.max(0.2, (now - before.now) / 1000);
    const rate = (name) => Math.max(0, here[name] - before.here[name]) / seconds;
    history.push(SOURCES.map(([key]) => rate(`read_${key}`)));
    uploaded.push(rate("uploaded"));
    if (history.length > HISTORY) { history.shift(); uploaded.shift(); }
  }
  before = { now, here };
  const last = history.at(-1) || [];
  at("rate").textContent = `${size(last.reduce((a, b) => a + b, 0))}/s now`;
  if (span === "minute") bars(history, HISTORY, uploaded);
  const local = here.read_memory + here.read_cache + here.read_unsent;
  const all = local + here.read_peer + here.read_bucket;
  at("live-sums").textContent = all
    ? `${Math.round(100 * local / all)} % of what was read here since the daemon started was on this workstation already.` : "";
}

function bars(list, many, sent) {
  const top = Math.max(1e6, ...sent, ...list.map((rates) => rates.reduce((a, b) => a + b, 0)));
  const step = 600 / many;
  const drawn = [];
  list.forEach((rates, index) => {
    let y = 120;
    rates.forEach((rate, source) => {
      const height = 116 * rate / top;
      if (height <= 0) return;
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      y -= height;
      bar.setAttribute("x", 600 - (list.length - index) * step);
      bar.setAttribute("y", y);
      bar.setAttribute("width", step * 0.85);
      bar.setAttribute("height", height);
      bar.setAttribute("class", SOURCES[source][0]);
      drawn.push(bar);
    });
  });
  if (sent.some((rate) => rate > 0)) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    line.setAttribute("points", sent.map((rate, index) => `${600 - (sent.length - index - 0.4) * step},${120 - 116 * rate / top}`).join(" "));
    line.setAttribute("class", "uploads");
    drawn.push(line);
  }
  at("chart").replaceChildren(...drawn);
  at("chart-top").textContent = `up to ${size(top)}/s, colours as in the list of sources; the line: uploaded`;
}

const SPANS = {
  minute: ["a minute ago", "over the last minute"],
  hour: ["an hour ago", "over the last hour"],
  day: ["24 hours ago", "over the last 24 hours"],
  month: ["30 days ago", "over the last 30 days"],
};
let span = "minute";
let asked = 0;

async function past() {
  const wanted = span;
  const question = ++asked;
  if (wanted === "minute") return;
  const answer = await fetch(`/history?span=${wanted}`).catch(() => null);
  if (!answer?.ok || question !== asked) return;
  const told = await answer.json();
  if (question !== asked) return;
  const sum = (name) => told.bytes[name].reduce((a, b) => a + b, 0);
  const steps = told.bytes.read_cache.map((_, index) => SOURCES.map(([key]) => told.bytes[`read_${key}`][index] / told.step_s));
  bars(steps, steps.length, told.bytes.uploaded.map((bytes) => bytes / told.step_s));
  const read = SOURCES.reduce((total, [key]) => total + sum(`read_${key}`), 0);
  const local = sum("read_memory") + sum("read_cache") + sum("read_unsent");
  const took = (name, times) => times.p50_ms === null ? ""
    : ` A block from ${name} took ${times.p50_ms} ms or less for half of them, ${times.p95_ms} for 95 of 100, ${times.p99_ms} for 99.`;
  at("chart-sums").textContent = `${size(read)} read, ${read ? Math.round(100 * local / read) : 0} % of it on this workstation; `
    + `${size(sum("downloaded"))} downloaded, ${size(sum("uploaded"))} uploaded; `
    + `${size(sum("received"))} got from colleagues, ${size(sum("served"))} given to them.`
    + took("a colleague", told.fetches.peer) + took("the cloud", told.fetches.bucket);
  document.body.dataset.span = wanted;
}

function choose(wanted) {
  span = wanted;
  for (const button of document.querySelectorAll(".spans button"))
    button.setAttribute("aria-pressed", String(button.dataset.span === wanted));
  at("chart-from").textContent = SPANS[wanted][0];
  at("chart").setAttribute("aria-label", `Reads on this workstation ${SPANS[wanted][1]}`);
  at("chart-sums").textContent = "";
  if (wanted === "minute") bars(history, HISTORY, uploaded);
  past();
}

for (const button of document.querySelectorAll(".spans button"))
  button.addEventListener("click", () => choose(button.dataset.span));
setInterval(past, 10000);

function share(fraction) {
  const meter = make("span", "meter", make("i", ""));
  meter.firstChild.style.width = `${100 * fraction}%`;
  return cell(meter, `${Math.round(100 * fraction)} %`);
}

const PARTS = 6;
let given = null;

// What each workstation gives others a second, by how its counter has grown since the last look.
function giving(facts) {
  const now = performance.now();
  const served = { [facts.office.device]: facts.savings.here.served };
  for (const peer of facts.office.peers) served[peer.device] = peer.totals.served || 0;
  const told = {};
  if (given) {
    const seconds = Math.max(0.2, (now - given.now) / 1000);
    for (const device of Object.keys(served))
      told[device] = Math.max(0, served[device] - (given.served[device] ?? served[device])) / seconds;
  }
  given = { now, served };
  return told;
}

// The ring: a circle cut by who is asked first for which part of all blocks.
function ring(shares) {
  const around = 2 * Math.PI * 46;
  let from = 0;
  at("ring").replaceChildren(...shares.flatMap((fraction, index) => {
    if (!fraction) return [];
    const arc = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    arc.setAttribute("cx", 60); arc.setAttribute("cy", 60); arc.setAttribute("r", 46);
    arc.setAttribute("class", `part${index % PARTS}`);
    arc.setAttribute("stroke-dasharray", `${Math.max(0, fraction * around - 1)} ${around}`);
    arc.setAttribute("stroke-dashoffset", -from * around);
    arc.setAttribute("transform", "rotate(-90 60 60)");
    from += fraction;
    return [arc];
  }));
}

function peers(facts) {
  const now = giving(facts);
  const gives = (device) => number(now[device] ? `${size(now[device])}/s` : "");
  const swatch = (index) => make("span", `swatch part${index % PARTS}`);
  ring([facts.office.share, ...facts.office.peers.map((peer) => peer.share)]);
  const words = { linked: "connected", resting: "slow, passed over for now", away: "away", banned: "sent wrong data, ignored" };
  const own = [
    cell(swatch(0), make("b", "", "This workstation")), cell(make("span", "dot linked"), "here"), share(facts.office.share),
    gives(facts.office.device),
    number(size(facts.savings.here.served)), number(size(facts.savings.here.received)),
    number(size(facts.savings.here.downloaded)),
  ];
  rows("peers", [own, ...facts.office.peers.map((peer, index) => [
    cell(swatch(index + 1), peer.name || peer.address || peer.device.slice(0, 8)),
    cell(make("span", `dot ${peer.state}`), words[peer.state] || peer.state),
    share(peer.share),
    gives(peer.device),
    number(size(peer.totals.served || 0)),
    number(size(peer.totals.received || 0)),
    number(size(peer.totals.downloaded || 0)),
  ])]);
  at("peers-note").textContent = facts.office.peers.length
    ? "“Keeps” is the part of the office's data that a workstation is asked for first."
    : "No other workstation found on this network yet: reads come from the local cache or the cloud.";
}

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function moving(facts) {
  const states = { writing: "being written", uploading: "being uploaded" };
  const { bytes_per_second: rate, seconds_left: left } = facts.uploads;
  at("moving-card").hidden = facts.on_their_way.length === 0;
  at("moving-rate").textContent = rate ? `${size(rate)}/s, all of this workstation's in ${duration(left)}` : "";
  rows("moving", facts.on_their_way.map((file) => [
    cell(`${file.mountpoint}/${file.path}`),
    cell(states[file.state] || file.state),
    cell(file.device || "this workstation"),
    number(file.bytes_left === null ? "" : size(file.bytes_left)),
  ]));
}

function leases(facts) {
  at("leases-card").hidden = facts.leases.length === 0;
  rows("leases", facts.leases.map((lease) => [
    cell(`${lease.mountpoint}/${lease.path}`),
    cell(lease.device || "this workstation"),
    cell(lease.taken ? "somebody locked it" : "it is open"),
  ]));
}

function conflicts(facts) {
  at("conflicts-card").hidden = facts.conflicts.length === 0;
  const more = facts.mounts.reduce((sum, mount) => sum + mount.conflicts, 0) - facts.conflicts.length;
  at("conflicts-more").textContent = more > 0 ? `and ${more} more: lucidnode conflicts list` : "";
  rows("conflicts", facts.conflicts.map((copy) => [cell(`${copy.mountpoint}/${copy.path}`)]));
}

function mounts(facts) {
  rows("mounts", facts.mounts.map((mount) => [
    cell(make("b", "", mount.words?.project || mount.project.slice(0, 8))),
    cell(mount.mountpoint),
    number(mount.words?.bytes === undefined ? "" : `${size(mount.words.bytes)} in ${mount.words.inodes.toLocaleString("en-US")} files and folders`),
    cell((mount.words?.snapshots || []).join(", ") || "none"),
    cell(mount.pending ? `${mount.pending} on their way` : "none"),
    number(String(mount.conflicts)),
  ]));
  at("collections").textContent = facts.collections.map((each) => each.ended === null
    ? `${each.mountpoint}: ${each.by} frees what nothing needs any more`
    : `${each.mountpoint}: ${size(each.freed_bytes)} freed in the bucket on `
      + `${new Date(each.ended * 1000).toLocaleString()} by ${each.by}; not again before `
      + new Date(each.next * 1000).toLocaleString()).join("; ");
  at("cache").textContent = `${size(facts.cache.bytes)} in ${facts.cache.blocks.toLocaleString("en-US")} blocks, `
    + `up to ${size(facts.cache.limit)}; ${size(facts.cache.disk_free)} free on the disk`
    + (facts.cache.pinned_bytes ? `; ${size(facts.cache.pinned_bytes)} pinned` : "");
}

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

// What happens, by the places in the journals of the mounted projects that were read so far.
async function follow() {
  following = true;
  for (const project of projects) {
    const { after, told } = places[project] || {};
    const place = after === undefined ? "" : `&after=${after}&told=${told}`;
    const answer = await fetch(`/changes?project=${project}&reader=${reader}${place}`).catch(() => null);
    if (!answer?.ok) continue;
    const page = await answer.json();
    places[project] = { after: page.after, told: page.told || 0 };
    lately = [...lately, ...(page.events || []).filter((event) => DID[event.event])]
      .sort((a, b) => b.time_ns - a.time_ns).slice(0, LATELY);
  }
  at("feed-card").hidden = lately.length === 0;
  rows("feed", lately.map((event) => [
    cell(new Date(event.time_ns / 1e6).toLocaleString()),
    cell(event.member ? `${event.member} (${event.workstation})` : event.workstation),
    cell(DID[event.event]),
    cell(event.old_path ? `${event.old_path} → ${event.path}` : event.path),
  ]));
  setTimeout(follow, 1000);
}

function connect() {
  const live = new WebSocket(`ws://${location.host}/live`);
  live.onopen = () => { at("connection").textContent = "live"; };
  live.onmessage = (event) => {
    const facts = JSON.parse(event.data);
    for (const draw of [headline, alarms, sources, chart, peers, moving, leases, conflicts, mounts]) draw(facts);
    projects = facts.mounts.map((mount) => mount.project);
    if (!following) follow();
    document.body.dataset.ready = "yes";
  };
  live.onclose = () => {
    at("connection").textContent = "the daemon does not answer; trying again…";
    setTimeout(connect, 2000);
  };
}

connect();
