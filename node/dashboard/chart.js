// Reads by source and uploads: the last minute as it goes, and what is kept of longer spans.

import { SOURCES, at, cell, drawn, duration, facts as pairs, number, rows, size } from "/shown.js";

const HISTORY = 60;
const SPANS = {
  minute: ["a minute ago", "the last minute"],
  hour: ["an hour ago", "the last hour"],
  day: ["24 hours ago", "the last 24 hours"],
  month: ["30 days ago", "the last 30 days"],
};
const history = [];
const uploaded = [];
let before = null;
let span = "minute";
let asked = 0;

export function chart(facts) {
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

function bars(list, many, sent, step_s = 1) {
  const top = Math.max(1e6, ...sent, ...list.map((rates) => rates.reduce((a, b) => a + b, 0)));
  const step = 600 / many;
  const shapes = [2, 60].map((y) => drawn("line", { x1: 0, x2: 600, y1: y, y2: y, class: "grid" }));
  list.forEach((rates, index) => {
    let y = 120;
    rates.forEach((rate, source) => {
      const height = 116 * rate / top;
      if (height <= 0) return;
      y -= height;
      const x = 600 - (list.length - index) * step;
      shapes.push(drawn("rect", { x, y, width: step * 0.85, height, class: SOURCES[source][0] }));
    });
  });
  if (sent.some((rate) => rate > 0)) {
    const points = sent.map((rate, index) => `${600 - (sent.length - index - 0.4) * step},${120 - 116 * rate / top}`);
    shapes.push(drawn("polyline", { points: points.join(" "), class: "uploads" }));
  }
  at("chart").replaceChildren(...shapes);
  at("chart-none").hidden = shapes.length > 2; // the lines of the scale
  at("chart-step").textContent = `each bar ${duration(step_s)}`;
  at("scale-top").textContent = `${size(top)}/s`;
  at("scale-half").textContent = `${size(top / 2)}/s`;
}

// What was moved in the span, and how long blocks took; beside the last minute stands the last hour.
async function past() {
  const wanted = span;
  const question = ++asked;
  const kept = wanted === "minute" ? "hour" : wanted;
  const told = await fetch(`/history?span=${kept}`)
    .then((answer) => answer.ok ? answer.json() : null).catch(() => null);
  if (!told || question !== asked) return;
  if (wanted !== "minute") {
    const steps = told.bytes.read_cache.map((_, index) => SOURCES.map(([key]) => told.bytes[`read_${key}`][index] / told.step_s));
    bars(steps, steps.length, told.bytes.uploaded.map((bytes) => bytes / told.step_s), told.step_s);
  }
  for (const words of document.querySelectorAll(".sums-of")) words.textContent = SPANS[kept][1];
  sums(told);
  document.body.dataset.span = wanted;
}

function sums(told) {
  const sum = (name) => told.bytes[name].reduce((a, b) => a + b, 0);
  const read = SOURCES.reduce((total, [key]) => total + sum(`read_${key}`), 0);
  const local = sum("read_memory") + sum("read_cache") + sum("read_unsent");
  at("chart-sums").replaceChildren(...pairs([
    ["Read", size(read)],
    ["Hit rate: here already", read ? `${Math.round(100 * local / read)} %` : "–"],
    ["From colleagues", size(sum("received"))],
    ["To colleagues", size(sum("served"))],
    ["Downloaded", size(sum("downloaded"))],
    ["Uploaded", size(sum("uploaded"))],
  ]));
  const took = (times) => ["p50_ms", "p95_ms", "p99_ms"].map((name) => number(times[name] === null ? "–" : `${times[name]} ms`));
  rows("latency", [
    [cell("from a colleague"), ...took(told.fetches.peer)],
    [cell("from the cloud"), ...took(told.fetches.bucket)],
  ]);
}

function choose(wanted) {
  span = wanted;
  for (const button of document.querySelectorAll(".spans button"))
    button.setAttribute("aria-pressed", String(button.dataset.span === wanted));
  at("chart-from").textContent = SPANS[wanted][0];
  at("chart").setAttribute("aria-label", `Reads on this workstation over ${SPANS[wanted][1]}`);
  if (wanted === "minute") bars(history, HISTORY, uploaded);
  past();
}

for (const button of document.querySelectorAll(".spans button"))
  button.addEventListener("click", () => choose(button.dataset.span));
past();
setInterval(past, 10000);
