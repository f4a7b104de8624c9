"""Requests of the kernel that do not go through pyfuse3: parsed, handed to their handler, answered.

Layouts are those of linux/fuse.h, in the machine's own byte order.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import struct
from collections.abc import Callable, Coroutine, Iterator, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from lucidnode.fs.channel.device import AnsweredRead, KernelDevice

Reply = bytes | bytearray | memoryview
Handler = Callable[["KernelRequest"], Reply | Coroutine[Any, Any, Reply | None] | None]
"""Returns the data of the reply, or None where the kernel expects no reply; or what will return it.
Raises RequestRefused."""


class Opcode(IntEnum):
    """The requests that our own handlers may take."""

    LOOKUP = 1
    GETATTR = 3
    SETATTR = 4
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    OPEN = 14
    READ = 15
    WRITE = 16
    RELEASE = 18
    GETXATTR = 22
    LISTXATTR = 23
    FLUSH = 25
    OPENDIR = 27
    RELEASEDIR = 29
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    CREATE = 35
    INTERRUPT = 36
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    COPY_FILE_RANGE_64 = 53


class AskedWrite(NamedTuple):
    """What a WRITE is about."""

    handle: int
    offset: int
    data: memoryview
    in_place: bool
    """It belongs at *offset*, whatever the handle was opened for: it is a page of a map, which comes by
    any handle of the file, or the program has taken O_APPEND from its handle since (`fcntl`)."""


class AskedCopy(NamedTuple):
    """What a COPY_FILE_RANGE, of either length, is about."""

    source: int
    start: int
    target: int
    at: int
    length: int


INIT_POSIX_LOCKS = 1 << 1
INIT_FLOCK_LOCKS = 1 << 10
"""Flags of the reply to INIT: the kernel shall ask us for locks of `fcntl`, and of `flock`."""

INIT_DIRECT_IO_ALLOW_MMAP = 1 << 36
"""Flag of the reply to INIT: what is opened without pages in the kernel, to append, can be mapped."""


class LockType(IntEnum):
    """F_RDLCK, F_WRLCK and F_UNLCK of fcntl(2)."""

    SHARED = 0
    EXCLUSIVE = 1
    NONE = 2


class AskedLock(NamedTuple):
    """What a GETLK, SETLK or SETLKW is about: the bytes from *start* to *last*."""

    handle: int
    owner: int
    start: int
    last: int
    kind: LockType
    pid: int
    is_flock: bool


_TOLD_AFTER_S = 0.005
"""At 3 GB/s that is 15 MB: less than half of what is looked ahead by then."""


class RequestRefused(Exception):
    """The answer is an errno."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.errno = number


_HEADER = struct.Struct("=IIQQIIIHH")
_READ = struct.Struct("=QQIIQII")
_WRITE = struct.Struct("=QQIIQII")
_WRITE_CACHE = 1
_WRITTEN = struct.Struct("=II")
_LSEEK = struct.Struct("=QQII")
_COPY = struct.Struct("=QQQQQQQ")
_COPIED = struct.Struct("=Q")
_FALLOCATE = struct.Struct("=QQQII")
_PLACE = struct.Struct("=Q")
_FLUSH = struct.Struct("=QIIQ")
_RELEASE = struct.Struct("=QIIQ")
_LOCK = struct.Struct("=QQQQIIII")
_LOCK_IS_FLOCK = 1
_LOCK_TYPES = frozenset(LockType)
_MAX_OFFSET = 2**63 - 1
_HELD = struct.Struct("=QQII")
_INTERRUPTED = struct.Struct("=Q")
_FORGETS = struct.Struct("=II")
_FORGET = struct.Struct("=QQ")


class KernelRequest:
    """One message of the kernel: its header, and what follows it. Raises RequestRefused if it is torn."""

    __slots__ = ("body", "gid", "ino", "opcode", "pid", "uid", "unique")

    def __init__(self, message: bytes | memoryview) -> None:
        if len(message) < _HEADER.size:
            raise RequestRefused(errno.EINVAL)
        length, self.opcode, self.unique, self.ino, self.uid, self.gid, self.pid, _, _ = (
            _HEADER.unpack_from(message)
        )
        self.body = memoryview(message)[_HEADER.size :]
        if length != len(message):
            raise RequestRefused(errno.EINVAL)

    def fields(self, layout: struct.Struct) -> tuple[int, ...]:
        """Return what *layout* finds at the start of the body. Raises RequestRefused."""
        if len(self.body) < layout.size:
            raise RequestRefused(errno.EINVAL)
        return layout.unpack_from(self.body)

    def read_range(self) -> tuple[int, int, int]:
        """Return handle, offset and size of a READ."""
        handle, offset, size, *_ = self.fields(_READ)
        return handle, offset, size

    def written(self) -> AskedWrite:
        """Return what a WRITE is about. Raises RequestRefused."""
        handle, offset, size, flags, _, opened, _ = self.fields(_WRITE)
        data = self.body[_WRITE.size :]
        if len(data) != size:
            raise RequestRefused(errno.EINVAL)
        in_place = bool(flags & _WRITE_CACHE) or not opened & os.O_APPEND
        return AskedWrite(handle, offset, data, in_place)

    def sought(self) -> tuple[int, int, int]:
        """Return handle, offset and whence of an LSEEK."""
        handle, offset, whence, _ = self.fields(_LSEEK)
        return handle, offset, whence

    def flushed(self) -> tuple[int, int]:
        """Return handle and owner of a FLUSH: it is his locks of `fcntl` that end."""
        handle, _, _, owner = self.fields(_FLUSH)
        return handle, owner

    def released(self) -> int:
        """Return the handle of a RELEASE."""
        return self.fields(_RELEASE)[0]

    def interrupted(self) -> int:
        """Return the number of the request that an INTERRUPT is about."""
        return self.fields(_INTERRUPTED)[0]

    def lock(self) -> AskedLock:
        """Return what a GETLK, SETLK or SETLKW is about. Raises RequestRefused."""
        handle, owner, start, last, kind, pid, flags, _ = self.fields(_LOCK)
        if not start <= last <= _MAX_OFFSET or kind not in _LOCK_TYPES:
            raise RequestRefused(errno.EINVAL)
        is_flock = bool(flags & _LOCK_IS_FLOCK)
        return AskedLock(handle, owner, start, last, LockType(kind), pid, is_flock)

    def copy(self) -> AskedCopy:
        """Return what a COPY_FILE_RANGE is about. Raises RequestRefused."""
        source, start, _, target, at, length, flags = self.fields(_COPY)
        if flags or max(start, at, length) > _MAX_OFFSET:
            raise RequestRefused(errno.EINVAL)
        return AskedCopy(source, start, target, at, length)

    def allocated(self) -> tuple[int, int, int, int]:
        """Return handle, offset, length and mode of a FALLOCATE. Raises RequestRefused."""
        handle, offset, length, mode, _ = self.fields(_FALLOCATE)
        if max(offset, length) > _MAX_OFFSET:
            raise RequestRefused(errno.EINVAL)
        return handle, offset, length, mode

    def forgotten(self) -> list[tuple[int, int]]:
        """Return inode and count of each entry of a BATCH_FORGET. Raises RequestRefused."""
        count, _ = self.fields(_FORGETS)
        entries = self.body[_FORGETS.size :]
        if len(entries) != count * _FORGET.size:
            raise RequestRefused(errno.EINVAL)
        return list(_FORGET.iter_unpack(entries))


def written_reply(size: int) -> bytes:
    """Return the data of the reply to a WRITE."""
    return _WRITTEN.pack(size, 0)


def copied_reply(size: int) -> bytes:
    """Return the data of the reply to a COPY_FILE_RANGE_64."""
    return _COPIED.pack(size)


def place_reply(offset: int) -> bytes:
    """Return the data of the reply to an LSEEK."""
    return _PLACE.pack(offset)


def lock_reply(start: int, last: int, kind: LockType, pid: int) -> bytes:
    """Return the data of the reply to a GETLK."""
    return _HELD.pack(start, last, kind, pid)


class Requests:
    """Has *handlers* answer what comes through *device*. Lives in one event loop.

    *on_answered* is told soon of what the channel has answered by itself.
    """

    def __init__(
        self,
        device: KernelDevice,
        handlers: Mapping[int, Handler],
        on_answered: Callable[[list[AnsweredRead]], None],
    ) -> None:
        self._device = device
        self._handlers = handlers
        self._on_answered = on_answered
        self._hearing = False

    @contextlib.contextmanager
    def served(self, tasks: asyncio.TaskGroup, unmounted: Callable[[], None]) -> Iterator[None]:
        """Take requests, each as one of *tasks*, while inside; *unmounted* is called at the end."""
        loop = asyncio.get_running_loop()

        def arrived() -> None:
            for message in self._device.arrived():
                self._begin(message, tasks)
            if not self._hearing:
                # Not at once: thousands of small reads in a second are told of together.
                self._hearing = True
                loop.call_later(_TOLD_AFTER_S, self._hear)
            if self._device.ended:
                loop.remove_reader(self._device.event)
                unmounted()

        loop.add_reader(self._device.event, arrived)
        try:
            yield
        finally:
            loop.remove_reader(self._device.event)
            self._hear()

    def _hear(self) -> None:
        self._hearing = False
        if reads := self._device.answered():
            self._on_answered(reads)

    def _begin(self, message: bytes | memoryview, tasks: asyncio.TaskGroup) -> None:
        """Answer *message*: at once if its handler needs not wait, which saves a task for each."""
        # A torn header has been refused in C already.
        unique = _HEADER.unpack_from(message)[2]
        try:
            request = KernelRequest(message)
            if request.opcode == Opcode.RELEASE:
                self._hear()  # while its handle says still which file was read
            reply = self._handlers[request.opcode](request)
        except RequestRefused as refused:
            self._device.reply(unique, refused.errno, b"")
            return
        if isinstance(reply, Coroutine):
            tasks.create_task(self._answer(unique, reply))
        elif reply is not None:
            self._device.reply(unique, 0, reply)

    async def _answer(self, unique: int, awaited: Coroutine[Any, Any, Reply | None]) -> None:
        try:
            reply = await awaited
        except RequestRefused as refused:
            self._device.reply(unique, refused.errno, b"")
            return
        if reply is not None:
            self._device.reply(unique, 0, reply)
