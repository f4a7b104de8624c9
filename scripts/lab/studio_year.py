"""`scripts/bench year`: a year of a studio, on a clock of its own: what its bucket holds, and what keeping it costs.

Ten people work on weekdays at the rates of `STUDIO`. What they do goes through the real replica, the
real entries and the real keeper of checkpoints; what nothing needs is freed by the real collection,
from a past of its own as a workstation has it. Only the kernel, the bytes of files and the network
are left out. A run does a *share* of each day's work, and its figures are for that share.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a run can be repeated

import click
import msgspec
from rich.console import Console
from rich.table import Table

from lab.collected_studio import DAY_NS, MONDAY_NS, Collector, SizedBucket, StudioClock
from lab.life import Life, Writer
from lucidnode.fs.checkpoints.newcomer import Newcomer
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.format.geometry import cipher_size
from lucidnode.fs.history.past import Past
from lucidnode.fs.replica.inode import ROOT, InodeNo, Kind
from lucidnode.fs.replica.intents import Create, NewExtent, Rename, Unlink, Write
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.ids import BlockId

_MIB = 1 << 20
_REQUESTS_A_DAY = 20_000
"""Of `collection.requests-per-day`, where nobody sets it."""

_WORKING_DAYS = 5

_SMALL_AT_ONCE = 20
_SMALL_IN_A_BLOCK = 16
_SMALL_BYTES = 65_536


class Rates(msgspec.Struct, frozen=True):
    """What a studio does on a working day. A file lies in so many blocks of 1 MiB."""

    saves: float
    """Of project files, each 8 MiB: ten people, every twelve minutes of eight hours, by themselves or not."""
    frames: float
    """Rendered by six of them, 8 MiB each; two of three in the place of an earlier version."""
    clips: float
    """Of footage, 400 MiB each."""
    small: float
    """Thumbnails, sidecars and the like, 64 KiB each: sixteen in a block, twenty in an entry."""
    renames: float
    deletes: float
    """Of frames and clips of earlier weeks."""


STUDIO = Rates(saves=400, frames=1800, clips=40, small=2000, renames=200, deletes=300)


class YearFigures(msgspec.Struct, frozen=True):
    """What was there after so many *days*, of a *share* of the studio's work."""

    days: int
    share: float
    entries: int
    files: int
    shown_gib: float
    """What the files show."""
    written_gib: float
    """What was saved in all."""
    journal_mib: float
    checkpoints: int
    checkpoint_mib: float
    """Of the newest one, with all its parts."""
    checkpoints_in_bucket_mib: float
    bucket_gib: float
    """Blocks of files that lie there at the end."""
    freed_gib: float
    replica_mib: float
    newcomer_requests: int
    newcomer_mib: float
    newcomer_cpu_s: float
    rounds: int
    round_lists: float
    """Requests of an average round of the last month, and what it does with them."""
    round_deletes: float
    round_entries: float
    round_cpu_s: float
    left_over: int
    """Blocks that the last round might have deleted and had no requests for."""


class _People:
    """Do what a day brings."""

    def __init__(self, life: Life, bucket: SizedBucket, clock: StudioClock, share: float) -> None:
        self.written = 0
        """Bytes that were saved."""
        self._life = life
        self._bucket = bucket
        self._clock = clock
        self._share = share
        self._chance = Random(2026)  # noqa: S311  # no secret
        self._owed = dict.fromkeys(Rates.__struct_fields__, 0.0)
        self._frames: list[tuple[InodeNo, bytes]] = []
        self._clips: list[tuple[InodeNo, bytes]] = []
        self._folder = ROOT
        self._number = 0
        self._work = {
            "saves": self._save,
            "frames": self._render,
            "clips": self._ingest,
            "small": self._make_small_ones,
            "renames": self._rename,
            "deletes": self._delete,
        }

    async def day(self) -> None:
        """Do a day's share, in an order of chance."""
        work: list[str] = []
        for what in Rates.__struct_fields__:
            self._owed[what] += getattr(STUDIO, what) * self._share
            each = _SMALL_AT_ONCE if what == "small" else 1
            times = int(self._owed[what] / each)
            self._owed[what] -= times * each
            work += [what] * times
        self._chance.shuffle(work)
        self._folder = self._made(b"day %d" % (self._clock.now_ns // DAY_NS), ROOT, Kind.DIRECTORY)
        for what in work:
            self._clock.now_ns += 8 * 3600 * 10**9 // len(work)
            self._work[what]()
            await self._commit()

    async def _commit(self) -> None:
        while self._life.commit(self._clock.now_ns):
            if self._life.is_due:
                await self._life.checkpointed()

    def _save(self) -> None:
        self._saved(ROOT, b"project %d.prproj" % self._chance.randrange(20), 8)

    def _render(self) -> None:
        if self._frames and self._chance.random() < 2 / 3:
            self._saved(*self._chance.choice(self._frames[-20_000:]), 8)
            return
        self._frames.append((self._folder, self._new_name(b"frame.%06d.exr")))
        self._saved(*self._frames[-1], 8)

    def _ingest(self) -> None:
        self._clips.append((self._folder, self._new_name(b"clip %06d.mov")))
        self._saved(*self._clips[-1], 400)

    def _make_small_ones(self) -> None:
        made = [
            self._made(self._new_name(b"thumb %06d.jpg"), self._folder)
            for _ in range(_SMALL_AT_ONCE)
        ]
        for begin in range(0, len(made), _SMALL_IN_A_BLOCK):
            some = made[begin : begin + _SMALL_IN_A_BLOCK]
            block = self._new_block(len(some) * _SMALL_BYTES)
            for place, ino in enumerate(some):
                extent = NewExtent(0, _SMALL_BYTES, block.id, place * _SMALL_BYTES)
                self._life.replica.apply(Write(ino, [extent], [block], self._tick()))

    def _rename(self) -> None:
        if not self._clips:
            return
        at = self._chance.randrange(len(self._clips))
        parent, name = self._clips[at]
        self._clips[at] = parent, self._new_name(b"take %06d.mov")
        self._life.replica.apply(Rename(parent, name, parent, self._clips[at][1], self._tick()))

    def _delete(self) -> None:
        names = self._clips if self._clips and self._chance.random() < 0.05 else self._frames
        if names:
            at = self._chance.randrange(len(names))
            names[at], names[-1] = names[-1], names[at]
            self._life.replica.apply(Unlink(*names.pop(), self._tick(), False))

    def _saved(self, parent: InodeNo, name: bytes, blocks: int) -> None:
        """Save as programs do: a new file, written, and renamed over the old one."""
        part = b"." + name + b".part"
        ino = self._made(part, parent)
        named = [self._new_block(_MIB) for _ in range(blocks)]
        extents = [NewExtent(at * _MIB, _MIB, each.id, 0) for at, each in enumerate(named)]
        self._life.replica.apply(Write(ino, extents, named, self._tick()))
        self._life.replica.apply(Rename(parent, part, parent, name, self._tick()))

    def _made(self, name: bytes, parent: InodeNo, kind: Kind = Kind.FILE) -> InodeNo:
        ino = self._life.replica.new_ino()
        mode = 0o755 if kind is Kind.DIRECTORY else 0o644
        self._life.replica.apply(Create(parent, name, ino, kind, mode, 1000, 1000, self._tick()))
        return ino

    def _new_name(self, pattern: bytes) -> bytes:
        self._number += 1
        return pattern % self._number

    def _new_block(self, size: int) -> BlockName:
        ident = BlockId(self._chance.randbytes(32))
        self._bucket.objects[ident] = cipher_size(size)
        self.written += size
        return BlockName(ident, 1, ident, size)

    def _tick(self) -> int:
        self._clock.now_ns += 1_000_000
        return self._clock.now_ns


async def _year(days: int, share: float, rounds_every: int, folder: Path) -> YearFigures:
    writer, clock = Writer.of_nobody(), StudioClock()
    bucket = SizedBucket(writer)
    begun = Life.begun(folder / "maker.db", writer, store=bucket)
    with contextlib.closing(Past.open(folder, bytes(32), "collector")) as past:
        async with begun as life:
            people = _People(life, bucket, clock, share)
            collector = Collector(past, bucket, writer, clock)
            for day in range(days):
                clock.now_ns = MONDAY_NS + day * DAY_NS + 9 * 3600 * 10**9
                if day % 7 < _WORKING_DAYS:
                    await people.day()
                if day % rounds_every == rounds_every - 1:
                    clock.now_ns = MONDAY_NS + day * DAY_NS + 20 * 3600 * 10**9
                    await collector.round(life, int(_REQUESTS_A_DAY * rounds_every * share))
            return await _figures(days, share, life, bucket, people, collector, clock, folder)


async def _figures(
    days: int,
    share: float,
    life: Life,
    bucket: SizedBucket,
    people: _People,
    collector: Collector,
    clock: StudioClock,
    folder: Path,
) -> YearFigures:
    bucket.requests.clear()
    bucket.read = 0
    newcomer = Replica.open(folder / "newcomer.db", bytes(32), "newcomer")
    begun = time.process_time()
    if await Newcomer(newcomer, bucket, life.codec, Alerts(clock), clock).load() is None:
        raise RuntimeError("no checkpoint was taken")
    newcomer_cpu_s = time.process_time() - begun
    newcomer.close()
    month = collector.rounds[-max(1, len(collector.rounds) // 12) :]
    pieces = sum(map(len, bucket.bodies.values()))
    shown, files = life.replica.tree.usage()[:2]

    def mean(numbers: list[float]) -> float:
        return round(sum(numbers) / len(numbers), 1)

    return YearFigures(
        days=days,
        share=share,
        entries=life.seq,
        files=files,
        shown_gib=round(shown / 1024 / _MIB, 1),
        written_gib=round(people.written / 1024 / _MIB, 1),
        journal_mib=round(bucket.journal_bytes / _MIB, 1),
        checkpoints=len(bucket.manifests),
        checkpoint_mib=round(bucket.read / _MIB, 1),
        checkpoints_in_bucket_mib=round(pieces / _MIB, 1),
        bucket_gib=round((sum(bucket.objects.values()) - pieces) / 1024 / _MIB, 1),
        freed_gib=round(
            sum(told.deleted.bytes for told, _, _ in collector.rounds) / 1024 / _MIB, 1
        ),
        replica_mib=round((folder / "newcomer.db").stat().st_size / _MIB, 1),
        newcomer_requests=sum(bucket.requests.values()),
        newcomer_mib=round(bucket.read / _MIB, 1),
        newcomer_cpu_s=round(newcomer_cpu_s, 1),
        rounds=len(collector.rounds),
        round_lists=mean([asked.get("LIST", 0) for _, asked, _ in month]),
        round_deletes=mean([asked.get("DELETE", 0) for _, asked, _ in month]),
        round_entries=mean([asked.get("PUT entry", 0) for _, asked, _ in month]),
        round_cpu_s=mean([cpu_s for _, _, cpu_s in month]),
        left_over=month[-1][0].left.blocks,
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--days", type=click.IntRange(7), default=364, show_default=True)
@click.option(
    "--share",
    type=click.FloatRange(0.001, 1.0),
    multiple=True,
    default=(0.01, 0.02),
    show_default=True,
    help="Of each day's work; two of them show what grows in proportion.",
)
@click.option("--rounds-every", type=click.IntRange(1, 30), default=7, show_default=True)
def year(days: int, share: tuple[float, ...], rounds_every: int) -> None:
    """Live so many DAYS; a table on standard error, JSON on standard output."""
    found = []
    for each in share:
        with tempfile.TemporaryDirectory() as folder:
            found.append(asyncio.run(_year(days, each, rounds_every, Path(folder))))
    table = Table("", *(f"{told.share:g} of the studio" for told in found))
    for name in YearFigures.__struct_fields__:
        table.add_row(name.replace("_", " "), *(str(getattr(told, name)) for told in found))
    Console(stderr=True, highlight=False).print(table)
    click.echo(msgspec.json.encode(found))


if __name__ == "__main__":
    year()
