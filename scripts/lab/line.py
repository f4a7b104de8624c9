"""`scripts/bench line`: one workstation and a slow line to its bucket, 200 Mbit/s and 30 ms unless said otherwise.

What the line carries is what a bare `sendfile` gets through it, in the same run (`lab.bare_transfer`).
"""

from __future__ import annotations

import os
import secrets
import statistics
import subprocess
import tarfile
import time
from collections.abc import Iterator
from io import BytesIO
from itertools import chain
from pathlib import Path
from random import Random  # noqa: TID251  # seeded

import click
import msgspec
from rich.console import Console
from rich.table import Table

from lab.app import run_command
from lab.bare_transfer import moved
from lab.errors import LabError
from lab.footage import Footage
from lab.lab import Lab, make, remove
from lab.network import CLOUD
from lab.reading import read_at, read_through
from lab.record import Plan
from lab.scene import Scene

_LAB = "line"
_MIB = 1024 * 1024
_SMALL_BYTES = 6_000
_FILES_IN_ONE = 500
_SEEKS = 12
_BETWEEN_SEEKS_S = 1.5
"""Until what a seek had begun to bring here is here: a person looks at a frame for as long."""

AIMS = {"relaxed": 5_000, "local": 1_500}
"""Files a second that `tar x` shall make at each durability."""


class Row(msgspec.Struct, frozen=True):
    """One figure, and what it should be."""

    row: str
    unit: str
    value: float
    aim: str = ""


@click.command()
@click.option("--mib", type=click.IntRange(64), default=128, show_default=True, help="File size.")
@click.option("--files", type=click.IntRange(0), default=20_000, show_default=True)
@click.option("--wan-mbit", type=float, default=200.0, show_default=True)
@click.option("--wan-ms", type=float, default=30.0, show_default=True)
@click.option("--block-size", default="1M", show_default=True, help="Of the project.")
def line(mib: int, files: int, wan_mbit: float, wan_ms: float, block_size: str) -> None:
    """Read and unpack over a slow line; a table on standard error, JSON on standard output."""
    if os.geteuid() != 0:
        raise LabError("a line needs root: it is between two network namespaces")
    console = Console(stderr=True, highlight=False)
    remove(_LAB)
    rows: list[Row] = []
    try:
        with console.status("starting"):
            plan = Plan(1, wan_mbit, wan_ms, block_size=block_size)
            lab = make(_LAB, plan, lambda _: None)
            unpacked = _unpacked(lab, files) if files else ()
            for row in chain(_reads(lab, mib, wan_ms), unpacked):
                rows.append(row)
                console.print(f"{row.row}: {row.value:,.3g} {row.unit}")
    finally:
        remove(_LAB)
    table = Table("", box=None, pad_edge=False)
    table.add_column("value", justify="right")
    for column in ("", "aim"):
        table.add_column(column)
    for row in rows:
        table.add_row(row.row, f"{row.value:,.3g}", row.unit, row.aim)
    console.print(table)
    facts: dict[str, float | str] = {
        "mib": mib,
        "files": files,
        "wan_mbit": wan_mbit,
        "wan_ms": wan_ms,
    }
    facts |= {"block_size": block_size, "cores": os.cpu_count() or 0}
    print(msgspec.json.format(msgspec.json.encode({**facts, "rows": rows})).decode())


def _reads(lab: Lab, mib: int, wan_ms: float) -> Iterator[Row]:
    (station,) = lab.workstations.values()
    scene = Scene(lab, Footage(lab.places.root / "none"))
    whole, sought = station.mount_point / "whole", station.mount_point / "sought"
    for path in (whole, sought):
        path.write_bytes(secrets.token_bytes(mib * _MIB))
    scene.await_cloud(station, [whole, sought])
    scene.empty_caches([station], [Path(whole.name), Path(sought.name)])
    bare = _carried(lab, whole)
    reading = read_through(whole)
    cold = reading.bytes / _MIB / reading.seconds
    yield Row("what the line carries, bare", "MiB/s", bare)
    yield Row("sequential read, cold", "MiB/s", cold)
    yield Row("sequential read, cold, to the line", "", cold / bare, "≥ 0.95")
    # Far from each other and in no order, so that each is a seek.
    places = [part * (mib // _SEEKS) * _MIB + 300_000 for part in range(_SEEKS)]
    Random(1).shuffle(places)  # noqa: S311
    taken = []
    for place in places:
        taken += read_at(sought, [place], 4096)
        time.sleep(_BETWEEN_SEEKS_S)  # noqa: TID251  # a person looks at the frame
    first = statistics.median(taken) * 1e3
    yield Row("seek to the first bytes, median", "ms", first)
    if wan_ms:
        yield Row("seek, in round trips", "", first / wan_ms, "≤ 2")


def _carried(lab: Lab, path: Path) -> float:
    """Return the MiB/s at which a bare sender in the cloud gets bytes to the workstation."""
    (name,) = lab.workstations
    content = lab.places.root / "content"
    content.write_bytes(secrets.token_bytes(path.stat().st_size))
    try:
        _, took = moved(lab, (CLOUD, name), lab.network.address(CLOUD), [content])
    finally:
        content.unlink()
    return took["bytes"] / _MIB / took["seconds"]


def _unpacked(lab: Lab, files: int) -> Iterator[Row]:
    (station,) = lab.workstations.values()
    archive = lab.places.root / "small.tar"
    _archive(archive, files)
    plain = lab.places.root / "plain"
    yield Row("tar x onto the plain disk", "files/s", files / _tar(archive, plain))
    content = lab.places.root / "line-content"
    content.write_bytes(bytes(8 * _MIB))
    _, took = moved(lab, (station.name, CLOUD), station.record.address, [content])
    upwards = took["bytes"] / took["seconds"]
    for level, aim in AIMS.items():
        station.stop()
        station.record.mount_args[:] = ["--durability", level]
        lab.start(station)
        target = station.mount_point / level
        began = time.monotonic()
        yield Row(f"tar x, {level}", "files/s", files / _tar(archive, target), f"≥ {aim:,}")
        station.await_cloud(target.rglob("?????"))
        seconds = time.monotonic() - began
        yield Row(
            f"tar x, {level}, until in the bucket, to the time of its bytes",
            "",
            seconds / (files * _SMALL_BYTES / upwards),
            "≤ 1.3",
        )


def _archive(path: Path, files: int) -> None:
    chance = Random(1)  # noqa: S311  # the same in each run
    with tarfile.open(path, "w") as tar:
        for number in range(files):
            entry = tarfile.TarInfo(f"{number // _FILES_IN_ONE:02}/{number:05}")
            entry.size, entry.mtime = _SMALL_BYTES, 1_700_000_000
            tar.addfile(entry, BytesIO(chance.randbytes(_SMALL_BYTES)))


def _tar(archive: Path, target: Path) -> float:
    """Unpack *archive* into the new directory *target*; return the seconds it took."""
    target.mkdir()
    began = time.monotonic()
    subprocess.run(["tar", "xf", str(archive), "-C", str(target)], check=True)
    return time.monotonic() - began


if __name__ == "__main__":
    run_command(line)
