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

function alertLine(alert) {
  const since = alert.since === null ? [] : [`(since ${new Date(1000 * alert.since).toLocaleString()})`];
  const where = alert.mountpoint === null ? [] : [`${alert.mountpoint}:`];
  return [...where, alert.cause, alert.remedy, ...since].filter(Boolean).join(" ");
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
  at("alerts").hidden = facts.alerts.length === 0;
  at("alerts").textContent = facts.alerts.map(alertLine).join("\n");
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
    history.push(SOURCES.map(([key]) => Math.max(0, here[`read_${key}`] - before.here[`read_${key}`]) / seconds));
    if (history.length > HISTORY) history.shift();
  }
  before = { now, here };
  const last = history.at(-1) || [];
  at("rate").textContent = `${size(last.reduce((a, b) => a + b, 0))}/s now`;
  if (span === "minute") bars(history, HISTORY);
}

function bars(list, many) {
  const top = Math.max(1e6, ...list.map((rates) => rates.reduce((a, b) => a + b, 0)));
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
  at("chart").replaceChildren(...drawn);
  at("chart-top").textContent = `up to ${size(top)}/s, colours as in the list of sources`;
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
  bars(steps, steps.length);
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
  if (wanted === "minute") bars(history, HISTORY);
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

function peers(facts) {
  const words = { linked: "connected", resting: "slow, passed over for now", away: "away", banned: "sent wrong data, ignored" };
  const own = [
    cell(make("b", "", "This workstation")), cell(make("span", "dot linked"), "here"), share(facts.office.share),
    number(size(facts.savings.here.served)), number(size(facts.savings.here.received)),
    number(size(facts.savings.here.downloaded)),
  ];
  rows("peers", [own, ...facts.office.peers.map((peer) => [
    cell(peer.name || peer.address || peer.device.slice(0, 8)),
    cell(make("span", `dot ${peer.state}`), words[peer.state] || peer.state),
    share(peer.share),
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

function connect() {
  const live = new WebSocket(`ws://${location.host}/live`);
  live.onopen = () => { at("connection").textContent = "live"; };
  live.onmessage = (event) => {
    const facts = JSON.parse(event.data);
    for (const draw of [headline, sources, chart, peers, moving, leases, conflicts, mounts]) draw(facts);
    document.body.dataset.ready = "yes";
  };
  live.onclose = () => {
    at("connection").textContent = "the daemon does not answer; trying again…";
    setTimeout(connect, 2000);
  };
}

connect();
