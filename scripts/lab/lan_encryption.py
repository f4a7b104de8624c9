"""`scripts/bench lan-encryption`: what blocks cost two workstations that exchange them, in the clear and within TLS.

Both are in this process and speak over loopback, so its CPU time is that of both ends: connection,
TLS, and the check of each block against its name. The rate by the clock is of this machine alone.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import click
import uvloop
from office_fixture import PROJECT, Bucket, Node, Roll, identities, node, until
from rich.console import Console
from rich.table import Table

from lab.app import run_command
from lucidnode.node.client.ids import BlockId

MIB = 1024 * 1024
BLOCK_BYTES = 4 * MIB
AT_ONCE = 8


class Exchanged(NamedTuple):
    """Blocks that one had of the other: MiB, seconds of CPU of both, and seconds by the clock."""

    mib: float
    cpu_s: float
    wall_s: float


async def _exchanged(blocks: int, where: Path, *, encrypt: bool) -> Exchanged:
    bucket, keys = Bucket(), identities(where, 2)
    roll = Roll(*keys)
    ids = [bucket.store(os.urandom(BLOCK_BYTES)) for _ in range(blocks)]
    async with (
        node(keys[0], roll, bucket, encrypt=encrypt) as a,
        node(keys[1], roll, bucket, a.place, encrypt=encrypt) as b,
    ):
        await until(lambda: bool(a.usable() and b.usable()))
        for block in ids:
            await a.source.fetch(PROJECT, block)
        await asyncio.sleep(1)  # offers to the other have arrived: they are not measured
        before = b.traffic.bytes["received"]
        cpu, wall = time.process_time(), time.monotonic()
        await _read(b, ids)
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        return Exchanged((b.traffic.bytes["received"] - before) / MIB, cpu, wall)


async def _read(reader: Node, blocks: list[BlockId]) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(block: BlockId) -> None:
        async with room:
            await reader.source.fetch(PROJECT, block)

    async with asyncio.TaskGroup() as tasks:
        for block in blocks:
            tasks.create_task(one(block))


@click.command("lan-encryption", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--blocks", type=click.IntRange(min=1), default=48, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
def lan_encryption(blocks: int, rounds: int) -> None:
    """Have one workstation read so many BLOCKS of 4 MiB of another, in turn in the clear and within TLS."""
    found: dict[bool, list[Exchanged]] = {False: [], True: []}
    for _ in range(rounds):
        for encrypt, one in found.items():
            with tempfile.TemporaryDirectory() as folder:
                one.append(uvloop.run(_exchanged(blocks, Path(folder), encrypt=encrypt)))
    table = Table("lan.encrypt", "MiB", "MiB for a second of CPU of both", "MiB/s by the clock")
    for encrypt, one in found.items():
        best = sorted(one, key=lambda each: each.mib / each.cpu_s)[len(one) // 2]
        table.add_row(
            "all" if encrypt else "control",
            f"{best.mib:.0f}",
            f"{best.mib / best.cpu_s:.0f}",
            f"{best.mib / best.wall_s:.0f}",
        )
    Console(highlight=False).print(table)


if __name__ == "__main__":
    run_command(lan_encryption)
