// Draws what /live says, once a second.

import { SOURCES, at, cell, duration, make, money, number, rows, size, when } from "/shown.js";
import { chart } from "/chart.js";
import { conflicts } from "/conflicts.js";
import { feed } from "/feed.js";
import { office } from "/office.js";
import { leases, mounts, moving } from "/projects.js";

let alarmed = "";

function alertItem(alert) {
  const where = alert.mountpoint === null ? "" : `${alert.mountpoint}: `;
  const since = alert.since === null ? "" : make("small", "since", `Since ${when(alert.since)}`);
  return make("li", "", make("b", "", `${where}${alert.cause}`), make("small", "", alert.remedy), since);
}

function alarms(facts) {
  // Only when they change: whoever has them read aloud hears each once.
  const now = JSON.stringify(facts.alerts);
  if (now === alarmed) return;
  alarmed = now;
  at("alerts").hidden = facts.alerts.length === 0;
  at("alerts").firstElementChild.replaceChildren(...facts.alerts.map(alertItem));
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
  const { prices, storage } = facts.savings;
  const dated = prices.as_of ? ` of ${prices.as_of}, ${prices.source}` : "";
  at("price").textContent = `$${prices.per_gb}`;
  at("prices").textContent = `Prices by the list of ${prices.provider}${dated}, and what was set above it: $${prices.per_gb} for a GB out, `
    + `$${prices.per_1000_gets} and $${prices.per_1000_puts} for a thousand reads and writes, $${prices.per_gb_month} for a GB a month; `
    + "set your own with lucidnode config set savings.price-per-gb and its like. "
    + `Requests for blocks this month: ${(office.block_gets + office.block_puts).toLocaleString("en-US")}; at least `
    + `${(office.requests_by_office + office.requests_by_cache).toLocaleString("en-US")} more were not needed. `
    + `The mounted projects hold ${size(storage.bytes)} in files: ${money(storage.money_a_month)} a month, and what their history keeps.`;
  at("spent").textContent = money(office.money_spent);
  at("downloaded").textContent = size(office.downloaded);
  at("wasted").textContent = size(office.wasted);
  at("not-final").textContent = office.not_used_yet ? `, ${size(office.not_used_yet)} of it not for good: it may still be read` : "";
  at("uploads").textContent = facts.uploads.bytes ? size(facts.uploads.bytes) : "nothing";
  at("uploads-note").textContent = facts.uploads.bytes
    ? `safe on this disk, the oldest for ${duration(facts.uploads.oldest_seconds)}`
    : "everything written here is in the cloud";
}

function sources(facts) {
  const { here, office } = facts.savings;
  at("bar").replaceChildren(...SOURCES.map(([key]) => {
    const part = make("span", key);
    part.style.flexGrow = office[`read_${key}`];
    return part;
  }));
  at("bar").setAttribute("aria-label", `Bytes by source: ${SOURCES.map(([key, name]) => `${name} ${size(office[`read_${key}`])}`).join(", ")}`);
  rows("sources", SOURCES.map(([key, name]) => [
    cell(make("span", `swatch ${key}`), name),
    number(size(here[`read_${key}`])),
    number(size(office[`read_${key}`])),
  ]));
}

// What looks into files by itself is held to what is cheap: only where that befell somebody, in one line.
// A colleague is not told which programs run here.
function indexers({ indexers: held = [] }) {
  at("indexers").hidden = held.length === 0;
  at("indexers").textContent = held.length ? `Held back, for they look into files by themselves: ${held.map((each) =>
    `${each.program} (${size(each.fetched_bytes)} fetched for it, ${size(each.withheld_bytes)} not)`).join(", ")}.` : "";
}

// Whose page it is; the title tells it where tabs are many, and what is amiss.
function whose(facts) {
  const name = facts.visitor || (facts.me ? `${facts.me.workstation} (${facts.me.member})` : "");
  at("whose").textContent = [name, facts.bucket].filter(Boolean).join(" · ");
  const amiss = facts.alerts.length ? `(${facts.alerts.length}) ` : "";
  document.title = `${amiss}${name ? `${name} · ` : ""}Lucidnode`;
}

function connect() {
  const live = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  live.onopen = () => { at("connection").textContent = "live"; };
  live.onmessage = (event) => {
    const facts = JSON.parse(event.data);
    for (const draw of [whose, headline, alarms, sources, indexers, chart, office, moving, leases, conflicts, mounts, feed]) draw(facts);
    document.body.dataset.ready = "yes";
    document.body.dataset.stale = "no";
  };
  live.onclose = () => {
    at("connection").textContent = "the daemon does not answer; trying again…";
    document.body.dataset.stale = "yes";
    setTimeout(connect, 2000);
  };
}

connect();
