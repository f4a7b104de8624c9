"""The files of a project whose newest content is not whole in the bucket: here, and elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lucidnode.fs.read.open_files import OpenFiles
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.marks import OnItsWay, decoded_mark, under_way
from lucidnode.fs.write.shipments import Shipments
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.node.client import wire
from lucidnode.node.client.ids import BlockId, DeviceId

MAX_FILES = 100
"""Files that are listed. Who copies ten thousand reads their sum."""


class OnTheirWay:
    """What people are told of one mount's files under way."""

    def __init__(
        self,
        replica: Replica,
        shipments: Shipments,
        unfinished: Unfinished,
        open_files: OpenFiles,
        device: DeviceId,
        device_name: Callable[[DeviceId], str],
    ) -> None:
        self._replica = replica
        self._shipments = shipments
        self._unfinished = unfinished
        self._open_files = open_files
        self._device = device
        self._device_name = device_name

    def files(self) -> list[wire.FileOnItsWay]:
        """Return at most MAX_FILES of them, those of this workstation first."""
        found: list[wire.FileOnItsWay] = []
        blocks = self._replica.pending.blocks_of_contents()
        for ino, mark in self._all():
            attributes = self._replica.tree.attributes(ino)
            if attributes is None or attributes.nlink == 0:
                continue
            ours = mark.device == self._device
            found.append(
                wire.FileOnItsWay(
                    path=self._replica.tree.shown_path(ino),
                    state=mark.state,
                    device="" if ours else self._device_name(mark.device),
                    bytes_left=self._left(attributes.size, blocks.get(ino)) if ours else None,
                )
            )
            if len(found) == MAX_FILES:
                break
        return found

    def _all(self) -> Iterator[tuple[InodeNo, OnItsWay]]:
        contents = self._replica.pending.contents(self._shipments)
        ours = under_way(contents, self._unfinished, self._open_files.written())
        for ino, state in ours.items():
            yield ino, OnItsWay(state, self._device)
        for ino, value in self._replica.tree.marks():
            mark = decoded_mark(value)
            if mark is not None and mark.device != self._device and ino not in ours:
                yield ino, mark

    def _left(self, size: int, blocks: set[BlockId] | None) -> int:
        """Return how much of a file of *size* bytes has not arrived, by the share of its *blocks*."""
        if not blocks:
            return size
        missing = sum(not self._shipments.arrived(block) for block in blocks)
        return size * missing // len(blocks)
