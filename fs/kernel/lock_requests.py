"""Locks that the kernel asks for: from its words into those of `FileLocks`, once we may decide them."""

from __future__ import annotations

import asyncio
import errno
from typing import Protocol

from lucidnode.fs.channel.requests import AskedLock, LockType, Reply, lock_reply
from lucidnode.fs.errors import FileError, LockHeld
from lucidnode.fs.files.file_locks import FileLocks, LockedFile
from lucidnode.fs.files.lock_table import LAST_BYTE, LockedRange
from lucidnode.fs.kernel.interrupts import Interrupts
from lucidnode.fs.kernel.quiet_handles import QuietHandles
from lucidnode.fs.kernel.reply import RequestReply
from lucidnode.fs.kernel.spans import Span, Spans
from lucidnode.fs.replica.inode import InodeNo

NODE_UNKNOWN_PID = 0
"""Whom GETLK names where another workstation decides: the kernel can name no process of it."""


class LockAuthority(Protocol):
    """Whether this node decides the locks of a file (LockTokens)."""

    def admits(self, ino: InodeNo, owner: int) -> bool:
        """Tell whether *owner* may ask for a lock of *ino* here, now."""

    async def admitted(
        self, ino: InodeNo, owner: int, given_up: asyncio.Future[None] | None, *, whole: bool
    ) -> None:
        """Return once `admits` holds, in the same step. Raises a FileError."""

    def stop(self) -> None:
        """Let go of all who wait."""


class LockRequests:
    """Answers GETLK, SETLK and SETLKW, and ends what was locked by what is closed.

    Without *authority* all locks are decided here. *quiet* is told of files that are locked.
    """

    def __init__(
        self,
        locks: FileLocks,
        spans: Spans,
        authority: LockAuthority | None,
        quiet: QuietHandles,
    ) -> None:
        self._locks = locks
        self._quiet = quiet
        self._authority = authority
        self._spans = spans
        self._interrupts = Interrupts()
        self.interrupted = self._interrupts.came
        """Called with the number of a request that whoever asked has given up."""

    async def test(self, ino: int, asked: AskedLock) -> Reply:
        """Return the reply that says which lock is in the way of *asked*."""
        with self._replying("getlk", ino, asked):
            try:
                await self._admitted(_file(ino, asked), asked.owner, None)
            except LockHeld:
                return lock_reply(0, LAST_BYTE, LockType.EXCLUSIVE, NODE_UNKNOWN_PID)
            found = self._locks.in_the_way(_file(ino, asked), asked.owner, _range(asked))
            if found is None:
                return lock_reply(asked.start, asked.last, LockType.NONE, 0)
            kind = LockType.EXCLUSIVE if found.exclusive else LockType.SHARED
            return lock_reply(found.start, found.last, kind, found.pid)

    async def set(self, ino: int, asked: AskedLock) -> None:
        """Lock or unlock now. Raises FUSEError: EAGAIN if somebody else is in the way."""
        with self._replying("setlk", ino, asked):
            await self._set(ino, asked, None)

    async def wait(self, ino: int, asked: AskedLock, unique: int) -> None:
        """Lock once it can be. Raises FUSEError: EINTR if request *unique* is given up meanwhile."""
        with self._replying("setlkw", ino, asked), self._interrupts.of(unique) as given_up:
            await self._set(ino, asked, given_up)

    def flushed(self, ino: int, handle: int, owner: int) -> None:
        """End the locks that end by a FLUSH."""
        self._locks.flushed(InodeNo(ino), handle, owner)

    def released(self, ino: int, handle: int) -> None:
        """End the locks that end by a RELEASE."""
        self._quiet.released(InodeNo(ino), handle)
        self._locks.released(InodeNo(ino), handle)

    def stop(self) -> None:
        """Let go of all who wait: the mount ends."""
        self._locks.stop()
        if self._authority is not None:
            self._authority.stop()

    async def _set(self, ino: int, asked: AskedLock, given_up: asyncio.Future[None] | None) -> None:
        file = _file(ino, asked)
        if asked.kind is LockType.NONE:
            self._locks.unlock(file, asked.owner, asked.start, asked.last)
            return
        await self._admitted(file, asked.owner, given_up)
        await self._locks.lock(file, asked.owner, _range(asked), asked.handle, given_up)
        # Before he hears of it: from then on his `close` ends it. What is opened later knows of it.
        self._quiet.locked(file.ino)
        try:
            # Who waited long for somebody here may have it when this node decides no more.
            await self._admitted(file, asked.owner, given_up)
        except FileError:
            self._locks.unlock(file, asked.owner, asked.start, asked.last)
            raise

    async def _admitted(
        self, file: LockedFile, owner: int, given_up: asyncio.Future[None] | None
    ) -> None:
        if self._authority is not None:
            await self._authority.admitted(file.ino, owner, given_up, whole=file.whole)

    def _replying(self, operation: str, ino: int, asked: AskedLock) -> RequestReply:
        span = Span(operation, ino, handle=asked.handle, offset=asked.start, pid=asked.pid)
        return RequestReply(self._spans, span, errno.ESTALE)


def _file(ino: int, asked: AskedLock) -> LockedFile:
    return LockedFile(InodeNo(ino), whole=asked.is_flock)


def _range(asked: AskedLock) -> LockedRange:
    exclusive = asked.kind is LockType.EXCLUSIVE
    return LockedRange(asked.start, asked.last, exclusive, asked.pid)
