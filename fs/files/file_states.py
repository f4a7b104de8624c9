"""How far a file is, as the extended attributes `user.lucid.state` and `user.lucid.device` say it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from lucidnode.fs.errors import NoAttribute
from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.write.marks import OnItsWay, decoded_mark

XATTR_PREFIX = b"user.lucid."

STATE_XATTR = XATTR_PREFIX + b"state"

State = Literal["writing", "uploading", "cloud"]
"""writing: a program is at it; a crash of that machine may lose the latest bytes. uploading: all of
it is safe there, and on its way to the bucket. cloud: in the bucket, where every node sees it."""


class FileStates:
    """What the attributes say."""

    def __init__(self, work: WorkHere, is_dirty: Callable[[InodeNo], bool]) -> None:
        self._work = work
        self._is_dirty = is_dirty

    def value(self, ino: InodeNo, name: bytes) -> bytes:
        """Return the value of attribute *name*. Raises NoAttribute if there is none of that name."""
        on_its_way = self._on_its_way(ino)
        if name == STATE_XATTR:
            state: State = on_its_way.state if on_its_way else "cloud"
            return state.encode()
        if name == XATTR_PREFIX + b"device" and on_its_way is not None:
            return self._work.device_name(on_its_way.device).encode()
        raise NoAttribute(name.decode(errors="replace"))

    def _on_its_way(self, ino: InodeNo) -> OnItsWay | None:
        if (
            self._is_dirty(ino)
            or ino in self._work.unfinished
            or self._work.open_files.was_written(ino)
        ):
            return OnItsWay("writing", self._work.device)
        if self._work.replica.pending.is_pending(ino):
            return OnItsWay("uploading", self._work.device)
        mark = self._work.replica.tree.mark(ino)
        return None if mark is None else decoded_mark(mark)
