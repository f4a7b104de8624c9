"""The files of a project whose newest content is not whole in the bucket: here, and elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.format.office_message import FileProgress
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.pending.whole_contents import Contents
from lucidnode.fs.write.marks import OnItsWay, Progress, decoded_mark, under_way
from lucidnode.fs.write.shipments import Shipments
from lucidnode.fs.write.unsaved_file import UnsavedFile
from lucidnode.node.client import mount_messages
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import BlockId, DeviceId

MAX_FILES = 100
"""Files that are listed. Who copies ten thousand reads their sum."""

LOOK_S = 1.0
"""Seconds for which others are answered by one look at what waits."""

REST = 20
"""For so many times what a look took its answers stand: of files of terabytes one goes through a million blocks,
while every request of programs waits."""

STANDS_S = 60.0
"""And no longer: the machine may have slept in the midst of a look."""

RATE_OVER_S = 30.0
"""Seconds over which the rate of one file is taken: several blocks of a slow line."""


@dataclass(frozen=True, slots=True)
class MovingFile:
    """A file on its way. *called* is what people call its workstation; of others' there is no *progress*."""

    ino: InodeNo
    path: str
    state: Progress
    device: DeviceId
    called: str
    progress: FileProgress | None

    def shown(self, progress: FileProgress | None) -> mount_messages.FileOnItsWay:
        """Return it as people are told, with *progress* as far as anything is known of that."""
        file = mount_messages.FileOnItsWay(self.path, self.state, self.called, None)
        if progress is None:
            return file
        # Others say what they like.
        left, rate = min(progress.left, progress.size), progress.rate
        return mount_messages.FileOnItsWay(
            self.path,
            self.state,
            self.called,
            bytes_left=left,
            bytes=progress.size,
            bytes_per_second=rate,
            seconds_left=0.0 if not left else round(left / rate, 1) if rate else None,
        )


class OnTheirWay:
    """What people are told of one mount's files under way."""

    def __init__(
        self,
        work: WorkHere,
        shipments: Shipments,
        unsaved: Callable[[InodeNo], UnsavedFile | None],
        block_size: int,
        clock: Clock,
    ) -> None:
        """*unsaved* returns what of a file the replica does not have yet; no block holds more than *block_size*."""
        self._work = work
        self._shipments = shipments
        self._unsaved = unsaved
        self._block_size = block_size
        self._clock = clock
        self._last: _Look | None = None

    def files(self) -> list[MovingFile]:
        """Return at most MAX_FILES of them, those of this workstation first."""
        look, found = self._look(0.0), []
        for ino, mark in self._all(look):
            attributes = self._work.replica.tree.attributes(ino)
            if attributes is None or attributes.nlink == 0:
                continue
            ours = mark.device == self._work.device
            found.append(
                MovingFile(
                    ino,
                    self._work.replica.tree.shown_path(ino),
                    mark.state,
                    mark.device,
                    "" if ours else self._work.device_name(mark.device),
                    self._progress_by(look, ino, attributes.size) if ours else None,
                )
            )
            if len(found) == MAX_FILES:
                break
        return found

    def others(self) -> list[tuple[DeviceId, InodeNo]]:
        """Return at most MAX_FILES that are on their way from another workstation, as it says."""
        marks = ((ino, decoded_mark(value)) for ino, value in self._work.replica.tree.marks())
        theirs = (
            (mark.device, ino)
            for ino, mark in marks
            if mark is not None and mark.device != self._work.device
        )
        return list(islice(theirs, MAX_FILES))

    def progress(self, inos: Collection[int]) -> list[FileProgress]:
        """Return how far those of *inos* are that are on their way from here.

        As it was up to LOOK_S ago: whoever in the office looks at all that is under way asks several
        times a second, and each may ask for the same again. A look goes through all that waits, and what
        is said of a file through all its blocks.
        """
        look = self._look(LOOK_S)
        ours = self._ours(look.contents)
        return [
            self._progress_by(look, ino, attributes.size)
            for ino in dict.fromkeys(map(InodeNo, inos))
            # What has just arrived is on its way for others until the entry that names it is there.
            if (ino in ours or look.is_waiting(ino))
            and (attributes := self._work.replica.tree.attributes(ino)) is not None
        ]

    def _look(self, lasts_s: float) -> _Look:
        """Return the last look if it is younger than *lasts_s*, or took long; else a new one."""
        now, last = self._clock.boot(), self._last
        if last is None or now - last.at >= max(lasts_s, min(REST * last.took_s, STANDS_S)):
            pending = self._work.replica.pending
            contents, blocks = pending.contents(self._shipments), pending.blocks_of_contents()
            last = self._last = _Look(now, contents, blocks, self._clock.boot() - now)
        return last

    def _progress_by(self, look: _Look, ino: InodeNo, size: int) -> FileProgress:
        """Return how far a file of ours is that has *size* bytes as it was saved last, once for each *look*."""
        if ino not in look.said:
            began = self._clock.boot()
            look.said[ino] = self._progress(ino, size, look)
            look.took_s += self._clock.boot() - began
        return look.said[ino]

    def _all(self, look: _Look) -> Iterator[tuple[InodeNo, OnItsWay]]:
        ours = self._ours(look.contents)
        for ino, state in ours.items():
            yield ino, OnItsWay(state, self._work.device)
        for ino, value in self._work.replica.tree.marks():
            mark = decoded_mark(value)
            if mark is not None and mark.device != self._work.device and ino not in ours:
                yield ino, mark

    def _ours(self, contents: Contents) -> dict[InodeNo, Progress]:
        return under_way(contents, self._work.unfinished, self._work.open_files.written())

    def _progress(self, ino: InodeNo, size: int, look: _Look) -> FileProgress:
        """Return how far a file of ours is that has *size* bytes as it was saved last."""
        # What waits for nothing is whole in the bucket as it was saved last, and still open.
        saved = size if look.is_waiting(ino) else 0
        blocks: Collection[BlockId] = look.blocks.get(ino, ()) if saved else ()
        file = self._unsaved(ino)
        each, now = self._saved(size, 1, len(blocks)), self._clock.boot()
        pieces = chain(
            ((block, each) for block in blocks),
            () if file is None else ((e.block.id, e.length) for e in file.staged),
        )
        recent = [
            (at, length)
            for block, length in pieces
            if (at := self._shipments.arrived_at(block)) is not None and now - at <= RATE_OVER_S
        ]
        return FileProgress(
            ino,
            max(size, 0 if file is None else file.end),
            self._left(file, saved, blocks),
            _rate(sorted(recent), now),
        )

    def _left(self, file: UnsavedFile | None, saved: int, blocks: Collection[BlockId]) -> int:
        """Return how many bytes have not arrived; none counts twice, however often it was written.

        The first *saved* bytes lie in *blocks*, but for those that were written anew since: these lie where
        they were written last.
        """
        above, missing = 0, 0
        if file is not None:
            if saved:
                above = sum(min(stop, saved) - min(start, saved) for start, stop in file.spans())
            not_here = file.spans(lambda block: not self._shipments.has_arrived(block))
            missing = sum(stop - start for start, stop in not_here)
        waiting = sum(not self._shipments.has_arrived(block) for block in blocks)
        return missing + self._saved(saved - above, waiting, len(blocks))

    def _saved(self, size: int, blocks: int, of: int) -> int:
        """Return how much of *size* bytes of a saved file lies in as many *blocks* of those *of* that wait.

        Of a film in which one frame was changed, one block waits.
        """
        return min(size * blocks // of, blocks * self._block_size) if of else size


@dataclass(slots=True)
class _Look:
    """Which contents wait, and the blocks that each lies in, *at* a time of the boot clock; what it took so far."""

    at: float
    contents: Contents
    blocks: dict[InodeNo, set[BlockId]]
    took_s: float
    said: dict[InodeNo, FileProgress] = field(default_factory=dict)
    """Of files that were asked for."""

    def is_waiting(self, ino: InodeNo) -> bool:
        """Tell whether a saved content of *ino* is not committed."""
        return (
            ino in self.contents.ready
            or ino in self.contents.on_their_way
            or ino in self.contents.unfinished
        )


def _rate(recent: Sequence[tuple[float, int]], now: float) -> int:
    """Return the bytes a second of what arrived of late: *recent* are instants and bytes, in order.

    The first sets the beginning: how long it took itself, nobody has seen. So there is no rate before a
    second one came, and none any more RATE_OVER_S after the last.
    """
    if len(recent) < 2:
        return 0
    return round(sum(size for _, size in recent[1:]) / max(now - recent[0][0], 1.0))
