"""`scripts/bench scale`: what many files and many cached blocks cost a mount and a daemon.

The replica and the index are filled below their own doors, for nobody would wait for programs to
make a million files. Each figure is taken in a process of its own that has loaded all that a mount,
or a daemon, loads; what the kernel and the network add is not in it.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import psutil

import lucidnode.fs.mount
import lucidnode.node.daemon  # noqa: F401  # as both processes load it
from lab.app import run_command
from lab.scale_evictions import EVICTED, evictions
from lucidnode.fs.files.lookup_counts import LookupCounts
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.node.cache.accounting import CacheAccounting
from lucidnode.node.cache.eviction import LeastRecentlyUsed
from lucidnode.node.cache.index import Index

FILES_IN_ONE = 200
"""Files of a directory."""

PAGE_OF_NAMES = 256

_KEY = bytes(32)
_BOOT = "scale"
_BATCH = 10_000
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
            _fill_replica(replica, number, FILES_IN_ONE)
            found = {"database_mib": replica.stat().st_size / _MIB, **_measured("files", replica)}
            print(json.dumps({"files": number, **found}), flush=True)
        replica = Path(folder, "large.db")
        _fill_replica(replica, large, large)
        print(json.dumps({"names": large, **_measured("files", replica)}), flush=True)
        index = Path(folder, "index.db")
        _fill_index(index, blocks)
        found = {
            "file_bytes_a_block": index.stat().st_size / blocks,
            **_measured("blocks", index),
        }
        print(json.dumps({"blocks": blocks, **found}), flush=True)
    with tempfile.TemporaryDirectory(dir=in_memory) as folder:
        found = _measured("evictions", Path(folder))
        print(json.dumps({"evictions": EVICTED, **found}), flush=True)


def _measured(part: str, path: Path) -> Figures:
    asked = [sys.executable, "-P", "-m", "lab.scale", "--part", part, "--path", str(path)]
    done = subprocess.run(asked, check=True, capture_output=True, text=True)
    found: Figures = json.loads(done.stdout)
    return found


# -- what is filled --------------------------------------------------------------------------------


def _fill_replica(path: Path, files: int, in_one: int) -> None:
    """Make a replica of *files* files of one block each, *in_one* in each directory."""
    Replica.open(path, _KEY, "scale").close()
    database = Database.open(path, _KEY)
    connection = database._connection  # noqa: SLF001  # rows that nobody here has to commit
    connection.preupdate_hook(None)
    row = "INSERT INTO inode VALUES (?, ?, 420, 0, 0, ?, ?, ?, ?, ?, 0, x'', 1)"
    now = time.time_ns()
    ino = parent = 1000
    for first in range(0, files, _BATCH):
        connection.execute("BEGIN")
        for number in range(first, min(first + _BATCH, files)):
            if number % in_one == 0:
                ino += 1
                parent = ino
                connection.execute(row, (parent, 4, 0, 2, now, now, now))
                name = b"directory %06d" % (number // in_one)
                connection.execute("INSERT INTO name VALUES (?, ?, ?)", (ROOT, name, parent))
            ino += 1
            block = secrets.token_bytes(32)
            connection.execute(row, (ino, 8, _MIB, 1, now, now, now))
            name = b"frame.%08d.exr" % number
            connection.execute("INSERT INTO name VALUES (?, ?, ?)", (parent, name, ino))
            connection.execute("INSERT INTO extent VALUES (?, 0, ?, ?, 0)", (ino, _MIB, block))
            connection.execute("INSERT INTO block VALUES (?, 1, ?, ?)", (block, block, _MIB))
        connection.execute("COMMIT")
    database.close()


def _fill_index(path: Path, blocks: int) -> None:
    """Make an index of *blocks* blocks, in an order of use that has nothing to do with their ids."""
    Index.open(path, _BOOT).close(clean=True)
    database = sqlite3.connect(path, isolation_level=None)
    # In the order of ids, which SQLite appends; a million places all over a tree take minutes.
    ids = sorted(secrets.token_bytes(32) for _ in range(blocks))
    used = secrets.SystemRandom().sample(range(1, blocks + 1), blocks)
    database.execute("BEGIN")
    database.executemany(
        f"INSERT INTO block VALUES (?, {_MIB}, ?)",  # noqa: S608  # a number of ours
        zip(ids, used, strict=True),
    )
    database.execute("COMMIT")
    database.close()


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
            counts.add(ino)
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
    held = CacheAccounting(index.recorded(), 1 << 50, LeastRecentlyUsed)
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
