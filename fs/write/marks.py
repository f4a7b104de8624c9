"""Says on every workstation which files are on their way, and from where.

Others see the old content of a file until the new one is whole, or an empty file under a new name.
The mark tells them why: a replicated attribute (`Mark`), set while the file is written and while
its blocks are uploaded, and taken back by the entry that carries the content. Small saves come and
go within one entry and need none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import msgspec

from lucidnode.fs.errors import FileError
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import Mark
from lucidnode.fs.replica.pending.whole_contents import Contents
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.shipments import YOUNG_S, Shipments
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, parse_device_id
from lucidnode.node.client.msgpack import decoded

Progress = Literal["writing", "uploading"]


class _Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    state: Progress
    device: str


_DECODER = msgspec.msgpack.Decoder(_Value)
_ENCODER = msgspec.msgpack.Encoder()


class OnItsWay(NamedTuple):
    """The state of a file whose newest content is not whole in the bucket, and who has it."""

    state: Progress
    device: DeviceId


def decoded_mark(value: bytes) -> OnItsWay | None:
    """Return what a mark says; None if it says nothing that can be read."""
    try:
        found = decoded(_DECODER, value)
        return OnItsWay(found.state, parse_device_id(found.device))
    except Malformed:
        return None


def encoded_mark(mark: OnItsWay) -> bytes:
    """Return what `decoded_mark` reads."""
    return _ENCODER.encode(_Value(*mark))


def under_way(
    contents: Contents, unfinished: Unfinished, written: Iterable[InodeNo]
) -> dict[InodeNo, Progress]:
    """Return the files of this workstation that are on their way, and how far they are.

    *written* are those that were written to through a handle that is still open.
    """
    writing = contents.unfinished | {*unfinished.files(), *written}
    uploading: dict[InodeNo, Progress] = dict.fromkeys(sorted(contents.on_their_way), "uploading")
    return {**uploading, **dict.fromkeys(sorted(writing), "writing")}


class Marks:
    """Sets and takes back the marks of one mount."""

    def __init__(
        self,
        replica: Replica,
        shipments: Shipments,
        unfinished: Unfinished,
        written: Callable[[], Iterable[InodeNo]],
        device: DeviceId,
        clock: Clock,
    ) -> None:
        self._replica = replica
        self._shipments = shipments
        self._unfinished = unfinished
        self._written = written
        self._device = device
        self._clock = clock
        self._marked = False
        """Whether any file has a mark of ours."""

    async def run(self) -> None:
        """Tell of saves that nothing else makes an entry for, until cancelled.

        The first look takes back what a crash left.
        """
        looking = True
        while True:
            if looking:
                self.renew()
            await self._clock.sleep(YOUNG_S)
            # What is open and was saved is marked as well, once it is not young any more.
            looking = self._marked or bool(self._unfinished.files()) or any(self._written())

    def renew(self) -> None:
        """Have every file marked as it is now."""
        contents = self._replica.pending.contents(self._shipments)
        wanted = under_way(contents, self._unfinished, self._written())
        marked = {ino: decoded_mark(value) for ino, value in self._replica.tree.marks()}
        self._marked = any(mark and mark.device == self._device for mark in marked.values())
        for ino, state in wanted.items():
            mark, known = OnItsWay(state, self._device), marked.get(ino)
            # Of several who have one log open, one is named: else each would take the mark from the
            # other, an entry a second for as long as they do.
            is_open_only = ino not in contents.unfinished and ino not in self._unfinished
            is_said = (
                known is not None
                and known.device != self._device
                and state == "writing"
                and (is_open_only or known.state == state)
            )
            if known != mark and not is_said and not self._shipments.is_young(ino):
                self._set(ino, mark)
        for ino, found in marked.items():
            ours = found is None or found.device == self._device or ino in contents.ready
            if ours and ino not in wanted:
                self._set(ino, None)

    def _set(self, ino: InodeNo, mark: OnItsWay | None) -> None:
        self._marked |= mark is not None
        value = None if mark is None else encoded_mark(mark)
        # The file may be gone, the project read-only, the disk full: the next look tries again.
        with contextlib.suppress(FileError):
            self._replica.apply(Mark(ino, value))
