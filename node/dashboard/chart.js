// Reads by source and uploads: the last minute as it goes, and what is kept of longer spans.

import { SOURCES, at, drawn, size } from "/shown.js";

const HISTORY = 60;
const SPANS = {
  minute: ["a minute ago", "over the last minute"],
  hour: ["an hour ago", "over the last hour"],
  day: ["24 hours ago", "over the last 24 hours"],
  month: ["30 days ago", "over the last 30 days"],
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

function bars(list, many, sent) {
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
  at("chart-top").textContent = `up to ${size(top)}/s`;
  at("scale-top").textContent = `${size(top)}/s`;
  at("scale-half").textContent = `${size(top / 2)}/s`;
}

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
