"""What the channel may answer by itself: where the bytes of open files lie, published by handle.

The rule is that a reader sees what was true when its request came. So a file is published only while
its content is what the replica's extents say, with no layer over them; and it is withdrawn in the
same step of the event loop that changes its content, so before the change is answered or told to
the kernel. `changed` is called by whoever holds what a content is made of:

    rows of the file (inode, extent, tail)    the replica, at each change, also one that is undone
    layers in memory                          UnsavedFiles, when a file comes into its table
    another inode under a handle              OpenFiles, when a handle follows its bytes
    entries of others, former contents        the replica, for all files at once

What is published again afterwards is looked up in one step, too: no await between.
"""

from __future__ import annotations

from cachetools import LRUCache

from lucidnode.fs.channel import device
from lucidnode.fs.read.block_files import BlockFiles, OpenBlock
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.unsaved_files import UnsavedFiles
from lucidnode.node.client.ids import BlockId

_MAX_KNOWN_BLOCKS = 65536
"""Blocks whose number is remembered until what was read of them is heard of."""


class ChannelFiles:
    """Publishes to the channel, and withdraws. Lives in one event loop."""

    def __init__(self, replica: Replica, unsaved: UnsavedFiles, blocks: BlockFiles) -> None:
        self._replica = replica
        self._unsaved = unsaved
        self._blocks = blocks
        self._handles: dict[InodeNo, set[int]] = {}
        self._inodes: dict[int, InodeNo] = {}
        self._numbers: LRUCache[int, BlockId] = LRUCache(_MAX_KNOWN_BLOCKS)

    def show(self, handle: int, ino: InodeNo, start: int, stop: int) -> bool:
        """Publish the bytes [start, stop) whose block files are open; return whether others are not.

        Nothing of a file that holds more than its extents say. Raises Unreadable if an extent names
        a block that nobody described.
        """
        if self._unsaved.get(ino) is not None or self._replica.former.is_former(ino):
            return False
        stored = self._replica.tree.attributes(ino)
        if stored is None or self._replica.tree.tails_of(ino):
            return False
        stop = min(stop, stored.size)
        closed = False
        for extent in self._replica.tree.extents(ino, start, stop - start) if start < stop else []:
            opened = self._blocks.peek(extent.block)
            if opened is None:
                closed = True
                continue
            end = extent.offset + extent.length
            where = (extent.offset, end, extent.block_offset)
            if not device.publish(handle, stored.size, *where, self._block(opened)):
                self.closed(handle)
                return False
            self._inodes[handle] = ino
            self._handles.setdefault(ino, set()).add(handle)
        return closed

    def changed(self, ino: InodeNo | None) -> None:
        """Withdraw the file *ino*, None for all: its content is about to change."""
        handles = list(self._inodes) if ino is None else list(self._handles.get(ino, ()))
        for handle in handles:
            self.closed(handle)

    def closed(self, handle: int) -> None:
        """Withdraw what is published under *handle*."""
        ino = self._inodes.pop(handle, None)
        device.withdraw(handle)
        if ino is not None:
            self._handles[ino].discard(handle)
            if not self._handles[ino]:
                del self._handles[ino]

    def block(self, number: int) -> BlockId | None:
        """Return which block has the channel's *number*; None if that was long ago."""
        return self._numbers.get(number)

    def _block(self, opened: OpenBlock) -> device.Block:
        file = opened.file
        if file.shown is None:
            key, associated = opened.opener.cipher()
            with file.direct() as direct:
                size = opened.opener.name.size
                file.shown = device.add_block(file.descriptor, direct, key, associated, size)
            self._numbers[device.block_number(file.shown)] = opened.opener.name.id
        return file.shown
