"""A real mount whose every step is recorded, to ask what a power cut would have left.

The seam is the kernel's: whatever reaches the disk is seen, SQLite's own files as well, however it
was written; and production code needs nothing for it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure can be repeated

import msgspec
from disk_record import Disk, Mark, Step, Tree, Write, sectors

_ENDS_S = 10.0

_STEP = msgspec.msgpack.Decoder(Step)


@dataclass
class RecordingDisk:
    """The disk mounted at *path*, and what was done to it."""

    path: Path
    record: Path
    _record_file: int
    """The record, opened: it is asked for its length at each page that SQLite writes."""
    _server: int
    """The process that serves it."""
    is_full: bool = False
    _beside: list[tuple[int, Step]] = field(default_factory=list)
    """What was done beside this disk, and how long the record was then."""

    def fresh(self) -> None:
        """Empty the disk and forget what was done to it, for another test."""
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        os.truncate(self.record, 0)
        self._beside.clear()

    def lay_down(self, tree: Tree) -> None:
        """Have the disk hold *tree*, all of it for certain, and nothing else."""
        self.fresh()
        tree.write_to(self.path)
        self.sync_everything()

    def sync_everything(self) -> None:
        """Have all that is on the disk survive a power cut."""
        for directory, _, files in os.walk(self.path):
            for name in (*files, "."):
                opened = os.open(Path(directory, name), os.O_RDONLY)
                os.fsync(opened)
                os.close(opened)

    def mark(self, text: str) -> None:
        """Record *text* after everything that was done before."""
        os.setxattr(self.path, b"user.mark", text.encode())

    def note(self, step: Step) -> None:
        """Record *step*, which was done beside this disk, after everything before.

        Here, for there are many, and all that the record holds is there before its doer goes on.
        """
        self._beside.append((os.fstat(self._record_file).st_size, step))

    def fail_next_sync(self) -> None:
        """Have the next sync of a file with anything to bring down end in EIO, once."""
        os.setxattr(self.path, b"user.fail_sync", b"1")

    def be_full(self, full: bool) -> None:
        """Have every write end in ENOSPC from now on, or no more."""
        self.is_full = full
        os.setxattr(self.path, b"user.full", b"1" if full else b"")

    @contextlib.contextmanager
    def faulty(self, fault: str) -> Iterator[None]:
        """Have no file be opened to be read: *fault* is the number of an error, or `hang`."""
        os.setxattr(self.path, b"user.fault", fault.encode())
        try:
            yield
        finally:
            os.setxattr(self.path, b"user.fault", b"")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Have every system call on it last."""
        os.kill(self._server, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._server, signal.SIGCONT)

    def steps(self) -> list[Step]:
        """Return everything so far, in order."""
        raw, at, found = self.record.read_bytes(), 0, list[Step]()
        beside = iter(self._beside)
        place, other = next(beside, (len(raw), None))
        while at < len(raw) or other is not None:
            while other is not None and place <= at:
                found.append(other)
                place, other = next(beside, (len(raw), None))
            if at < len(raw):
                end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
                found.append(_STEP.decode(raw[at + 4 : end]))
                at = end
        return found

    def up_to(self, text: str) -> Disk:
        """Return the disk as it was at the last mark *text*."""
        steps = self.steps()
        disk = Disk()
        for step in steps[: 1 + max(at for at, step in enumerate(steps) if step == Mark(text))]:
            disk.take(step)
        return disk

    def every_moment(self, first: str, last: str) -> Iterator[Disk]:
        """Yield the disk after each step from the mark *first* to the mark *last*.

        It is one object that goes on: ask it before the next.
        """
        steps, disk = self.steps(), Disk()
        begin, end = steps.index(Mark(first)), steps.index(Mark(last))
        for at, step in enumerate(steps[: end + 1]):
            disk.take(step)
            if at >= begin:
                yield disk


def nothing_loose(_step: Step) -> list[Step]:
    """Keep nothing that no sync reached: the poorest disk."""
    return []


def everything(step: Step) -> list[Step]:
    """Keep all of it: as after kill -9."""
    return [step]


def names_only(step: Step) -> list[Step]:
    """Keep what is not a byte of a file: empty files under their final names."""
    return [] if isinstance(step, Write) else [step]


def bytes_only(step: Step) -> list[Step]:
    """Keep the bytes and lose the names."""
    return [step] if isinstance(step, Write) else []


def some(seed: object) -> Callable[[Step], list[Step]]:
    """Keep each step, and each sector of a write, or not, by chance."""
    chance = Random(str(seed))

    def keep(step: Step) -> list[Step]:
        whole = chance.random()
        if whole < 0.4:
            return [step]
        if whole < 0.7:
            return []
        return [part for part in sectors(step) if chance.random() < 0.5]

    return keep


def outcomes(disk: Disk, seed: object, by_chance: int = 2) -> Iterator[Tree]:
    """Yield what a power cut may leave of *disk*: the extremes, and *by_chance* in between."""
    for keep in (nothing_loose, everything, names_only, bytes_only):
        yield disk.after_power_cut(keep)
    for number in range(by_chance):
        yield disk.after_power_cut(some(f"{seed} {number}"))


@contextlib.contextmanager
def laid_down(tree: Tree) -> Iterator[Path]:
    """Give *tree* as a directory, in memory: hundreds of them are looked at."""
    with tempfile.TemporaryDirectory(prefix="power-cut-", dir="/dev/shm") as ground:
        tree.write_to(Path(ground, "left"))
        yield Path(ground, "left")


@contextlib.contextmanager
def recording_disk(home: Path) -> Iterator[RecordingDisk]:
    """Mount an empty recording disk below the directory *home*; unmount it in the end."""
    path, record = home / "disk", home / "record"
    path.mkdir(parents=True)
    server = subprocess.Popen(
        [sys.executable, "-P", "recording_disk_server.py", str(path), str(record)],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == b"mounted\n", "FUSE does not let us mount"
        with record.open("rb") as file:
            yield RecordingDisk(path, record, file.fileno(), server.pid)
    finally:
        server.stdin.close()
        try:
            server.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            # Who failed has files open there still; that failure is what matters.
            server.kill()
            server.wait()
        server.stdout.close()
