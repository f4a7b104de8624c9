"""The files of a project whose newest content is not whole in the bucket: here, and elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.pending.whole_contents import Contents
from lucidnode.fs.write.marks import OnItsWay, decoded_mark, under_way
from lucidnode.fs.write.shipments import Shipments
from lucidnode.fs.write.unsaved_file import UnsavedFile
from lucidnode.node.client import mount_messages
from lucidnode.node.client.ids import BlockId

MAX_FILES = 100
"""Files that are listed. Who copies ten thousand reads their sum."""


class OnTheirWay:
    """What people are told of one mount's files under way."""

    def __init__(
        self,
        work: WorkHere,
        shipments: Shipments,
        unsaved: Callable[[InodeNo], UnsavedFile | None],
    ) -> None:
        """*unsaved* returns what of a file the replica does not have yet."""
        self._work = work
        self._shipments = shipments
        self._unsaved = unsaved

    def files(self) -> list[mount_messages.FileOnItsWay]:
        """Return at most MAX_FILES of them, those of this workstation first."""
        found: list[mount_messages.FileOnItsWay] = []
        blocks = self._work.replica.pending.blocks_of_contents()
        contents = self._work.replica.pending.contents(self._shipments)
        waiting = contents.ready.keys() | contents.on_their_way | contents.unfinished
        for ino, mark in self._all(contents):
            attributes = self._work.replica.tree.attributes(ino)
            if attributes is None or attributes.nlink == 0:
                continue
            ours = mark.device == self._work.device
            found.append(
                mount_messages.FileOnItsWay(
                    path=self._work.replica.tree.shown_path(ino),
                    state=mark.state,
                    device="" if ours else self._work.device_name(mark.device),
                    bytes_left=(
                        # What waits for nothing is whole in the bucket as it was saved last, and still open.
                        self._left(ino, attributes.size if ino in waiting else 0, blocks.get(ino))
                        if ours
                        else None
                    ),
                )
            )
            if len(found) == MAX_FILES:
                break
        return found

    def _all(self, contents: Contents) -> Iterator[tuple[InodeNo, OnItsWay]]:
        ours = under_way(contents, self._work.unfinished, self._work.open_files.written())
        for ino, state in ours.items():
            yield ino, OnItsWay(state, self._work.device)
        for ino, value in self._work.replica.tree.marks():
            mark = decoded_mark(value)
            if mark is not None and mark.device != self._work.device and ino not in ours:
                yield ino, mark

    def _left(self, ino: InodeNo, saved: int, blocks: set[BlockId] | None) -> int:
        """Return how many bytes of *ino* have not arrived; none counts twice, however often it was written.

        Its first *saved* bytes lie in *blocks*, but for those that were written anew since: these lie where
        they were written last.
        """
        file, above, missing = self._unsaved(ino), 0, 0
        if file is not None:
            above = sum(min(stop, saved) - min(start, saved) for start, stop in file.spans())
            not_here = file.spans(lambda block: not self._shipments.has_arrived(block))
            missing = sum(stop - start for start, stop in not_here)
        return missing + self._saved(saved - above, blocks)

    def _saved(self, size: int, blocks: set[BlockId] | None) -> int:
        """Return how much of *size* bytes of a saved file has not arrived, by the share of its *blocks*."""
        if not blocks:
            return size
        missing = sum(not self._shipments.has_arrived(block) for block in blocks)
        return size * missing // len(blocks)
