"""The compiled channel: put over the kernel's device, and spoken to.

There is one for each process, as pyfuse3 keeps one mount. Without the compiled module there is
none, and everything goes through pyfuse3.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NewType

try:
    from lucidnode.fs.channel import _channel
except ImportError:
    # No compiler was there when this was installed.
    _built = False
    READS_DIRECTLY = False
    MIN_DIRECT_BYTES = 0
else:
    _built = True
    READS_DIRECTLY = bool(_channel.READS_DIRECTLY)
    """Whether the channel reads past the kernel's pages what is not in them: this kernel tells."""
    MIN_DIRECT_BYTES = _channel.MIN_DIRECT_BYTES
    """It does so from this many bytes of one request on."""

log = logging.getLogger(__name__)

READERS = 12
"""Threads that take requests from the kernel. Ten of them may wait for the disk of block files at a time
(native/waits.h), the others go on with what needs none."""

_DEVICE = os.makedev(10, 229)
"""/dev/fuse, admin-guide/devices.txt of the kernel."""

_DESCRIPTORS = Path("/proc/self/fd")

_NOTIFY_INVAL_INODE = 2
_NOTIFY_INVAL_ENTRY = 3
_INVAL_INODE = struct.Struct("=Qqq")
_INVAL_ENTRY = struct.Struct("=QII")


Block = NewType("Block", object)
"""One block that the channel may read; gone from there when nobody here has it any more."""


class AnsweredRead(NamedTuple):
    """Bytes that the channel has answered, of one block, in one request or several that go on from each other."""

    handle: int
    offset: int
    length: int
    block: int
    """The number of the block."""
    requests: int
    """0 of the rest of a request that began in the block before."""
    nanoseconds: int
    """That they took in sum."""


def built() -> bool:
    """Return whether the compiled module is there."""
    return _built


def runs() -> bool:
    """Return whether the kernel is spoken to through the channel."""
    return _built and _channel.runs()


def devices() -> set[int]:
    """Return the descriptors of this process that are open on the kernel's device."""
    found = set()
    for entry in _DESCRIPTORS.iterdir():
        with contextlib.suppress(OSError):
            held = os.fstat(int(entry.name))
            # Not by its path: a container may have made the device elsewhere, or removed that name.
            if stat.S_ISCHR(held.st_mode) and held.st_rdev == _DEVICE:
                found.add(int(entry.name))
    return found


class KernelDevice:
    """The kernel's device, with the channel in its place for whoever has the descriptor *device*."""

    def __init__(
        self, device: int, direct: frozenset[int], init_flags: int, background: int, decrypt: int
    ) -> None:
        """Start the threads. *direct* are the opcodes that `arrived` yields. Raises OSError.

        *init_flags* are added to those with which pyfuse3 answers the kernel's INIT.
        The kernel may have *background* reads under way, or as many as it gives our user.
        *decrypt* is the address of the function that opens segments, 0 to answer no read in C.
        """
        self._outside = device
        self._kernel = os.dup(device)
        try:
            opcodes = sum(1 << opcode for opcode in direct)
            inside, self.event = _channel.start(
                device, READERS, opcodes, init_flags, background, decrypt
            )
        except BaseException:
            os.close(self._kernel)
            raise
        # What pyfuse3 reads now is what the threads forward.
        os.dup2(inside, device, inheritable=False)
        os.close(inside)

    def close(self) -> None:
        """End the threads, and give the device back: whoever closes it unmounts."""
        # Closes the other end of the socket, too: all replies in it get to the kernel first.
        os.dup2(self._kernel, self._outside, inheritable=False)
        _channel.stop()
        os.close(self._kernel)
        log.info("kernel channel: %s", _channel.counts())

    def arrived(self) -> Iterator[bytes | memoryview]:
        """Yield the requests that came since the last call. Call it when `event` is readable.

        A long one as it was read from the kernel, in memory that goes with the last view of it.
        """
        with contextlib.suppress(BlockingIOError):
            os.read(self.event, 8)
        while (message := _channel.take()) is not None:
            yield message

    def answered(self) -> list[AnsweredRead]:
        """Return what was answered since the last call. Call it when `event` is readable."""
        return [AnsweredRead(*read) for read in _channel.places()]

    @property
    def ended(self) -> bool:
        """Whether the kernel has unmounted, so that no more requests come."""
        return _channel.ended() != 0

    def reply(self, unique: int, error: int, data: bytes | bytearray | memoryview) -> None:
        """Answer a request with a positive errno, or with *data*."""
        try:
            _channel.reply(unique, error, data)
        except OSError as failure:
            # Whoever asked has gone, or the file system has.
            if failure.errno not in {errno.ENOENT, errno.ENODEV}:
                log.warning("the kernel refused a reply: %s", failure)


def invalidate_inode(ino: int, *, attributes_only: bool) -> None:
    """Have the kernel forget what it holds of *ino*. May block. Raises OSError."""
    offset = -1 if attributes_only else 0
    _channel.notify(_NOTIFY_INVAL_INODE, _INVAL_INODE.pack(ino, offset, 0))


def invalidate_entry(parent: int, name: bytes) -> None:
    """Have the kernel look *name* up again. May block. Raises OSError."""
    _channel.notify(_NOTIFY_INVAL_ENTRY, _INVAL_ENTRY.pack(parent, len(name), 0) + name + b"\0")


def over(
    before: set[int], direct: frozenset[int], init_flags: int, background: int, decrypt: int
) -> KernelDevice | None:
    """Put the channel over the device that was opened since *before* was asked of `devices`.

    None if it cannot be, which the log says: then nothing has changed.
    """
    if not built():
        return None
    opened = devices() - before
    if len(opened) != 1:
        log.warning("no kernel channel: %d devices are open", len(opened))
        return None
    try:
        return KernelDevice(opened.pop(), direct, init_flags, background, decrypt)
    except OSError as error:
        log.warning("no kernel channel: %s", error)
        return None


def add_block(file: int, direct: int, key: bytes, associated: bytes, size: int) -> Block:
    """Return a block of *size* bytes of plaintext in *file*, which *direct* is with O_DIRECT, or -1.

    Both are duplicated. Raises OSError.
    """
    return Block(_channel.add_block(file, direct, key, associated, size))


def block_number(block: Block) -> int:
    """Return the number by which `AnsweredRead` names *block*."""
    return _channel.block_number(block)


def publish(handle: int, size: int, start: int, stop: int, block_start: int, block: Block) -> bool:
    """Publish where bytes [start, stop) of the file of *handle* are, which has *size* bytes.

    False if it contradicts what was published, or there is no room: *handle* is withdrawn then.
    """
    return _channel.publish(handle, size, start, stop, block_start, block)


def withdraw(handle: int) -> None:
    """Have no later read of *handle* answered by what was published."""
    _channel.withdraw(handle)


def quiet(handle: int) -> None:
    """Have each later FLUSH of *handle* answered by itself: it would end nothing."""
    _channel.quiet(handle)


def unquiet(handle: int) -> None:
    """Have no later FLUSH of *handle* answered by itself."""
    _channel.unquiet(handle)
