"""`scripts/bench visible`: how long until what is done on one workstation shows on another of the office.

From the return of the call (for content: of `close`) until a program on the other one sees it, the requests
to the bucket in between included: a PUT for an entry, and one before it for content. Beside it a bare PUT of
4 KiB that creates an object, from the same workstation over a connection that stays, in the same run.
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
from lab.command import run
from lab.errors import LabError
from lab.patience import until
from lab.two_nodes import TwoNodes, two_nodes

_FOLDER = "visible"
_REST_S = 1.5
"""Between two saves: each is the first after a rest, as a person's are."""

_PATIENCE_S = 30.0
_LOOK_INTERVAL_S = 0.0005


_PUTS = """
import statistics, sys, time, boto3
endpoint, bucket, times = sys.argv[1:]
store = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
took = []
for number in range(int(times) + 1):
    begun = time.perf_counter()
    store.put_object(Bucket=bucket, Key=f"bench/put-{number}", Body=bytes(4096), IfNoneMatch="*")
    took.append(1000 * (time.perf_counter() - begun))
print(statistics.median(took[1:]))
"""


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
        put_ms = bare_put_ms(nodes, times)
        figures = _Looks(nodes, times).measured()
    table = Table("what", box=None, pad_edge=False)
    for column in ("median, ms", "9 of 10", "longest", "median less one PUT"):
        table.add_column(column, justify="right")
    for each in figures:
        values = (each.median, each.nine_of_ten, each.longest, each.median - put_ms)
        table.add_row(each.name, *(f"{value:.0f}" for value in values))
    table.add_row("one bare PUT", f"{put_ms:.0f}")
    console.print(table)
    found = {"times": times, "put_ms": put_ms, "figures": figures}
    print(msgspec.json.format(msgspec.json.encode(found)).decode())


def bare_put_ms(nodes: TwoNodes, times: int) -> float:
    """Return how long a PUT of 4 KiB takes from the first workstation, the median of *times*, in milliseconds."""
    prefix, env = nodes.lab.inside(nodes.a.name)
    s3 = nodes.lab.record.s3
    if s3 is None:
        raise LabError("this lab has no S3 server")
    keys = {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    return float(
        run(
            [*prefix, "python", "-c", _PUTS, s3.endpoint, s3.bucket, str(times)],
            env={**env, **keys},
        )
    )


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
