// The ring of the office: who keeps what share, who serves whom now, and how each workstation is.

import { at, cell, drawn, duration, facts as pairs, make, number, rows, size, SOURCES, when } from "/shown.js";

const PARTS = 12;
const AROUND = 2 * Math.PI * 46;
const STATES = {
  here: "here", linked: "connected", resting: "slow, passed over for now", away: "away",
  banned: "sent wrong data, ignored",
};
let before = null;
let drawnLast = null;

// All workstations alike, this one first: what it says of itself, and what it got from whom.
function workstations(facts) {
  const { device, share, summary, peers } = facts.office;
  return [
    { device, name: "This workstation", state: "here", share, summary, totals: facts.savings.here, p95_ms: null },
    ...peers.map((peer) => ({ ...peer, name: peer.name || peer.address || peer.device.slice(0, 8) })),
  ];
}

// Bytes a second from one workstation to another, by how the counters of who gets them have grown.
function flows(list) {
  const now = performance.now();
  const got = Object.fromEntries(list.map((one) => [one.device, one.summary?.sources || {}]));
  if (before && JSON.stringify(got) === JSON.stringify(before.got) && now - before.now < 8000) return before.flows;
  const seconds = before ? Math.max(0.2, (now - before.now) / 1000) : 0;
  const found = [];
  for (const [to, sources] of Object.entries(got))
    for (const [from, bytes] of Object.entries(sources)) {
      const earlier = before?.got[to]?.[from];
      if (seconds && earlier !== undefined && bytes > earlier) found.push({ from, to, rate: (bytes - earlier) / seconds });
    }
  before = { now, got, flows: found };
  return found;
}

// A circle cut by who is asked first for which part of all blocks, and a line for each who gives to another.
function ring(list, now) {
  let from = 0;
  const middle = {};
  const arcs = list.flatMap(({ device, share }, index) => {
    const angle = 2 * Math.PI * (from + share / 2) - Math.PI / 2;
    middle[device] = [60 + 37 * Math.cos(angle), 60 + 37 * Math.sin(angle)];
    if (!share) return [];
    const arc = drawn("circle", {
      cx: 60, cy: 60, r: 46, class: `part${index % PARTS}`, transform: "rotate(-90 60 60)",
      "stroke-dasharray": `${Math.max(0, share * AROUND - 1)} ${AROUND}`,
      "stroke-dashoffset": -from * AROUND,
    });
    from += share;
    return [arc];
  });
  const most = Math.max(1, ...now.map((flow) => flow.rate));
  const flows = now.filter((flow) => middle[flow.from] && middle[flow.to]).map((flow) => drawn("path", {
    class: "flow", d: `M${middle[flow.from]}Q60,60 ${middle[flow.to]}`,
    "stroke-width": 1 + 2 * flow.rate / most, "marker-end": "url(#arrow)",
  }));
  at("ring-drawn").replaceChildren(...arcs, ...flows);
  const near = list.filter(({ state }) => state === "here" || state === "linked").length;
  at("ring-note").textContent = list.length > 1 ? `${near} of ${list.length} connected` : "";
}

function keeps(share) {
  const meter = make("span", "meter", make("i", ""));
  meter.firstChild.style.width = `${100 * share}%`;
  return cell(meter, `${Math.round(100 * share)} %`);
}

function health({ state, summary }) {
  if (!summary) return "not heard yet";
  if (state === "away") return "unknown";
  const amiss = Object.keys(summary.alerts).length;
  return amiss ? `${amiss} ${amiss === 1 ? "alert" : "alerts"}` : "well";
}

function disk({ summary }) {
  if (!summary) return [""];
  return [
    make("span", "whole", `${size(summary.cache_bytes)} of ${size(summary.cache_limit)}`), ", ",
    make("span", "whole", `${size(summary.disk_free)} free`),
  ];
}

function link({ state, p95_ms: answers }) {
  if (state === "here") return "";
  if (answers === null) return state === "linked" ? "not asked yet" : "none";
  return `${answers.toFixed(answers < 10 ? 1 : 0)} ms`;
}

function opener(one) {
  const button = make("button", "link", one.name);
  button.type = "button";
  button.dataset.device = one.device;
  return button;
}

at("peers").addEventListener("click", ({ target }) => {
  if (!target.dataset.device) return;
  location.hash = `workstation=${target.dataset.device}`;
  if (drawnLast) page(...drawnLast);
  at("workstation-card").focus();
});

function table(list) {
  rows("peers", list.map((one, index) => [
    cell(make("span", `swatch part${index % PARTS}`), opener(one)),
    cell(make("span", `dot ${one.state === "here" ? "linked" : one.state}`), STATES[one.state] || one.state),
    make("td", one.summary && Object.keys(one.summary.alerts).length ? "amiss" : "", make("span", "", health(one))),
    cell(one.summary?.version || ""),
    cell(...disk(one)),
    cell(link(one)),
    keeps(one.share),
  ]), true);
}

// The page of one workstation: in the address, so that it can be kept as a bookmark.
function page(list, now) {
  const wanted = new URLSearchParams(location.hash.slice(1)).get("workstation");
  const one = list.find(({ device }) => device === wanted);
  at("workstation-card").hidden = one === undefined;
  if (one === undefined) return;
  at("workstation-name").textContent = one.name;
  const { summary, totals } = one;
  const named = (device) => list.find((other) => other.device === device)?.name || device.slice(0, 8);
  const moves = (way, other) => now.filter((flow) => flow[way] === wanted)
    .map((flow) => `${size(flow.rate)}/s ${other === "to" ? "to" : "from"} ${named(flow[other])}`).join(", ") || "nothing";
  const since = (seconds) => seconds ? ` since ${when(seconds)}` : "";
  const said = [
    ["State", STATES[one.state] || one.state],
    ["Link", link(one)],
    ["Keeps", `${Math.round(100 * one.share)} % of the office's data`],
    ["Gives now", moves("from", "to")],
    ["Gets now", moves("to", "from")],
    ...(summary ? [
      ["Amiss", Object.entries(summary.alerts).map(([topic, begun]) => `${topic.replaceAll("-", " ")}${since(begun)}`).join(", ") || "nothing"],
      ["Version", summary.version],
      ["Runs for", duration(summary.up_s)],
      ["Cache", `${size(summary.cache_bytes)} of ${size(summary.cache_limit)}`],
      ["Free on its disk", size(summary.disk_free)],
      ["Waits for upload", summary.waiting_bytes ? `${size(summary.waiting_bytes)}, for ${duration(summary.waiting_s)}` : "nothing"],
      ["Drives", String(summary.drives)],
      ["Its dashboard", summary.page_port && one.state !== "here" ? `lucidnode dashboard --node ${one.device.slice(0, 8)}` : ""],
    ] : [["Tells", "nothing yet"]]),
    ...SOURCES.map(([key, name]) => [`Read from: ${name.toLowerCase()}`, size(totals[`read_${key}`] || 0)]),
    ["Gave to others", size(totals.served || 0)],
    ["Got from others", size(totals.received || 0)],
    ["From the cloud", size(totals.downloaded || 0)],
    ["Uploaded", size(totals.uploaded || 0)],
  ].filter(([, value]) => value);
  at("workstation").replaceChildren(...pairs(said));
}

at("workstation-close").addEventListener("click", () => {
  history.replaceState(null, "", location.pathname);
  at("workstation-card").hidden = true;
});

export function office(facts) {
  const list = workstations(facts);
  const now = flows(list);
  const named = (device) => list.find((other) => other.device === device)?.name || device.slice(0, 8);
  ring(list, now);
  table(list);
  rows("given", list.map((one) => [
    cell(one.name),
    cell(now.filter((flow) => flow.from === one.device).map((flow) => `${size(flow.rate)}/s to ${named(flow.to)}`).join(", ")),
    number(size(one.totals.served || 0)),
    number(size(one.totals.received || 0)),
    number(size(one.totals.downloaded || 0)),
  ]));
  drawnLast = [list, now];
  page(list, now);
  at("peers-note").textContent = facts.office.peers.length
    ? "“Keeps” is the part of the office's data that a workstation is asked for first. Disk: of its cache, and free beside it."
    : "No other workstation found on this network yet: reads come from the local cache or the cloud.";
}
