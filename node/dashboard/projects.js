// The mounted projects: what is on its way, locked, in conflict, and what happened lately.

import { at, cell, duration, make, number, path, rows, size, when } from "/shown.js";

export function moving(facts) {
  const states = { writing: "being written", uploading: "being uploaded" };
  const { bytes_per_second: rate, seconds_left: left } = facts.uploads;
  at("moving-card").hidden = facts.on_their_way.length === 0;
  at("moving-rate").textContent = rate ? `${size(rate)}/s, all of this workstation's in ${duration(left)}` : "";
  rows("moving", facts.on_their_way.map((file) => [
    path(`${file.mountpoint}/${file.path}`),
    cell(states[file.state] || file.state),
    cell(file.device || "this workstation"),
    number(file.bytes_left === null ? "" : size(file.bytes_left) + (file.bytes === null ? "" : ` of ${size(file.bytes)}`)),
    number(file.bytes_per_second ? `${size(file.bytes_per_second)}/s` : ""),
    number(file.seconds_left === null ? "" : duration(file.seconds_left)),
  ]));
}

// Files that one workstation has for itself, and files whose locks programs use.
export function leases(facts) {
  const locks = facts.locks.filter((token) => token.path && (token.locked || token.device));
  at("leases-card").hidden = facts.leases.length + locks.length === 0;
  rows("leases", [
    ...facts.leases.map((lease) => [
      path(`${lease.mountpoint}/${lease.path}`),
      cell(lease.device || "this workstation"),
      cell(lease.taken ? "somebody locked it" : "it is open"),
    ]),
    ...locks.map((token) => [
      path(`${token.mountpoint}/${token.path}`),
      cell(token.device || "this workstation"),
      cell(token.locked ? "programs here lock parts of it" : "programs there lock parts of it"),
    ]),
  ]);
}

export function mounts(facts) {
  at("mounts").hidden = facts.mounts.length === 0;
  at("no-mounts").hidden = facts.mounts.length > 0;
  rows("mounts", facts.mounts.map((mount) => [
    cell(make("b", "", mount.words?.project || mount.project.slice(0, 8))),
    path(mount.mountpoint),
    number(mount.words?.bytes === undefined ? "" : `${size(mount.words.bytes)} in ${mount.words.inodes.toLocaleString("en-US")} files and folders`),
    cell((mount.words?.snapshots || []).join(", ") || "none"),
    cell(mount.pending ? `${mount.pending} on their way` : "none"),
    number(String(mount.conflicts)),
  ]));
  at("collections").textContent = facts.collections.map((each) => each.ended === null
    ? `${each.mountpoint}: ${each.by} frees what nothing needs any more`
    : `${each.mountpoint}: ${size(each.freed_bytes)} freed in the bucket on `
      + `${when(each.ended)} by ${each.by}; not again before ${when(each.next)}`).join("; ");
  at("cache").textContent = `${size(facts.cache.bytes)} in ${facts.cache.blocks.toLocaleString("en-US")} blocks, `
    + `up to ${size(facts.cache.limit)}; ${size(facts.cache.disk_free)} free on the disk`
    + (facts.cache.pinned_bytes ? `; ${size(facts.cache.pinned_bytes)} pinned` : "");
}
