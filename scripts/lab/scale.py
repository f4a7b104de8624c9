"""`scripts/bench scale`: what many files and many cached blocks cost a mount and a daemon.

The replica and the index are filled below their own doors, for nobody would wait for programs to
make a million files. Each figure is taken in a process of its own that has loaded all that a mount,
or a daemon, loads; what the kernel and the network add is not in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import psutil

import lucidnode.fs.mount
import lucidnode.node.serving  # noqa: F401  # as both processes load it
from lab.app import run_command
from lab.scale_evictions import EVICTED, evictions
from lab.scale_ground import fill_index, fill_replica
from lab.scale_start import started
from lucidnode.fs.files.lookup_counts import LookupCounts
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.cache.accounting import CacheAccounting
from lucidnode.node.cache.eviction import LeastRecentlyUsed
from lucidnode.node.cache.index import Index

FILES_IN_ONE = 200
"""Files of a directory."""

PAGE_OF_NAMES = 256

_KEY = bytes(32)
_BOOT = "scale"
_MIB = 1024 * 1024

Figures = dict[str, float]


@click.command()
@click.option("--files", multiple=True, type=int, default=(10_000, 100_000, 1_000_000))
@click.option("--blocks", type=int, default=1_000_000, show_default=True)
@click.option(
    "--large", type=int, default=50_000, show_default=True, help="Names of one directory."
)
@click.option(
    "--in-memory",
    type=click.Path(path_type=Path, exists=True),
    default="/dev/shm",  # noqa: S108  # a directory of our own is made in it
    show_default=True,
    help="A directory on tmpfs with 1 GiB of room, for the cache that evicts.",
)
@click.option("--part", hidden=True)
@click.option("--path", type=click.Path(path_type=Path), hidden=True)
def scale(
    files: tuple[int, ...],
    blocks: int,
    large: int,
    in_memory: Path,
    part: str | None,
    path: Path | None,
) -> None:
    """Measure, and print a line of JSON for each size."""
    if part is not None and path is not None:
        print(json.dumps(_PARTS[part](path)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for number in files:
            replica = Path(folder, f"{number}.db")
            Replica.open(replica, _KEY, "scale").close()
            fill_replica(replica, _KEY, number, FILES_IN_ONE)
            found = {"database_mib": replica.stat().st_size / _MIB, **_measured("files", replica)}
            print(json.dumps({"files": number, **found}), flush=True)
        replica = Path(folder, "large.db")
        Replica.open(replica, _KEY, "scale").close()
        fill_replica(replica, _KEY, large, large)
        print(json.dumps({"names": large, **_measured("files", replica)}), flush=True)
        index = Path(folder, "index.db")
        Index.open(index, _BOOT).close(clean=True)
        fill_index(index, blocks, _MIB)
        found = {
            "file_bytes_a_block": index.stat().st_size / blocks,
            **_measured("blocks", index),
        }
        print(json.dumps({"blocks": blocks, **found}), flush=True)
    print(json.dumps(started(max(files), FILES_IN_ONE, blocks)), flush=True)
    with tempfile.TemporaryDirectory(dir=in_memory) as folder:
        found = _measured("evictions", Path(folder))
        print(json.dumps({"evictions": EVICTED, **found}), flush=True)


def _measured(part: str, path: Path) -> Figures:
    asked = [sys.executable, "-P", "-m", "lab.scale", "--part", part, "--path", str(path)]
    done = subprocess.run(asked, check=True, capture_output=True, text=True)
    found: Figures = json.loads(done.stdout)
    return found


# -- what is measured ------------------------------------------------------------------------------


def _files(path: Path) -> Figures:
    before = _memory()
    began = _cpu()
    replica = Replica.open(path, _KEY, "scale")
    opened = _cpu() - began
    counts = LookupCounts()
    largest = listed = 0
    began = _cpu()
    for directory in list(_names(replica, ROOT)):
        names = 0
        for ino in _names(replica, directory):
            counts.add((ino,))
            names += 1
        largest, listed = max(largest, names), listed + names
    walked = _cpu() - began
    after = _memory()
    replica.close()
    return {
        "open_cpu_s": opened,
        "list_us_a_file": walked / listed * 1e6,
        "process_before_mib": before / _MIB,
        "process_with_all_looked_up_mib": after / _MIB,
        "largest_directory": largest,
    }


def _names(replica: Replica, directory: InodeNo) -> Iterator[InodeNo]:
    after: bytes | None = None
    while page := replica.tree.list_names(directory, after, PAGE_OF_NAMES):
        yield from (attributes.ino for _, attributes in page)
        after = page[-1][0]


def _blocks(path: Path) -> Figures:
    before = _memory()
    began = _cpu()
    index = Index.open(path, _BOOT)
    held = CacheAccounting(index.rows().recorded, 1 << 50, LeastRecentlyUsed)
    started = _cpu() - began
    after = _memory()
    blocks = len(held)
    index.close(clean=True)
    return {
        "start_cpu_s": started,
        "memory_bytes_a_block": (after - before) / blocks,
    }


_PARTS: dict[str, Callable[[Path], Figures]] = {
    "files": _files,
    "blocks": _blocks,
    "evictions": evictions,
}


def _memory() -> int:
    return psutil.Process().memory_info().rss


def _cpu() -> float:
    """Seconds that this process has worked: others' work does not count."""
    times = os.times()
    return times.user + times.system


if __name__ == "__main__":
    run_command(scale)
