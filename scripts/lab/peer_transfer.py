"""`scripts/bench peers`: blocks from an office peer, beside a bare `sendfile` on the same path in the same run.

Two workstations of a lab. `a` has the blocks, `b` asks its daemon for them as a mount would, many at
a time; in turn with that a bare process where `a` is sends the same files to one where `b` is, which
writes them to the same disk (`lab.bare_transfer`). Then `a` reads a file of its own through its mount,
alone, while it serves 1 Gbit/s, and while a bare process sends as much. Who takes that would be on
another machine, so here he keeps nothing, and his kernel copies nothing (`lab.taking_peer`).
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import click
import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from lab.app import run_command
from lab.bare_transfer import Said, moved
from lab.errors import LabError
from lab.footage import Footage
from lab.lab import Lab, make, remove
from lab.places import SCRIPTS
from lab.process import Process, ending
from lab.reading import read_through
from lab.record import Plan
from lab.scene import Scene
from lab.workstation import Workstation
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.ids import BlockId, ProjectId, parse_block_id, parse_project_id

_LAB = "peers"
_MIB = 1024 * 1024
_AT_ONCE = 16
"""Blocks asked for at a time: as a reader's read-ahead does."""

_PATIENCE_S = 20.0

_HEDGED = 0.02
"""The part of all blocks that may come from the bucket: a peer that is slow once is overtaken."""

_GBIT_BYTES_PER_S = 125e6


class Row(msgspec.Struct, frozen=True):
    """What was measured of one thing, a value for each round."""

    row: str
    unit: str
    values: list[float]
    median: float
    aim: str


class Peers:
    """The two workstations; `a` holds *blocks*, the content of the file *name*."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self.a, self.b = lab.workstations.values()
        self.scene = Scene(lab, Footage(lab.places.root / "none"))
        self.name = name
        self.files: list[Path] = []
        self.project: ProjectId

    def fill(self, mib: int) -> None:
        """Write *name* on a, and wait until it is in the bucket and the caches are at rest."""
        path = self.a.mount_point / self.name
        with path.open("wb", buffering=0) as file:
            for _ in range(mib):
                file.write(os.urandom(_MIB))
        self.scene.await_cloud(self.a, [path])
        self.scene.await_file(self.b.mount_point / self.name, mib * _MIB)
        self.scene.await_calm([self.a, self.b])
        (project,) = (self.a.home / "projects").iterdir()
        self.project = parse_project_id(project.name)
        held = (self.a.home / "cache" / "blocks").rglob("*")
        self.files = sorted(each for each in held if each.is_file() and each.stat().st_size > _MIB)
        if len(self.files) < mib:
            raise LabError(f"a holds {len(self.files)} of {mib} blocks")

    def clear_b(self) -> None:
        """Have b forget every block."""
        self.scene.empty_caches([self.b], [])

    def fetched(self) -> float:
        """Have b fetch all blocks; return the seconds it took.

        Asked for in a process of its own, so that nobody here waits for the interpreter.
        """
        sizes = [(each.name, each.stat().st_size) for each in self.files]
        with ProcessPoolExecutor(1, get_context("spawn")) as asking:
            return asking.submit(_fetched, self.b.socket, self.project, sizes).result()

    def bare(self, *, rate: float = 0, keeps: bool = True) -> tuple[Said, Said]:
        """Move the same files by `sendfile`; return what the sender and the receiver say."""
        places = self.a.name, self.b.name
        return moved(self.lab, places, self.a.record.address, self.files, rate=rate, keeps=keeps)

    @contextmanager
    def taking(self, rate: float) -> Iterator[Callable[[], float]]:
        """Give what has all blocks served to who keeps nothing, and returns the seconds it took.

        In the place of b, which is stopped; the link is there before, and so costs nothing then.
        """
        prefix, environment = self.lab.inside(self.b.name)
        port = self.a.facts("status")["addresses"]["control_port"]
        homes = str(self.b.home), str(self.a.home)
        asked = [*homes, self.a.record.address, port, self.project, str(rate)]
        taking = subprocess.Popen(
            [*prefix, "python", "-P", "-m", "lab.taking_peer", *asked],
            env={**environment, "PYTHONPATH": str(SCRIPTS)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with ending(taking) as peer:
            assert peer.stdin is not None
            assert peer.stdout is not None
            for each in self.files:
                peer.stdin.write(f"{each.name} {each.stat().st_size}\n")
            print(file=peer.stdin, flush=True)
            if peer.stdout.readline() != "ready\n":
                raise LabError("the peer that takes blocks has no link")
            yield lambda: float(peer.communicate("\n")[0])


def _fetched(socket: Path, project: ProjectId, sizes: list[tuple[str, int]]) -> float:
    blocks = [(parse_block_id(name), size) for name, size in sizes]
    return asyncio.run(_asked(socket, project, blocks))


async def _asked(socket: Path, project: ProjectId, blocks: list[tuple[BlockId, int]]) -> float:
    room = asyncio.Semaphore(_AT_ONCE)
    async with DaemonClient(socket) as client, asyncio.TaskGroup() as asking:
        began, elsewhere = time.monotonic(), list[str]()

        async def ask(block: BlockId) -> None:
            async with room:
                source, _ = await client.blocks.obtain(project, block, patience_s=_PATIENCE_S)
            if source != "peer":
                elsewhere.append(source)

        for block, _ in blocks:
            asking.create_task(ask(block))
    if len(elsewhere) > _HEDGED * len(blocks):
        raise LabError(f"{len(elsewhere)} of {len(blocks)} blocks came from elsewhere")
    return time.monotonic() - began


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--mib", type=click.IntRange(64), default=384, show_default=True, help="File size.")
@click.option("--loopback", is_flag=True, help="No namespaces: a shorter path, for both.")
def peers(rounds: int, mib: int, loopback: bool) -> None:
    """Measure transfers between two workstations; a table on standard error, JSON on standard output."""
    console = Console(stderr=True, highlight=False)
    remove(_LAB)
    try:
        with console.status("starting") as spinner:
            lab = make(_LAB, Plan(2, namespaces=not loopback and os.geteuid() == 0), lambda _: None)
            office = Peers(lab, "big")
            office.fill(mib)
            spinner.update("measuring")
            rows = []
            for row in chain(_transfers(office, rounds), _own_reads(office, rounds)):
                rows.append(row)
                console.print(f"{row.row}: {row.median:,.3g} {row.unit}")
    finally:
        remove(_LAB)
    table = Table("", box=None, pad_edge=False)
    for column in ("median", "", "lowest to highest", "aim"):
        table.add_column(column, justify="left" if column == "aim" else "right")
    for row in rows:
        span = f"{min(row.values):,.3g} to {max(row.values):,.3g}"
        table.add_row(row.row, f"{row.median:,.3g}", row.unit, span, row.aim)
    console.print(table)
    facts = {
        "rounds": rounds,
        "mib": mib,
        "loopback": loopback,
        "cores": os.cpu_count(),
        "date": time.strftime("%F"),
    }
    print(msgspec.json.format(msgspec.json.encode({**facts, "rows": rows})).decode())


def _row(name: str, unit: str, values: list[float], aim: str = "") -> Row:
    return Row(name, unit, values, statistics.median(values), aim)


def _transfers(office: Peers, rounds: int) -> Iterator[Row]:
    size = sum(each.stat().st_size for each in office.files) / _MIB
    speeds: dict[str, list[float]] = {"peer": [], "bare": [], "ratio": []}
    cpu: dict[str, list[float]] = {"serving": [], "asking": [], "sender": [], "receiver": []}
    # The first round of each warms connections and pages, and counts for nothing.
    for number in range(rounds + 1):
        office.clear_b()
        before = [_cpu(station) for station in (office.a, office.b)]
        speed = size / office.fetched()
        after = [_cpu(station) for station in (office.a, office.b)]
        gave, took = office.bare()
        if not number:
            continue
        bare = size / took["seconds"]
        for name, value in (("peer", speed), ("bare", bare), ("ratio", speed / bare)):
            speeds[name].append(value)
        spent = [late - early for early, late in zip(before, after, strict=True)]
        for name, seconds in zip(cpu, [*spent, gave["cpu_s"], took["cpu_s"]], strict=True):
            cpu[name].append(seconds / size * 1e3)
    yield _row("blocks from a peer", "MiB/s", speeds["peer"])
    yield _row("bare sendfile to a file", "MiB/s", speeds["bare"])
    yield _row("a peer to a bare sendfile", "", speeds["ratio"], "≥ 0.3")
    # 10 Gbit/s are 1,192 MiB/s; each end may use all cores of its workstation for them.
    fits = f"< {(os.cpu_count() or 1) / 1192 * 1e3:.1f} to fill 10 GbE"
    yield _row("CPU of the serving daemon, each MiB", "ms", cpu["serving"], fits)
    yield _row("CPU of the asking daemon, each MiB", "ms", cpu["asking"], fits)
    yield _row("CPU of a bare sender, each MiB", "ms", cpu["sender"])
    yield _row("CPU of a bare receiver, each MiB", "ms", cpu["receiver"])


def _own_reads(office: Peers, rounds: int) -> Iterator[Row]:
    alone: list[float] = []
    serving: list[float] = []
    beside_bare: list[float] = []
    rates: list[float] = []
    path = office.a.mount_point / office.name
    size = sum(each.stat().st_size for each in office.files)
    office.b.stop()
    read_through(path)  # its blocks are in memory from now on, whoever reads
    for _ in range(rounds):
        # For as long as the others move bytes.
        alone.append(_read_beside(path, lambda: time.sleep(size / _GBIT_BYTES_PER_S)))  # noqa: TID251
        with office.taking(_GBIT_BYTES_PER_S) as take:
            serving.append(_read_beside(path, lambda: rates.append(size / take() * 8 / 1e9)))
        beside_bare.append(
            _read_beside(path, lambda: office.bare(rate=_GBIT_BYTES_PER_S, keeps=False))
        )
    yield _row("own reads, alone", "MiB/s", alone)
    yield _row("own reads, serving", "MiB/s", serving)
    yield _row("own reads, beside a bare sendfile", "MiB/s", beside_bare)
    yield _row("served meanwhile", "Gbit/s", rates, "1")
    for name, slowed, aim in (
        ("serving", serving, "≥ 0.9"),
        ("beside a bare sendfile", beside_bare, ""),
    ):
        ratios = [slow / quick for slow, quick in zip(slowed, alone, strict=True)]
        yield _row(f"own reads, {name} to alone", "", ratios, aim)


def _read_beside(path: Path, work: Callable[[], object]) -> float:
    """Return the MiB/s at which *path* is read, again and again, while *work* goes on."""
    with _running(work) as over:
        total, seconds = 0, 0.0
        while not over():
            reading = read_through(path)
            total, seconds = total + reading.bytes, seconds + reading.seconds
    return total / _MIB / seconds


@contextmanager
def _running(work: Callable[[], object]) -> Iterator[Callable[[], bool]]:
    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # handed over, raised below
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield lambda: not thread.is_alive()
    finally:
        thread.join()
    if failed:
        raise failed[0]


def _cpu(station: Workstation) -> float:
    """Return the seconds of CPU that the daemon of *station* has used."""
    return sum(sum(each.cpu_times()[:2]) for each in _family(station))


def _family(station: Workstation) -> list[psutil.Process]:
    """Return the daemon of *station*, and its keeper."""
    running: Process | None = station.record.daemon
    assert running is not None
    parent = psutil.Process(running.pid)
    return [parent, *parent.children(recursive=True)]


if __name__ == "__main__":
    run_command(peers)
