"""Files of snapshots by the numbers and handles that the kernel has of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from lucidnode.fs.errors import FileMissing
from lucidnode.fs.files.file_system import FileSystem
from lucidnode.fs.replica.inode import ROOT, Attributes, InodeNo
from lucidnode.fs.snapshot_tree.open_states import OpenState, OpenStates
from lucidnode.fs.snapshot_tree.snapshot_names import SnapshotNames
from lucidnode.fs.snapshot_tree.snapshot_numbers import PastFile, SnapshotNumbers


@dataclass(frozen=True, slots=True)
class PastHandle:
    """A handle of *file*, a directory too: *inner* is the one that its state has given out."""

    state: OpenState
    file: PastFile
    inner: int


class PastFiles:
    """What is open of the past in one mount; *handles* are numbers that no file of now gets."""

    def __init__(
        self,
        now: FileSystem,
        numbers: SnapshotNumbers,
        names: SnapshotNames,
        states: OpenStates,
        handles: Iterator[int],
    ) -> None:
        self._now = now
        self._numbers = numbers
        self._names = names
        self._states = states
        self._handles = handles
        self._opened: dict[int, PastHandle] = {}

    def has(self, ino: InodeNo) -> bool:
        """Tell whether *ino* is a file of a snapshot."""
        return self._numbers.file(ino) is not None

    def place(self, ino: InodeNo) -> PastFile:
        """Return what *ino* stands for. Raises FileMissing."""
        file = self._numbers.file(ino)
        if file is None:
            raise FileMissing("a file of a snapshot that was let go of")
        return file

    def file(self, ino: InodeNo) -> tuple[OpenState, PastFile]:
        """Return what *ino* stands for, in its state. Raises FileMissing if that is not open."""
        file = self.place(ino)
        state = self._states.get(file.seq)
        if state is None:
            raise FileMissing("a file of a snapshot that is not open")
        return state, file

    def shown(self, beside: PastFile, attributes: Attributes) -> Attributes:
        """Return *attributes*, of the snapshot of *beside*, under the number that the kernel knows."""
        seq, _, snapshot = beside
        if attributes.ino == ROOT:
            return self._names.root(seq, snapshot)
        number = self._numbers.number(PastFile(seq, attributes.ino, snapshot))
        return msgspec.structs.replace(attributes, ino=number)

    def root_of_now(self) -> Attributes:
        """Return the attributes of the directory above all snapshots."""
        return self._now.attributes(ROOT)

    def opened(self, state: OpenState, file: PastFile, inner: int) -> int:
        """Return the handle that the kernel gets for *inner*. The state stays open as long."""
        handle = next(self._handles)
        state.handles += 1
        self._opened[handle] = PastHandle(state, file, inner)
        return handle

    def handle(self, handle: int) -> PastHandle | None:
        """Return what *handle* is, None if it is none of a snapshot."""
        return self._opened.get(handle)

    def released(self, handle: int) -> None:
        """Forget *handle*."""
        self._opened.pop(handle).state.handles -= 1
