"""`scripts/bench visible`: how long until what is done on one workstation shows on another of the office.

From the return of the call (for content: of `close`) until a program on the other one sees it, the requests
to the bucket in between included: a PUT for an entry, and one before it for content.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from lab.app import run_command
from lab.errors import LabError
from lab.patience import until
from lab.two_nodes import TwoNodes, two_nodes

_FOLDER = "visible"
_REST_S = 1.5
"""Between two saves: each is the first after a rest, as a person's are."""

_PATIENCE_S = 30.0
_LOOK_INTERVAL_S = 0.0005


class Visibility(msgspec.Struct, frozen=True):
    """How long it took until something showed, in milliseconds."""

    name: str
    median: float
    nine_of_ten: float
    longest: float


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--times", type=click.IntRange(10), default=30, show_default=True)
def visible(times: int) -> None:
    """Measure until others see; a table on standard error, JSON on standard output."""
    console = Console(stderr=True, highlight=False)
    with two_nodes("visible") as nodes:
        figures = _Looks(nodes, times).measured()
    table = Table("what", box=None, pad_edge=False)
    for column in ("median, ms", "9 of 10", "longest"):
        table.add_column(column, justify="right")
    for each in figures:
        table.add_row(each.name, *(f"{value:.0f}" for value in msgspec.structs.astuple(each)[1:]))
    console.print(table)
    print(msgspec.json.format(msgspec.json.encode({"times": times, "figures": figures})).decode())


class _Looks:
    def __init__(self, nodes: TwoNodes, times: int) -> None:
        self.times = times
        self.here, self.there = nodes.here / _FOLDER, nodes.there / _FOLDER
        self.pause = threading.Event()

    def measured(self) -> list[Visibility]:
        """Return how long each kind of change took."""
        self.here.mkdir()
        (self.here / "doc").write_text("0" * 4096)
        there = self.there / "doc"
        until(lambda: there.exists() and there.stat().st_size == 4096, within=60, what="doc")
        kinds = (self._folder, self._mode, self._rewrite, self._new_file, self._rename)
        return [self._of(kind) for kind in kinds]

    def _of(self, kind: Callable[[int], tuple[str, Callable[[], bool]]]) -> Visibility:
        took: list[float] = []
        name = ""
        for number in range(self.times):
            self.pause.wait(_REST_S)
            name, is_seen = kind(number)
            took.append(1000 * self._until(is_seen, name))
        took.sort()
        return Visibility(name, statistics.median(took), took[9 * self.times // 10 - 1], took[-1])

    def _until(self, is_seen: Callable[[], bool], name: str) -> float:
        begun = time.perf_counter()
        while not is_seen():
            if time.perf_counter() - begun > _PATIENCE_S:
                raise LabError(f"{name}: not seen after {_PATIENCE_S:.0f} s")
            self.pause.wait(_LOOK_INTERVAL_S)
        return time.perf_counter() - begun

    # -- kinds of changes --------------------------------------------------------------------------

    def _folder(self, number: int) -> tuple[str, Callable[[], bool]]:
        (self.here / f"folder {number}").mkdir()
        return "a new folder in a listing", lambda: f"folder {number}" in os.listdir(self.there)  # noqa: PTH208  # one call

    def _mode(self, number: int) -> tuple[str, Callable[[], bool]]:
        mode = 0o600 + number % 2
        (self.here / "doc").chmod(mode)
        return "an attribute", lambda: (self.there / "doc").stat().st_mode & 0o777 == mode

    def _rewrite(self, number: int) -> tuple[str, Callable[[], bool]]:
        content = f"{number:04}" + "w" * 4092
        with (self.here / "doc").open("r+") as file:
            file.write(content)
        return "4 KiB rewritten, in pages that were read before", _shows(
            self.there / "doc", content
        )

    def _new_file(self, number: int) -> tuple[str, Callable[[], bool]]:
        path = f"new {number}"
        (self.here / path).write_text("n" * 4096)
        return "a new file of 4 KiB, whole", _shows(self.there / path, "n" * 4096)

    def _rename(self, number: int) -> tuple[str, Callable[[], bool]]:
        content = f"{number:04}" + "r" * 4092
        (self.here / "scratch").write_text(content)
        (self.here / "scratch").replace(self.here / "saved")
        return "a save of 4 KiB by rename", _shows(self.there / "saved", content)


def _shows(path: Path, content: str) -> Callable[[], bool]:
    def shows() -> bool:
        try:
            return path.read_text() == content
        except FileNotFoundError:
            return False

    return shows


if __name__ == "__main__":
    run_command(visible)
