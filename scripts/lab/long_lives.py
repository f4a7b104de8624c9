"""`scripts/bench lives`: what checkpoints cost in the life of a project, and what they spare a newcomer.

One workstation makes all entries, in this process and without a kernel: files are created, saved
anew, renamed and deleted, one change an entry or several, as in an import. Counts and processor seconds, which other work on
the machine changes little; nothing here is timed by the clock on the wall.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import msgspec
import psutil
from blake3 import blake3
from rich.console import Console
from rich.table import Table

from lab.life import EVERY, Life, LifeStore, Writer
from lucidnode.fs.checkpoints.newcomer import Newcomer
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.format.checkpoint import open_checkpoint
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.ids import BlockId, Seq
from lucidnode.node.client.journal import entry_hash

_WRITER = Writer.of_nobody()
_MIB = 1 << 20


class LifeFigures(msgspec.Struct, frozen=True):
    """What was counted over the life of a project of so many *entries*."""

    entries: int
    changes_an_entry: int
    inodes: int
    journal_mib: float
    checkpoints: int
    bases: int
    written_mib: float
    """By all checkpoints together, manifests included."""
    written_newest_mib: float
    keeper_cpu_s: float
    """Of all checkpoints together, and of taking note of each entry."""
    requests: dict[str, int]
    """Of a newcomer, until it stands on the checkpoint."""
    read_mib: float
    tail: int
    """Entries that are left to read then."""
    load_cpu_s: float
    load_memory_mib: float
    """By how much a process that does nothing else grew for it, at most."""
    equal: bool
    """Whether the newcomer's tables are those of the maker at that entry."""
    replay_cpu_s: float | None
    """Of applying all entries instead; None if that was not tried."""


async def _life(
    entries: int, changes: int, files: int, folder: Path, *, replay: bool
) -> LifeFigures:
    cpu_s, written, newest = 0.0, 0, 0
    state = b""
    async with Life.begun(folder / "maker.db", _WRITER, files=files, seed=entries) as life:
        store, codec, maker = life.store, life.codec, life.replica
        while life.seq < entries:
            will_be_due = (life.seq + 1) % EVERY == 0
            held = sum(map(len, store.bodies.values())) if will_be_due else 0
            life.work(changes)
            begun = time.process_time()
            if life.is_due:
                await life.checkpointed()
                newest = sum(map(len, store.bodies.values())) - held
                newest += len(store.manifests[life.seq])
                written += newest
            cpu_s += time.process_time() - begun
            if life.seq == entries // EVERY * EVERY:
                state = state_of(maker)
        inodes = maker.tree.usage()[1]
    clock = SystemClock()
    bases = sum(
        len(open_checkpoint(_WRITER.keys, raw, Seq(seq), codec.may_write_now)[1].parts) == 1
        for seq, raw in store.manifests.items()
    )
    store.requests.clear()
    newcomer = Replica.open(folder / "newcomer.db", bytes(32), "newcomer")
    begun = time.process_time()
    stands = await Newcomer(newcomer, store, codec, Alerts(clock), clock).load() or 0
    load_cpu_s = time.process_time() - begun
    newcomer.close()
    newcomer = Replica.open(folder / "newcomer.db", bytes(32), "newcomer")
    told = LifeFigures(
        entries=entries,
        changes_an_entry=changes,
        inodes=inodes,
        journal_mib=round(store.journal_bytes / _MIB, 1),
        checkpoints=len(store.manifests),
        bases=bases,
        written_mib=round(written / _MIB, 2),
        written_newest_mib=round(newest / _MIB, 3),
        keeper_cpu_s=round(cpu_s, 2),
        requests=dict(store.requests),
        read_mib=round(store.read / _MIB, 2),
        tail=entries - stands,
        load_cpu_s=round(load_cpu_s, 2),
        load_memory_mib=_load_memory(store, folder),
        equal=state_of(newcomer) == state,
        replay_cpu_s=_replayed(store, codec, folder) if replay else None,
    )
    newcomer.close()
    return told


def _load_memory(store: LifeStore, folder: Path) -> float:
    """Have a process of its own load the newest checkpoint; return its growth in MiB."""
    kept = folder / "store"
    kept.write_bytes(msgspec.msgpack.encode((store.entries, store.manifests, store.bodies)))
    asked = [sys.executable, "-P", "-m", "lab.long_lives", "--newcomer", str(folder)]
    return float(subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout)


def _grown(folder: Path) -> float:
    store, clock = LifeStore(_WRITER), SystemClock()
    kept = tuple[dict[int, bytes], dict[int, bytes], dict[BlockId, bytes]]
    store.entries, store.manifests, store.bodies = msgspec.msgpack.decode(
        (folder / "store").read_bytes(), type=kept
    )
    replica = Replica.open(folder / "measured.db", bytes(32), "measured")
    Path("/proc/self/clear_refs").write_text("5")  # begins the count of the peak anew (proc(5))
    before = psutil.Process().memory_info().rss
    if asyncio.run(Newcomer(replica, store, _WRITER.codec(), Alerts(clock), clock).load()) is None:
        raise RuntimeError("the checkpoint was not taken")
    replica.close()
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return round(int(peak) / 1024 - before / _MIB, 1)


def state_of(replica: Replica) -> bytes:
    """Return a hash of the replicated tables."""
    snapshot = replica.snapshot()
    assert snapshot is not None
    hashed = blake3()
    with contextlib.closing(snapshot):
        for table in ("inode", "name", "extent", "block", "xattr"):
            for row in snapshot.table(table):
                hashed.update(msgspec.msgpack.encode(row))
    return hashed.digest()


def _replayed(store: LifeStore, codec: EntryCodec, folder: Path) -> float:
    replica = Replica.open(folder / "replayed.db", bytes(32), "replayed")
    begun = time.process_time()
    link = bytes(32)
    for seq, body in store.entries.items():
        change = codec.open(body, Seq(seq), link)
        link = entry_hash(body)
        replica.entries.apply_entry(Seq(seq), link, change.changeset)
    cpu_s = time.process_time() - begun
    replica.close()
    return round(cpu_s, 1)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("entries", type=click.IntRange(1000), nargs=-1)
@click.option("--changes", type=click.IntRange(1, 200), default=1, help="Changes an entry.")
@click.option("--replay", is_flag=True, help="Apply all entries as well, for comparison.")
@click.option(
    "--files", type=int, default=0, help="Files that are there before; not with --replay."
)
@click.option("--newcomer", type=click.Path(path_type=Path), hidden=True)
def lives(
    entries: tuple[int, ...], changes: int, files: int, newcomer: Path | None, *, replay: bool
) -> None:
    """Measure lives of so many ENTRIES; a table on standard error, JSON on standard output."""
    if newcomer is not None:
        click.echo(_grown(newcomer))
        return
    if files and replay:
        raise click.UsageError("no entry makes the files of --files: they cannot be replayed")
    found = []
    for each in entries or (10_000,):
        with tempfile.TemporaryDirectory() as folder:
            found.append(asyncio.run(_life(each, changes, files, Path(folder), replay=replay)))
    table = Table("", *(f"{life.entries:,} entries" for life in found))
    for name in LifeFigures.__struct_fields__:
        table.add_row(name.replace("_", " "), *(str(getattr(life, name)) for life in found))
    Console(stderr=True, highlight=False).print(table)
    click.echo(msgspec.json.encode(found))


if __name__ == "__main__":
    lives()
