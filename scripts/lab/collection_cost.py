"""`scripts/bench collection`: what a round of a collection asks of the bucket, and what it adds to the journal.

A project of so many blocks, of which a part is deleted; then four rounds on the studio's clock: one
that lists what is unused, one in between that finds nothing, one that makes the lists final, and one
that deletes.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a run can be repeated

import click
import msgspec
from rich.console import Console
from rich.table import Table

from lab.collected_studio import DAY_NS, MONDAY_NS, Collector, SizedBucket, StudioClock
from lab.life import Life, Writer
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.format.geometry import cipher_size
from lucidnode.fs.history.past import Past
from lucidnode.fs.replica.inode import ROOT, Kind
from lucidnode.fs.replica.intents import Create, NewExtent, Unlink, Write
from lucidnode.node.client.ids import BlockId

_MIB = 1 << 20
_BLOCKS_IN_A_FILE = 10
_FILES_IN_AN_ENTRY = 50
_ENDLESS = 10**9

_ROUNDS = {"lists": 0, "finds nothing": 1, "makes final": 34, "deletes": 36}
"""The day of each."""


class RoundCost(msgspec.Struct, frozen=True):
    """What one round of a project of so many *blocks* took."""

    blocks: int
    round: str
    lists: int
    """Requests that list a thousand blocks each."""
    entries: int
    """Made and created, with a look at the one before."""
    journal_bytes: int
    deletes: int
    freed_gib: float
    cpu_s: float


async def _cost(blocks: int, share: float, folder: Path) -> list[RoundCost]:
    writer, clock = Writer.of_nobody(), StudioClock()
    bucket = SizedBucket(writer)
    begun = Life.begun(folder / "maker.db", writer, store=bucket)
    with contextlib.closing(Past.open(folder, bytes(32), "collector")) as past:
        async with begun as life:
            names = await _made(life, bucket, clock, blocks)
            collector = Collector(past, bucket, writer, clock)
            # One that is not counted: a workstation reads the journal once, and not for each round.
            await collector.round(life, _ENDLESS)
            for gone in names[: int(len(names) * share)]:
                life.replica.apply(Unlink(ROOT, gone, clock.now_ns, False))
            await _commit(life, clock)
            found = []
            for name, day in _ROUNDS.items():
                clock.now_ns = MONDAY_NS + (day + 1) * DAY_NS
                size, there = bucket.journal_bytes, sum(bucket.objects.values())
                await collector.round(life, _ENDLESS)
                _, asked, cpu_s = collector.rounds[-1]
                found.append(
                    RoundCost(
                        blocks,
                        name,
                        asked.get("LIST", 0),
                        asked.get("PUT entry", 0),
                        bucket.journal_bytes - size,
                        asked.get("DELETE", 0),
                        round((there - sum(bucket.objects.values())) / 1024 / _MIB, 2),
                        round(cpu_s, 2),
                    )
                )
            return found


async def _made(life: Life, bucket: SizedBucket, clock: StudioClock, blocks: int) -> list[bytes]:
    chance = Random(2026)  # noqa: S311  # no secret
    names = [b"plate.%06d.exr" % number for number in range(blocks // _BLOCKS_IN_A_FILE)]
    for number, name in enumerate(names, 1):
        ino = life.replica.new_ino()
        clock.now_ns += 10**6
        life.replica.apply(Create(ROOT, name, ino, Kind.FILE, 0o644, 1000, 1000, clock.now_ns))
        ids = [BlockId(chance.randbytes(32)) for _ in range(_BLOCKS_IN_A_FILE)]
        bucket.objects.update(dict.fromkeys(ids, cipher_size(_MIB)))
        extents = [NewExtent(at * _MIB, _MIB, each, 0) for at, each in enumerate(ids)]
        named = [BlockName(each, 1, each, _MIB) for each in ids]
        life.replica.apply(Write(ino, extents, named, clock.now_ns))
        if number % _FILES_IN_AN_ENTRY == 0:
            await _commit(life, clock)
    return names


async def _commit(life: Life, clock: StudioClock) -> None:
    while life.commit(clock.now_ns):
        if life.is_due:
            await life.checkpointed()


@click.command("collection", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("blocks", type=click.IntRange(1000), nargs=-1)
@click.option("--share", type=click.FloatRange(0, 1), default=0.3, show_default=True)
def collection(blocks: tuple[int, ...], share: float) -> None:
    """Collect projects of so many BLOCKS, of which a *share* is deleted."""
    found: list[RoundCost] = []
    for each in sorted(blocks or (10_000, 100_000)):
        with tempfile.TemporaryDirectory() as folder:
            found += asyncio.run(_cost(each, share, Path(folder)))
    table = Table(*(name.replace("_", " ") for name in RoundCost.__struct_fields__))
    for told in found:
        table.add_row(
            *(
                f"{value:,}" if isinstance(value, int) else str(value)
                for value in msgspec.structs.astuple(told)
            )
        )
    Console(stderr=True, highlight=False).print(table)
    click.echo(msgspec.json.encode(found))


if __name__ == "__main__":
    collection()
