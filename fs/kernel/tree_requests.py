"""Requests about names and attributes that come past pyfuse3, answered in one step. No logic.

Each as in kernel/fuse.py, which answers them where there is no kernel channel. Through pyfuse3 a
request takes a dozen system calls more, and a task of its own.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Coroutine
from typing import Any

import pyfuse3

from lucidnode.fs.channel.requests import Handler, KernelRequest, Opcode, Reply, RequestRefused
from lucidnode.fs.channel.tree_requests import (
    OPENED_KEEPING_PAGES,
    OPENED_LISTING_KEPT,
    OPENED_WITHOUT_PAGES,
    AskedAttributes,
    AskedRename,
    FileReply,
    asked_attribute,
    asked_attributes,
    asked_creation,
    asked_directory,
    asked_flags,
    asked_name,
    asked_page,
    asked_rename,
    asked_rename2,
    asked_room,
    attributes_reply,
    entry_reply,
    opened_reply,
    released_listing,
    value_reply,
)
from lucidnode.fs.files.file_system import AttributeChanges, Caller
from lucidnode.fs.kernel.fuse import VALID_S, storable
from lucidnode.fs.kernel.listing_pages import ListingPages, shown
from lucidnode.fs.kernel.quiet_handles import QuietHandles
from lucidnode.fs.kernel.reply import RequestReply
from lucidnode.fs.kernel.spans import Span, Spans
from lucidnode.fs.replica.inode import Attributes, InodeNo
from lucidnode.fs.replica.intents import RENAME_NOREPLACE
from lucidnode.fs.snapshot_tree.files_with_snapshots import ServedFiles


class TreeRequests:
    """Answers them for *files*. *owner* is as `FuseOperations` has it; *quiet* is told of what is opened to be read."""

    def __init__(
        self, files: ServedFiles, spans: Spans, owner: Caller | None, quiet: QuietHandles
    ) -> None:
        self._files = files
        self._spans = spans
        self._owner = owner
        self._quiet = quiet
        self._valid_s = int(VALID_S)
        self._pages = ListingPages(files, owner, self._valid_s)

    def handlers(self) -> dict[int, Handler]:
        """Return what answers which request."""
        handlers: dict[int, Handler] = {
            Opcode.LOOKUP: self._lookup,
            Opcode.GETATTR: self._getattr,
            Opcode.SETATTR: self._setattr,
            Opcode.MKDIR: self._mkdir,
            Opcode.UNLINK: self._unlink,
            Opcode.RMDIR: self._rmdir,
            Opcode.RENAME: lambda request: self._rename(request, asked_rename(request)),
            Opcode.RENAME2: lambda request: self._rename(request, asked_rename2(request)),
            Opcode.OPEN: self._open,
            Opcode.CREATE: self._create,
            Opcode.OPENDIR: self._opendir,
            Opcode.READDIRPLUS: self._readdirplus,
            Opcode.RELEASEDIR: self._releasedir,
            Opcode.GETXATTR: self._getxattr,
            Opcode.LISTXATTR: self._listxattr,
        }
        return {opcode: refusing(handler) for opcode, handler in handlers.items()}

    # -- names -------------------------------------------------------------------------------

    def _lookup(self, request: KernelRequest) -> Reply:
        name = asked_name(request)
        with self._replying(Span("lookup", request.ino, name=name, pid=request.pid)):
            return self._named(self._files.lookup(InodeNo(request.ino), name))

    def _mkdir(self, request: KernelRequest) -> Reply | Coroutine[Any, Any, Reply]:
        mode, name = asked_directory(request)
        mode = stat.S_IFDIR | stat.S_IMODE(mode)
        parent = InodeNo(request.ino)
        span = Span("mkdir", request.ino, name=name, pid=request.pid)

        def made() -> Reply:
            return self._named(self._files.make(parent, name, mode, _caller(request)))

        return self._exclusively(request, span, parent, name, made)

    def _unlink(self, request: KernelRequest) -> Reply:
        name = asked_name(request)
        with self._replying(Span("unlink", request.ino, name=name, pid=request.pid)):
            self._files.unlink(InodeNo(request.ino), name)
        return b""

    def _rmdir(self, request: KernelRequest) -> Reply:
        name = asked_name(request)
        with self._replying(Span("rmdir", request.ino, name=name, pid=request.pid)):
            self._files.rmdir(InodeNo(request.ino), name)
        return b""

    def _rename(
        self, request: KernelRequest, asked: AskedRename
    ) -> Reply | Coroutine[Any, Any, Reply]:
        name, new_parent, new_name, flags = asked
        span = Span("rename", request.ino, name=name, pid=request.pid)

        def moved() -> Reply:
            to = InodeNo(new_parent)
            self._files.rename(InodeNo(request.ino), name, to, new_name, flags)
            return b""

        if flags & RENAME_NOREPLACE:
            return self._exclusively(request, span, InodeNo(new_parent), new_name, moved)
        with self._replying(span):
            return moved()

    def _exclusively(
        self,
        request: KernelRequest,
        span: Span,
        parent: InodeNo,
        name: bytes,
        do: Callable[[], Reply],
    ) -> Reply | Coroutine[Any, Any, Reply]:
        """Answer with what *do* returns once *name* in *parent* is nobody else's: at once, if that is known."""
        if not self._files.names_at_once(parent, name):
            return self._exclusively_later(request, span, parent, name, do)
        with self._replying(span):
            return do()

    async def _exclusively_later(
        self,
        request: KernelRequest,
        span: Span,
        parent: InodeNo,
        name: bytes,
        do: Callable[[], Reply],
    ) -> Reply:
        try:
            with self._replying(span):
                await self._files.exclusively(parent, name, request.pid)
                return do()
        except pyfuse3.FUSEError as error:
            raise RequestRefused(error.errno) from None

    # -- attributes --------------------------------------------------------------------------

    def _getattr(self, request: KernelRequest) -> Reply:
        span = Span("getattr", request.ino, pid=request.pid)
        with self._replying(span, gone=errno.ESTALE):
            found = self._files.attributes(InodeNo(request.ino))
            return attributes_reply(self._shown(found), self._valid_s)

    def _setattr(self, request: KernelRequest) -> Reply | Coroutine[Any, Any, Reply]:
        asked = asked_attributes(request, self._files.now_ns())
        span = Span("setattr", request.ino, handle=asked.handle or 0, pid=request.pid)
        changes = self._changes(asked)
        if asked.size is not None:
            return self._cut(request, changes, asked.handle, span)
        with self._replying(span, gone=errno.ESTALE):
            found = self._files.set_attributes_at_once(InodeNo(request.ino), changes)
            return attributes_reply(self._shown(found), self._valid_s)

    async def _cut(
        self, request: KernelRequest, changes: AttributeChanges, handle: int | None, span: Span
    ) -> Reply:
        try:
            with self._replying(span, gone=errno.ESTALE):
                ino = InodeNo(request.ino)
                found = await self._files.set_attributes(ino, changes, handle)
                return attributes_reply(self._shown(found), self._valid_s)
        except pyfuse3.FUSEError as error:
            raise RequestRefused(error.errno) from None

    def _changes(self, asked: AskedAttributes) -> AttributeChanges:
        shows_ids = self._owner is None  # see kernel/fuse.py
        return AttributeChanges(
            mode=None if asked.mode is None else stat.S_IMODE(asked.mode),
            uid=asked.uid if shows_ids else None,
            gid=asked.gid if shows_ids else None,
            size=asked.size,
            atime_ns=None if asked.atime_ns is None else storable(asked.atime_ns),
            mtime_ns=None if asked.mtime_ns is None else storable(asked.mtime_ns),
        )

    def _getxattr(self, request: KernelRequest) -> Reply:
        room, name = asked_attribute(request)
        span = Span("getxattr", request.ino, pid=request.pid)
        with self._replying(span, gone=errno.ESTALE):
            value = self._files.xattrs.get(InodeNo(request.ino), name)
        return value_reply(value, room)

    def _listxattr(self, request: KernelRequest) -> Reply:
        room = asked_room(request)
        span = Span("listxattr", request.ino, pid=request.pid)
        with self._replying(span, gone=errno.ESTALE):
            names = self._files.xattrs.names(InodeNo(request.ino))
        return value_reply(b"".join(name + b"\0" for name in names), room)

    # -- open files --------------------------------------------------------------------------

    def _open(self, request: KernelRequest) -> Reply | Coroutine[Any, Any, Reply]:
        flags = asked_flags(request)
        span = Span("open", request.ino, pid=request.pid)
        if not self._files.opens_at_once(InodeNo(request.ino), flags):
            return self._open_later(request, flags, span)
        with self._replying(span, gone=errno.ESTALE):
            opened = self._files.open_as_it_is(InodeNo(request.ino), flags, request.pid)
            return self._opened(request, request.ino, opened, flags)

    async def _open_later(self, request: KernelRequest, flags: int, span: Span) -> Reply:
        try:
            with self._replying(span, gone=errno.ESTALE):
                opened = await self._files.open(InodeNo(request.ino), flags, request.pid)
                return self._opened(request, request.ino, opened, flags)
        except pyfuse3.FUSEError as error:
            raise RequestRefused(error.errno) from None

    def _create(self, request: KernelRequest) -> Reply | Coroutine[Any, Any, Reply]:
        flags, mode, name = asked_creation(request)
        parent = InodeNo(request.ino)
        span = Span("create", request.ino, name=name, pid=request.pid)

        def made() -> Reply:
            made, opened = self._files.create(
                parent, name, mode, _caller(request), flags, request.pid
            )
            return self._named(made) + self._opened(request, made.ino, opened, flags)

        if flags & os.O_EXCL:
            return self._exclusively(request, span, parent, name, made)
        with self._replying(span):
            return made()

    def _opened(
        self, request: KernelRequest, ino: int, opened: tuple[int, bool], flags: int
    ) -> bytes:
        handle, unchanged = opened
        self._spans.opened(handle, ino, request.pid)
        if flags & os.O_ACCMODE == os.O_RDONLY:
            self._quiet.opened(InodeNo(ino), handle)
        # See kernel/fuse.py for those that append.
        pages = OPENED_WITHOUT_PAGES if flags & os.O_APPEND else 0
        return opened_reply(handle, pages | (OPENED_KEEPING_PAGES if unchanged else 0))

    # -- directories -------------------------------------------------------------------------

    def _opendir(self, request: KernelRequest) -> Reply:
        span = Span("opendir", request.ino, pid=request.pid)
        with self._replying(span, gone=errno.ESTALE):
            handle, holding = self._files.directories.open(InodeNo(request.ino))
            self._spans.opened(handle, request.ino, request.pid)
            flags = OPENED_LISTING_KEPT if holding.may_hold else 0
            return opened_reply(handle, flags | (OPENED_KEEPING_PAGES if holding.is_right else 0))

    def _readdirplus(self, request: KernelRequest) -> Reply:
        handle, cookie, size = asked_page(request)
        with self._replying(Span("readdir", handle=handle, offset=cookie), gone=errno.ESTALE):
            return self._pages.page(handle, cookie, size)

    def _releasedir(self, request: KernelRequest) -> Reply:
        handle = released_listing(request)
        with self._replying(Span("releasedir", handle=handle)):
            self._files.directories.release(handle)
        self._spans.released(handle)
        return b""

    # ----------------------------------------------------------------------------------------

    def _replying(self, span: Span, *, gone: int = errno.ENOENT) -> RequestReply:
        return RequestReply(self._spans, span, gone)

    def _named(self, file: Attributes) -> bytes:
        self._files.lifetimes.count_lookup(file)
        return entry_reply(self._shown(file), self._valid_s)

    def _shown(self, file: Attributes) -> FileReply:
        return shown(file, self._files.occupied(file), self._owner)


def refusing(handler: Handler) -> Handler:
    """Return *handler* with the errors of pyfuse3 as those of the channel."""

    def answer(request: KernelRequest) -> Reply | Coroutine[Any, Any, Reply | None] | None:
        try:
            return handler(request)
        except pyfuse3.FUSEError as error:
            raise RequestRefused(error.errno) from None

    return answer


def _caller(request: KernelRequest) -> Caller:
    return Caller(request.uid, request.gid)
