"""`scripts/bench compare`: the same work on Lucidnode and on its peers, in turn, in one run.

Each round measures every system once, in another order; all others are unmounted meanwhile. A shared
machine has good and bad minutes, so what says something are ratios of medians within a run.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec
from rich.bar import Bar
from rich.console import Console
from rich.table import Table

from lab.app import run_command
from lab.compare_tasks import ROWS, measure
from lab.compared import (
    PACKAGES,
    FileSystem,
    JuiceFs,
    Lucidnode,
    PlainDisk,
    Rclone,
    S3fs,
    prepared,
)
from lab.errors import LabError
from lab.lab import Lab, make, remove
from lab.packages import install
from lab.record import Plan

_LAB = "compare"
_SYSTEMS = ("disk", "lucidnode", "juicefs", "rclone", "s3fs")

_TABLE_COLUMNS = 160

Values = dict[str, list[float]]
"""Of each row, a value for each round."""


class Row(msgspec.Struct, frozen=True):
    """All that was measured of one system in one row."""

    row: str
    unit: str
    system: str
    values: list[float]
    median: float
    ratio: float | None
    """Lucidnode's median to this one's; above 1, Lucidnode is ahead."""


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--mib", type=click.IntRange(64), default=512, show_default=True, help="File size.")
@click.option("--only", multiple=True, type=click.Choice(_SYSTEMS), help="Leave out the others.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the medians into this SVG.")
def compare(rounds: int, mib: int, only: tuple[str, ...], plot: Path | None) -> None:
    """Compare with JuiceFS, rclone and s3fs; a table on standard error, JSON on standard output."""
    if os.geteuid() != 0:
        raise LabError("comparing needs root: it mounts, and has the kernel forget its pages")
    install(PACKAGES)
    console = Console(stderr=True, highlight=False)
    remove(_LAB)
    try:
        with console.status("starting"):
            lab = make(_LAB, Plan(1, namespaces=False), lambda _: None)
        found = _measured(lab, only or _SYSTEMS, rounds, mib, console)
    finally:
        remove(_LAB)
    rows = list(_rows(found))
    Console(stderr=True, highlight=False, width=_TABLE_COLUMNS).print(_table(rows, list(found)))
    if plot is not None:
        _draw(rows, plot)
    facts = {"rounds": rounds, "mib": mib, "cores": os.cpu_count(), "date": time.strftime("%F")}
    print(msgspec.json.format(msgspec.json.encode({**facts, "rows": rows})).decode())


def _systems(lab: Lab, names: Sequence[str]) -> list[FileSystem]:
    (station,) = lab.workstations.values()
    station.stop()  # each is started when its turn comes
    store = lab.record.s3
    assert store is not None
    made: list[FileSystem] = []
    for name in names:
        match name:
            case "disk":
                made.append(PlainDisk(lab.places.root / "disk"))
            case "lucidnode":
                made.append(Lucidnode(lab))
            case "juicefs":
                made.append(JuiceFs(lab, store))
            case "rclone":
                made.append(Rclone(lab, store))
            case _:
                made.append(S3fs(lab, store))
    return made


def _measured(
    lab: Lab, names: Sequence[str], rounds: int, mib: int, console: Console
) -> dict[str, Values]:
    systems = _systems(lab, names)
    for system in systems:
        console.print(f"[bold]{system.name}[/]: {system.about}")
    found: dict[str, Values] = {system.name: {row: [] for row in ROWS} for system in systems}
    with prepared(systems, lab.places.root):
        for number in range(rounds):
            turn = number % len(systems)
            for system in systems[turn:] + systems[:turn]:
                with console.status(f"round {number + 1} of {rounds}: {system.name}"):
                    system.start()
                    for row, value in measure(system, f"round-{number}", mib):
                        found[system.name][row].append(value)
                        console.print(f"{system.name}: {row}: {value:,.1f} {ROWS[row]}")
                    system.stop()
    return found


def _rows(found: Mapping[str, Values]) -> list[Row]:
    rows = []
    for row, unit in ROWS.items():
        ours = statistics.median(found["lucidnode"][row]) if "lucidnode" in found else None
        for system, values in found.items():
            median = statistics.median(values[row])
            ratio = None
            if ours is not None:
                ratio = median / ours if unit == "ms" else ours / median
            rows.append(Row(row, unit, system, values[row], median, ratio))
    return rows


def _table(rows: Sequence[Row], systems: Sequence[str]) -> Table:
    table = Table("median, and lowest to highest", "", box=None, pad_edge=False)
    for system in systems:
        table.add_column(system, justify="right", no_wrap=True)
    for system in systems:
        if system != "lucidnode":
            table.add_column(f"÷ {system}", justify="right")
    for name, unit in ROWS.items():
        mine = {row.system: row for row in rows if row.row == name}
        cells = [
            f"{each.median:,.1f}\n{min(each.values):,.0f} to {max(each.values):,.0f}"
            for each in mine.values()
        ]
        ratios = [
            "" if each.ratio is None else f"{each.ratio:.2f}"
            for each in mine.values()
            if each.system != "lucidnode"
        ]
        table.add_row(name, unit, *cells, *ratios)
    return table


def _draw(rows: Sequence[Row], path: Path) -> None:
    """Draw a bar for each system in each row, the best one as long as the page is wide."""
    console = Console(record=True, width=110, file=Path(os.devnull).open("w"))  # noqa: SIM115
    table = Table(box=None, pad_edge=False)
    for _ in range(3):
        table.add_column()
    table.add_column(width=50)
    for name, unit in ROWS.items():
        mine = [row for row in rows if row.row == name]
        longest = max(row.median for row in mine)
        for place, row in enumerate(mine):
            color = "green" if row.system == "lucidnode" else "blue"
            said = f"{row.median:,.1f} {unit}"
            bar = Bar(longest, 0, row.median, color=color)
            table.add_row("" if place else name, row.system, said, bar)
    console.print(table)
    console.save_svg(str(path), title="scripts/bench compare")


if __name__ == "__main__":
    run_command(compare)
