"""`scripts/bench first-mount`: how long a newcomer waits for a project that has lived, and what it asks for.

One life goes on to each number of entries. What of it a newcomer may ask for (manifests, the pieces
of the three newest checkpoints, the newest entries) is put into a real store, from where a
workstation that has nothing mounts the project over a line of a given rate, and then a second one
beside it. Times are by the clock on the wall, as a person waits.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from lab.app import run_command
from lab.lab import Lab, make, remove
from lab.life import EVERY, Life, Writer
from lab.network import CLOUD
from lab.patience import until
from lab.record import Plan
from lab.scale_start import cpu_s, project_keys
from lab.workstation import Workstation
from lucidnode.direct_bucket import open_directly
from lucidnode.fs.checkpoints.newcomer import MOST_TRIED
from lucidnode.fs.format.checkpoint import open_checkpoint
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.keys import block_key, checkpoint_key, journal_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.client.ids import BlockId, Seq, parse_project_id
from lucidnode.node.config import DEVICE_FILE
from lucidnode.node.identity import DeviceIdentity

_LAB = "firstmount"
_TAIL = EVERY // 2
"""Entries behind the newest checkpoint: as many as there are on average."""

_AT_ONCE = 16
_MIB = 1 << 20
_PATIENCE_S = 180.0


class FirstMount(msgspec.Struct, frozen=True):
    """How two workstations that had nothing came to a project of so many *entries*."""

    entries: int
    inodes: int
    checkpoint_mib: float
    pieces: int
    from_bucket_s: float
    """From the command until the newest file is there."""
    bucket_requests: dict[str, int]
    cpu_s: float
    """Of its mount and its daemon."""
    again_s: float
    """From the command on the same workstation later, when its replica is there: what every mount takes."""
    from_peer_s: float
    peer_requests: dict[str, int]
    """Of the second one, to the bucket: the first has the pieces."""
    peer_cpu_s: float


class _Newcomers:
    """A lab in which a founder has made a project that no workstation has mounted yet."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.founder, *self.others = lab.workstations.values()
        project = parse_project_id(next((self.founder.home / "projects").iterdir()).name)
        keys = project_keys(self.founder, project)
        device = DeviceIdentity.load(self.founder.home / DEVICE_FILE)
        self.writer = Writer(keys, device.public, device.sign)
        for station in lab.workstations.values():
            station.stop()
        for station in self.others:
            (replica,) = (station.home / "projects").iterdir()
            for file in replica.iterdir():
                file.unlink()

    def start_daemon(self, station: Workstation) -> None:
        """Start the daemon of *station*."""
        self._lab.start_daemon(station)

    def put(self, life: Life) -> tuple[int, int]:
        """Put the end of *life* into the store; return pieces and bytes of the newest checkpoint."""
        return self._lab.network.within(CLOUD, lambda: asyncio.run(_put(self._bucket(), life)))

    def _bucket(self) -> Bucket:
        s3 = self._lab.record.s3
        assert s3 is not None
        address = parse_address(self._lab.record.bucket_url, s3.endpoint, "us-east-1")
        return open_directly(
            address, Credentials(s3.access_key, s3.secret_key), Network.of(os.environ, None)
        )

    def mounted(self, station: Workstation, newest: Path) -> tuple[float, dict[str, int], float]:
        """Have *station* mount; return seconds until *newest* is there, its requests, and its CPU."""
        before = self._requests(station)
        began = time.monotonic()
        station.start_mount()
        shown = station.mount_point / newest
        until(shown.exists, within=_PATIENCE_S, what=f"{station.name} does not show {newest}")
        taken = time.monotonic() - began
        now = self._requests(station)
        asked = {what: count - before.get(what, 0) for what, count in now.items()}
        running = (station.record.daemon, station.record.mount)
        used = sum(cpu_s(process) for process in running if process is not None)
        return taken, {what: count for what, count in asked.items() if count}, used

    def _requests(self, station: Workstation) -> dict[str, int]:
        def read() -> str:
            with urllib.request.urlopen(station.status().metrics_url, timeout=10) as answer:  # noqa: S310
                return str(answer.read().decode())

        found: dict[str, int] = {}
        for labels, number in re.findall(
            r"lucidnode_bucket_requests_total{(.*)} (\S+)",
            self._lab.network.within(station.name, read),
        ):
            told = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            what = f"{told['operation']} {told['kind']}"
            found[what] = found.get(what, 0) + int(float(number))
        return found


async def _put(bucket: Bucket, life: Life) -> tuple[int, int]:
    store, project = life.store, life.writer.keys.project
    objects = {checkpoint_key(project, Seq(seq)): body for seq, body in store.manifests.items()}
    objects |= {journal_key(project, Seq(seq)): body for seq, body in store.entries.items()}
    pieces = _pieces(life, max(store.manifests))
    for seq in sorted(store.manifests)[-MOST_TRIED:]:
        objects |= {block_key(project, block): store.bodies[block] for block in _pieces(life, seq)}
    left = iter(objects.items())

    async def work() -> None:
        for key, body in left:
            await bucket.put(key, body)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())
    return len(pieces), sum(len(store.bodies[block]) for block in pieces)


def _pieces(life: Life, seq: int) -> list[BlockId]:
    manifest = life.store.manifests[seq]
    keys, may_write = life.writer.keys, life.codec.may_write_now
    _, contents = open_checkpoint(keys, manifest, Seq(seq), may_write)
    return [piece.block.id for part in contents.parts for piece in part.pieces]


def _forget_old(life: Life) -> None:
    """Keep of *life* what a newcomer may ask for: the bucket of a year does not fit into memory."""
    newest = sorted(life.store.manifests)[-MOST_TRIED:]
    kept = {block for seq in newest for block in _pieces(life, seq)}
    for block in life.store.bodies.keys() - kept:
        del life.store.bodies[block]


async def _gone_on(life: Life, entries: int, tell: Callable[[int], None]) -> None:
    while life.seq < entries:
        life.work(1)
        if life.is_due:
            await life.checkpointed()
            if life.seq % (10 * EVERY) == 0:
                _forget_old(life)
                tell(life.seq)
    _forget_old(life)


def _measured(
    newcomers: _Newcomers, life: Life, first: Workstation, second: Workstation
) -> FirstMount:
    pieces, size = newcomers.put(life)
    newest = life.editor.newest()
    newcomers.start_daemon(first)
    alone = newcomers.mounted(first, newest)
    first.stop()
    newcomers.start_daemon(first)
    again = newcomers.mounted(first, newest)
    newcomers.start_daemon(second)
    until(partial(second.talks_to, 1), within=30, what="the two do not meet")
    beside = newcomers.mounted(second, newest)
    for station in (first, second):
        station.stop()
    return FirstMount(
        life.seq,
        life.replica.tree.usage()[1],
        round(size / _MIB, 1),
        pieces,
        round(alone[0], 1),
        alone[1],
        round(alone[2], 1),
        round(again[0], 1),
        round(beside[0], 1),
        beside[1],
        round(beside[2], 1),
    )


async def _run(
    sizes: list[int], files: int, newcomers: _Newcomers, folder: Path
) -> list[FirstMount]:
    console = Console(stderr=True, highlight=False)
    found = []
    stations = iter(newcomers.others)
    begun = Life.begun(
        folder / "maker.db", newcomers.writer, files=files, kept_entries=(MOST_TRIED + 1) * EVERY
    )
    with console.status("living") as spinner:
        async with begun as life:
            for entries in sizes:
                await _gone_on(
                    life, entries + _TAIL, lambda seq: spinner.update(f"living: entry {seq:,}")
                )
                spinner.update(f"mounting at entry {life.seq:,}")
                pair = next(stations), next(stations)
                # In a thread: the bucket is asked on a loop of its own.
                found.append(await asyncio.to_thread(_measured, newcomers, life, *pair))
    return found


@click.command("first-mount", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("entries", type=click.IntRange(2 * EVERY), nargs=-1)
@click.option("--files", type=int, default=0, help="Files that are there before the first entry.")
@click.option("--wan-mbit", type=float, default=200.0, show_default=True)
@click.option("--wan-ms", type=float, default=20.0, show_default=True)
def first_mount(entries: tuple[int, ...], files: int, wan_mbit: float, wan_ms: float) -> None:
    """Mount projects of so many ENTRIES for the first time; needs root."""
    sizes = sorted(entries or (10_000, 100_000, 1_000_000))
    remove(_LAB)
    try:
        plan = Plan(1 + 2 * len(sizes), wan_mbit, wan_ms, namespaces=True)
        newcomers = _Newcomers(make(_LAB, plan, lambda _: None))
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(_run(sizes, files, newcomers, Path(folder)))
    finally:
        remove(_LAB)
    table = Table("", *(f"{each.entries:,} entries" for each in found))
    for name in FirstMount.__struct_fields__:
        table.add_row(name.replace("_", " "), *(str(getattr(each, name)) for each in found))
    Console(stderr=True, highlight=False).print(table)
    print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    run_command(first_mount)
