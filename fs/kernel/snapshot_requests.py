"""Requests of a mount that shows snapshots: one is opened before it is looked into. No logic.

What is asked of files of now goes the same way as without; each kind of request is wrapped once.
"""

from __future__ import annotations

import errno
from collections.abc import Coroutine, Sequence
from typing import Any

import pyfuse3

from lucidnode.fs.channel.requests import (
    AskedLock,
    Handler,
    KernelRequest,
    Opcode,
    Reply,
    RequestRefused,
)
from lucidnode.fs.files.file_system import Caller
from lucidnode.fs.files.killed import unless_killed
from lucidnode.fs.kernel.fuse import FuseOperations
from lucidnode.fs.kernel.lock_requests import LockAuthority, LockRequests
from lucidnode.fs.kernel.quiet_handles import QuietHandles
from lucidnode.fs.kernel.reply import RequestReply
from lucidnode.fs.kernel.spans import Span, Spans
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.snapshot_tree.files_with_snapshots import FilesWithSnapshots
from lucidnode.fs.snapshot_tree.snapshot_numbers import SNAPSHOTS
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import Seq

_WITHIN = frozenset({Opcode.LOOKUP, Opcode.OPENDIR})
_OF_ITSELF = frozenset({Opcode.GETATTR, Opcode.OPEN, Opcode.GETXATTR, Opcode.LISTXATTR})


class SnapshotOpener:
    """Has the state of a file opened for whoever asks, until that program is killed."""

    def __init__(self, files: FilesWithSnapshots, spans: Spans, clock: Clock) -> None:
        self._files = files
        self._spans = spans
        self._clock = clock

    def to_open(self, ino: int, *, within: bool) -> Seq | None:
        """Return what has to be opened first: see `FilesWithSnapshots.to_open`."""
        return self._files.to_open(InodeNo(ino), within=within)

    async def open(self, seq: Seq, ino: int, pid: int) -> None:
        """Open it. Raises FUSEError."""
        with RequestReply(self._spans, Span("snapshot", ino, pid=pid), errno.ESTALE):
            await unless_killed(pid, self._files.open_state(seq), self._clock)

    async def opened(self, ino: int, ctx: pyfuse3.RequestContext | None, *, within: bool) -> None:
        """Have opened what a request of pyfuse3 is about. Raises FUSEError."""
        if (seq := self.to_open(ino, within=within)) is not None:
            await self.open(seq, ino, ctx.pid if ctx else 0)

    def opening(self, handlers: dict[int, Handler]) -> dict[int, Handler]:
        """Return *handlers* of the kernel channel that open first what they are asked about."""
        wrapped = {opcode: self._opening(handlers[opcode], within=True) for opcode in _WITHIN}
        wrapped |= {opcode: self._opening(handlers[opcode], within=False) for opcode in _OF_ITSELF}
        return handlers | wrapped

    def _opening(self, handler: Handler, *, within: bool) -> Handler:
        async def later(request: KernelRequest, seq: Seq) -> Reply | None:
            try:
                await self.open(seq, request.ino, request.pid)
            except pyfuse3.FUSEError as error:
                raise RequestRefused(error.errno) from None
            answer = handler(request)
            return await answer if isinstance(answer, Coroutine) else answer

        def answer(
            request: KernelRequest,
        ) -> Reply | Coroutine[Any, Any, Reply | None] | None:
            if request.ino <= SNAPSHOTS:
                return handler(request)
            seq = self.to_open(request.ino, within=within)
            return handler(request) if seq is None else later(request, seq)

        return answer


class SnapshotOperations(FuseOperations):
    """As `FuseOperations`, where *opener* opens what is looked into."""

    def __init__(
        self, files: FilesWithSnapshots, spans: Spans, owner: Caller | None, opener: SnapshotOpener
    ) -> None:
        super().__init__(files, spans, owner)
        self._opener = opener

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        await self._opener.opened(parent_inode, ctx, within=True)
        return await super().lookup(parent_inode, name, ctx)

    async def getattr(
        self, inode: int, ctx: pyfuse3.RequestContext | None = None
    ) -> pyfuse3.EntryAttributes:
        await self._opener.opened(inode, ctx, within=False)
        return await super().getattr(inode, ctx)

    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        await self._opener.opened(inode, ctx, within=False)
        return await super().readlink(inode, ctx)

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        await self._opener.opened(inode, ctx, within=True)
        return await super().opendir(inode, ctx)

    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        await self._opener.opened(inode, ctx, within=False)
        return await super().open(inode, flags, ctx)

    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        await self._opener.opened(inode, ctx, within=False)
        return await super().getxattr(inode, name, ctx)

    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> Sequence[bytes]:
        await self._opener.opened(inode, ctx, within=False)
        return await super().listxattr(inode, ctx)


class SnapshotLocks(LockRequests):
    """As `LockRequests`: in snapshots, which nobody writes, each mount has locks of its own."""

    def __init__(
        self,
        files: FilesWithSnapshots,
        spans: Spans,
        authority: LockAuthority | None,
        quiet: QuietHandles,
    ) -> None:
        super().__init__(files.locks, spans, authority, quiet)
        self._past = past = LockRequests(files.past_locks, spans, None, quiet)
        now = self.interrupted

        def interrupted(unique: int) -> None:
            now(unique)
            past.interrupted(unique)

        self.interrupted = interrupted

    async def test(self, ino: int, asked: AskedLock) -> Reply:
        """As `LockRequests.test`."""
        if ino > SNAPSHOTS:
            return await self._past.test(ino, asked)
        return await super().test(ino, asked)

    async def set(self, ino: int, asked: AskedLock) -> None:
        """As `LockRequests.set`."""
        if ino > SNAPSHOTS:
            await self._past.set(ino, asked)
        else:
            await super().set(ino, asked)

    async def wait(self, ino: int, asked: AskedLock, unique: int) -> None:
        """As `LockRequests.wait`."""
        if ino > SNAPSHOTS:
            await self._past.wait(ino, asked, unique)
        else:
            await super().wait(ino, asked, unique)

    def flushed(self, ino: int, handle: int, owner: int) -> None:
        """As `LockRequests.flushed`."""
        if ino > SNAPSHOTS:
            self._past.flushed(ino, handle, owner)
        else:
            super().flushed(ino, handle, owner)

    def released(self, ino: int, handle: int) -> None:
        """As `LockRequests.released`."""
        if ino > SNAPSHOTS:
            self._past.released(ino, handle)
        else:
            super().released(ino, handle)

    def stop(self) -> None:
        """As `LockRequests.stop`."""
        self._past.stop()
        super().stop()
