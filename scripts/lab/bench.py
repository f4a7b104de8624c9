"""`scripts/bench`: how fast this machine does the things that editors wait for.

Two workstations. Figures depend on the machine and on what else it does: nothing tests them.
"""

from __future__ import annotations

import math
import os
import secrets
import statistics
import subprocess
import time
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from lab.app import run_command
from lab.footage import Footage
from lab.lab import make, remove
from lab.reading import forget, read_at, read_through
from lab.record import Plan
from lab.scene import Scene
from lab.workstation import Workstation

_LAB = "bench"
_MIB = 1024 * 1024
_SMALL_FILES = 2_000
_SMALL_SIZE = 4_096
_RANDOM_READS = 2_000
_CLIP_BYTES = 10 * 10**9


class Figure(msgspec.Struct, frozen=True):
    """One measured value."""

    name: str
    value: float
    unit: str


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--mib", type=click.IntRange(8), default=256, show_default=True, help="File size.")
@click.option("--wan-mbit", type=float, help="Rate of the line to the bucket; unshaped without.")
@click.option("--wan-ms", type=float, default=0.0, help="What it adds to a round trip.")
def bench(mib: int, wan_mbit: float | None, wan_ms: float) -> None:
    """Measure reading and writing; a table on standard error, JSON on standard output."""
    rooted = os.geteuid() == 0
    console = Console(stderr=True, highlight=False)
    remove(_LAB)
    try:
        with console.status("starting") as spinner:
            plan = Plan(2, wan_mbit, wan_ms, namespaces=rooted)
            lab = make(_LAB, plan, lambda what: spinner.update(f"starting: {what}"))
            spinner.update("measuring")
            figures = _measure(Scene(lab, Footage(lab.places.root / "none")), mib)
    finally:
        remove(_LAB)
    _print_table(figures, console)
    facts = {"mib": mib, "wan_mbit": wan_mbit, "wan_ms": wan_ms, "namespaces": rooted}
    print(msgspec.json.format(msgspec.json.encode({**facts, "figures": figures})).decode())


def _measure(scene: Scene, mib: int) -> list[Figure]:
    a, b = scene.lab.workstations.values()
    written = a.mount_point / "sequential"
    figures = _write(scene, a, written, mib)
    there = b.mount_point / written.name
    scene.await_file(there, mib * _MIB)

    scene.empty_caches([a, b], [Path(written.name)])
    figures.append(_rate("sequential read, cold", there))
    # Now a has its part of the blocks as their owner; reading makes it the rest.
    read_through(written)
    scene.empty_caches([b], [Path(written.name)])
    figures.append(_rate("sequential read, warm from a peer", there))
    figures.append(_rate("sequential read, warm from disk", there))

    slots = mib * _MIB // 4096
    places = [secrets.randbelow(slots) * 4096 for _ in range(_RANDOM_READS)]
    taken = sorted(read_at(there, places, 4096))
    figures.append(Figure("4 KiB random read, warm", len(taken) / sum(taken), "reads/s"))
    figures.append(Figure("4 KiB random read, warm, median", statistics.median(taken) * 1e6, "µs"))
    slow = taken[math.ceil(len(taken) * 0.99) - 1]
    figures.append(Figure("4 KiB random read, warm, 99th percentile", slow * 1e6, "µs"))
    return [*figures, *_small_files(scene, a), copied(a)]


def copied(station: Workstation) -> Figure:
    """Time `cp` of a clip of 10 GB within the project: as many extents as one that was filmed."""
    clip = station.mount_point / "clip"
    clip.write_bytes(secrets.token_bytes(64 * _MIB))
    with clip.open("r+b", buffering=0) as file:
        while (size := os.fstat(file.fileno()).st_size) < _CLIP_BYTES:
            wanted = min(size, _CLIP_BYTES - size)
            os.copy_file_range(file.fileno(), file.fileno(), wanted, 0, size)
    began = time.monotonic()
    subprocess.run(["cp", clip, station.mount_point / "copy"], check=True)
    return Figure("cp of a clip of 10 GB", (time.monotonic() - began) * 1e3, "ms")


def _write(scene: Scene, station: Workstation, target: Path, mib: int) -> list[Figure]:
    # Random, so that no block equals another and nothing is sealed once for two.
    content = [secrets.token_bytes(_MIB) for _ in range(mib)]
    began = time.monotonic()
    with target.open("wb", buffering=0) as file:
        for piece in content:
            file.write(piece)
    closed = time.monotonic() - began
    scene.await_cloud(station, [target])
    uploaded = time.monotonic() - began
    return [
        Figure("sequential write, until close", mib * _MIB / closed / 1e6, "MB/s"),
        Figure("sequential write, until in the bucket", mib * _MIB / uploaded / 1e6, "MB/s"),
    ]


def _rate(name: str, path: Path) -> Figure:
    return Figure(name, read_through(path).mb_per_second, "MB/s")


def _small_files(scene: Scene, station: Workstation) -> list[Figure]:
    folder = station.mount_point / "small"
    folder.mkdir()
    content = secrets.token_bytes(_SMALL_SIZE)
    began = time.monotonic()
    for number in range(_SMALL_FILES):
        (folder / f"{number:04}").write_bytes(content)
    created = time.monotonic() - began
    scene.await_cloud(station, folder.iterdir())
    for path in folder.iterdir():
        forget(path)
    began = time.monotonic()
    for path in sorted(folder.iterdir()):
        path.read_bytes()
    read = time.monotonic() - began
    name = f"{_SMALL_FILES} files of 4 KiB"
    return [
        Figure(f"{name}, created", _SMALL_FILES / created, "files/s"),
        Figure(f"{name}, read", _SMALL_FILES / read, "files/s"),
    ]


def _print_table(figures: list[Figure], console: Console) -> None:
    table = Table("", box=None, pad_edge=False)
    table.add_column("value", justify="right")
    table.add_column("unit")
    for figure in figures:
        table.add_row(figure.name, f"{figure.value:,.0f}", figure.unit)
    console.print(table)


if __name__ == "__main__":
    run_command(bench)
