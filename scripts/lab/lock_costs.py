"""`scripts/bench locks`: what locks and names between two workstations cost, in requests to the bucket.

Each operation is done some times, and what both daemons asked of the bucket for the journal is counted until
nothing moves any more. What they ask in such a time anyway, to see whether there is news, was counted before, with
nothing going on, and is taken off. Counts do not depend on how fast the machine is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from lab.app import run_command
from lab.command import run
from lab.two_nodes import TwoNodes, two_nodes
from lab.workstation import Workstation

_FOLDER = "costs"
_IDLE_S = 30.0
_QUIET_S = 1.0
_SAMPLE = re.compile(
    r'lucidnode_bucket_requests_total\{kind="journal",operation="(\w+)",outcome="(\w+)"\} ([\d.]+)'
)

Requests = Counter[str]


class OperationCost(msgspec.Struct, frozen=True):
    """What one such operation costs: requests that made an entry, lost a slot, and read the journal.

    *waits* is for how long the program waits, in times of a `lock take` of the same run: that is one entry.
    """

    name: str
    made: float
    lost: float
    read: float
    waits: float


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--times", type=click.IntRange(1), default=10, show_default=True)
def locks(times: int) -> None:
    """Count requests of locks and names; a table on standard error, JSON on standard output."""
    console = Console(stderr=True, highlight=False)
    with two_nodes("costs") as nodes:
        costs = _Costs(nodes, times).measured()
    table = Table("operation", box=None, pad_edge=False)
    for column in ("entries", "lost slots", "reads", "waits, in entries"):
        table.add_column(column, justify="right")
    for each in costs:
        table.add_row(each.name, *(f"{value:.1f}" for value in msgspec.structs.astuple(each)[1:]))
    console.print(table)
    print(msgspec.json.format(msgspec.json.encode({"times": times, "costs": costs})).decode())


class _Costs:
    def __init__(self, nodes: TwoNodes, times: int) -> None:
        self.nodes = nodes
        self.times = times
        self.here, self.there = nodes.here / _FOLDER, nodes.there / _FOLDER
        self.idle_per_s: dict[str, float] = {}
        self.entry_s = 0.0
        self.pause = threading.Event()

    def measured(self) -> list[OperationCost]:
        """Return what each operation costs, in the order of docs/semantics.md."""
        self.here.mkdir()
        for name in ("plain", "film.prproj", "mine.prproj", "taken"):
            (self.here / name).write_text(name)
        (self.here / "own").mkdir()
        self.nodes.await_same(_FOLDER)
        self._count_idle()
        self._time_one_entry()
        return [
            self._cost("a small file: create, write, close", self._small_file),
            self._cost("the same at --lock-on-open, a new .prproj", self._new_project),
            self._cost("a lock where the token is", self._own_lock),
            self._cost("a lock where another workstation has the token", self._lock_in_turns),
            self._cost("open, write and close of a .prproj", self._write_project),
            self._cost("open of a .prproj that is refused", self._refused, self._held_project),
            self._cost("O_EXCL in a directory that is here, and unlink", self._own_name),
            self._cost("O_EXCL where another workstation has the directory", self._name_in_turns),
            self._cost("O_EXCL of a name that is there", self._name_there),
            self._cost("lock take and lock release", self._take_and_release),
        ]

    # -- counting ------------------------------------------------------------------------------

    def _requests(self) -> Requests:
        """Return what both daemons have asked of the bucket for the journal since they started."""
        total: Requests = Counter()
        for station in (self.nodes.a, self.nodes.b):
            for verb, outcome, count in _SAMPLE.findall(self._metrics(station)):
                total[_group(verb, outcome)] += round(float(count))
        return total

    def _metrics(self, station: Workstation) -> str:
        fetch = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
        prefix, env = self.nodes.lab.inside(station.name)
        return run([*prefix, "python", "-c", fetch, station.status().metrics_url], env=env)

    def _count_idle(self) -> None:
        self.nodes.settle()
        before, begun = self._requests(), time.monotonic()
        self.pause.wait(_IDLE_S)
        after, took_s = self._requests(), time.monotonic() - begun
        self.idle_per_s = {kind: (after[kind] - before[kind]) / took_s for kind in after}

    def _cost(
        self,
        name: str,
        operation: Callable[[int], None],
        meanwhile: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> OperationCost:
        with meanwhile():
            operation(-1)  # whoever has the token, the directory or the file: it is his now
            self._rest()
            before, begun = self._requests(), time.monotonic()
            waited_s: list[float] = []
            for number in range(self.times):
                waited_s.append(_took_s(partial(operation, number)))
                self._rest()
            after, took_s = self._requests(), time.monotonic() - begun

        def each(kind: str) -> float:
            asked = after[kind] - before[kind] - self.idle_per_s.get(kind, 0.0) * took_s
            return max(0.0, asked / self.times)

        waits = statistics.median(waited_s) / self.entry_s
        return OperationCost(name, each("made"), each("lost"), each("read"), waits)

    def _time_one_entry(self) -> None:
        """See how long a program waits for an entry: for one that it is told of once it is committed."""
        took_s: list[float] = []
        for _ in range(self.times):
            took_s.append(_took_s(partial(self._order, b"take")))
            self._rest()
            self._order(b"release")
            self._rest()
        self.entry_s = statistics.median(took_s)

    def _rest(self) -> None:
        """Return once nothing is on its way, and nothing follows by itself: leases are given back after two seconds."""
        self.pause.wait(_QUIET_S)
        self.nodes.settle()

    # -- operations ----------------------------------------------------------------------------

    def _small_file(self, number: int) -> None:
        (self.here / f"small {number}").write_text("small")

    def _new_project(self, number: int) -> None:
        (self.here / f"new {number}.prproj").write_text("new")

    def _own_lock(self, _: int) -> None:
        _lock(self.here / "plain")

    def _lock_in_turns(self, number: int) -> None:
        _lock((self.there, self.here)[number % 2] / "plain")

    def _write_project(self, _: int) -> None:
        (self.here / "film.prproj").write_text("saved")
        self.pause.wait(3.0)  # until it is given back

    @contextlib.contextmanager
    def _held_project(self) -> Iterator[None]:
        with (self.there / "mine.prproj").open("r+b"):
            self._rest()
            yield

    def _refused(self, _: int) -> None:
        with contextlib.suppress(PermissionError):
            os.close(os.open(self.here / "mine.prproj", os.O_RDWR))
            raise AssertionError("a file that another workstation has was opened")

    def _own_name(self, number: int) -> None:
        _make(self.here / "own" / f"lock {number}").unlink()

    def _name_in_turns(self, number: int) -> None:
        _make((self.there, self.here)[number % 2] / f"turn {number}")

    def _name_there(self, _: int) -> None:
        with contextlib.suppress(FileExistsError):
            _make(self.here / "plain")
            raise AssertionError("a name that is there was made anew")

    def _take_and_release(self, _: int) -> None:
        self._order(b"take")
        self._order(b"release")

    def _order(self, order: bytes) -> None:
        os.setxattr(self.here / "taken", "user.lucid.lock", order)


def _took_s(operation: Callable[[], None]) -> float:
    begun = time.monotonic()
    operation()
    return time.monotonic() - begun


def _group(verb: str, outcome: str) -> str:
    if verb not in {"create", "put"}:
        return "read"
    return "made" if outcome == "done" else "lost"


def _lock(path: Path) -> None:
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_UN)


def _make(path: Path) -> Path:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    return path


if __name__ == "__main__":
    run_command(locks)
