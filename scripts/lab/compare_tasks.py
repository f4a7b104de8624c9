"""What is measured of a file system in `scripts/bench compare`, the same for each."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random  # noqa: TID251  # seeded

from lab.compared import FileSystem
from lab.reading import read_at, read_through

MIB = 1024 * 1024
SMALL_FILES = 2_000
SMALL_BYTES = 4_096
RANDOM_READS = 2_000
THREADS = 8

ROWS = {
    "write and fsync": "MiB/s",
    "write, in the bucket": "MiB/s",
    "small files, created": "files/s",
    "small files, in the bucket": "files/s",
    "first 4 KiB of a cold file": "ms",
    "sequential read, cold": "MiB/s",
    "sequential read, from the disk's cache": "MiB/s",
    "random 4 KiB, from the disk's cache": "reads/s",
    "random 4 KiB, 8 threads": "reads/s",
    "ls -lR of a tree not seen before": "files/s",
    "small files, read cold": "files/s",
    "small files, read from the disk's cache": "files/s",
    "walk and stat of a known tree": "files/s",
    "rename": "files/s",
    "remove": "files/s",
}
"""What is measured, in this order, and its unit. Of what is in ms less is better."""


def measure(system: FileSystem, name: str, mib: int) -> Iterator[tuple[str, float]]:
    """Yield a value for each of ROWS, working in the new directory *name* of a mounted *system*."""
    folder = system.root / name
    folder.mkdir()
    big, seek, small = folder / "big", folder / "seek", folder / "small"
    yield from _written(system, big, mib)
    _write(seek, 32)
    yield from _created(system, small)
    system.await_bucket([seek])

    system.remount(empty=True)
    yield "first 4 KiB of a cold file", _timed(lambda: _first(seek)) * 1e3
    yield "sequential read, cold", _rate(big)
    system.remount(empty=False)
    yield "sequential read, from the disk's cache", _rate(big)
    system.remount(empty=False)
    yield "random 4 KiB, from the disk's cache", _random(big, 1)
    system.remount(empty=False)
    yield "random 4 KiB, 8 threads", _random(big, THREADS)

    system.remount(empty=True)
    yield "ls -lR of a tree not seen before", SMALL_FILES / _timed(lambda: _walk(small))
    yield "small files, read cold", SMALL_FILES / _timed(lambda: _read_all(small))
    system.remount(empty=False)
    yield "small files, read from the disk's cache", SMALL_FILES / _timed(lambda: _read_all(small))
    yield "walk and stat of a known tree", SMALL_FILES / _timed(lambda: _walk(small))
    yield "rename", SMALL_FILES / _timed(lambda: _rename_all(small))
    yield "remove", SMALL_FILES / _timed(lambda: _remove_all(small))
    shutil.rmtree(folder)


def _timed(work: Callable[[], object]) -> float:
    """Return the seconds that *work* takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _written(system: FileSystem, path: Path, mib: int) -> Iterator[tuple[str, float]]:
    began = time.monotonic()
    _write(path, mib)
    yield "write and fsync", mib / (time.monotonic() - began)
    system.await_bucket([path])
    yield "write, in the bucket", mib / (time.monotonic() - began)


def _write(path: Path, mib: int) -> None:
    # Random, so that no block equals another; drawn before, so that drawing costs nothing here.
    pieces = [secrets.token_bytes(MIB) for _ in range(16)]
    with path.open("wb", buffering=0) as file:
        for number in range(mib):
            file.write(number.to_bytes(8) + pieces[number % len(pieces)][8:])
        os.fsync(file.fileno())


def _created(system: FileSystem, folder: Path) -> Iterator[tuple[str, float]]:
    files = [folder / f"{number % 20:02}" / f"{number:04}" for number in range(SMALL_FILES)]
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02}").mkdir()
    contents = [secrets.token_bytes(SMALL_BYTES) for _ in files]
    began = time.monotonic()
    for path, content in zip(files, contents, strict=True):
        path.write_bytes(content)
    yield "small files, created", SMALL_FILES / (time.monotonic() - began)
    system.await_bucket(files)
    yield "small files, in the bucket", SMALL_FILES / (time.monotonic() - began)


def _first(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        file.read(4096)


def _rate(path: Path) -> float:
    reading = read_through(path)
    return reading.bytes / MIB / reading.seconds


def _random(path: Path, threads: int) -> float:
    slots = path.stat().st_size // 4096
    chance = Random(1)  # noqa: S311  # the same places for each
    places = [[chance.randrange(slots) * 4096 for _ in range(RANDOM_READS)] for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        began = time.monotonic()
        list(pool.map(lambda mine: read_at(path, mine, 4096), places))
        return threads * RANDOM_READS / (time.monotonic() - began)


def _files(folder: Path) -> list[Path]:
    return [path for sub in sorted(folder.iterdir()) for path in sorted(sub.iterdir())]


def _walk(folder: Path) -> None:
    for path in _files(folder):
        path.stat()


def _read_all(folder: Path) -> None:
    for path in _files(folder):
        path.read_bytes()


def _rename_all(folder: Path) -> None:
    for path in _files(folder):
        path.rename(path.with_name(f"{path.name}.new"))


def _remove_all(folder: Path) -> None:
    for path in _files(folder):
        path.unlink()
