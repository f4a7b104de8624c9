"""The door to pyfuse3: kernel requests in, `FileSystem` calls out, errors as errno. No logic.

Who serves them is kernel/session.py, and what an error becomes is decided in kernel/reply.py. What
pyfuse3 does not know, or carries badly, comes by kernel/direct_requests.py.
"""
# ruff: noqa: ARG002  # The signatures are pyfuse3's.

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Coroutine, Sequence
from typing import Any

import pyfuse3

from lucidnode.fs.channel.requests import AskedCopy, AskedWrite, Reply
from lucidnode.fs.files.file_system import AttributeChanges, Caller
from lucidnode.fs.kernel.reply import RequestReply
from lucidnode.fs.kernel.spans import Span, Spans
from lucidnode.fs.replica.inode import Attributes, InodeNo
from lucidnode.fs.replica.intents import RENAME_NOREPLACE
from lucidnode.fs.snapshot_tree.files_with_snapshots import ServedFiles

log = logging.getLogger(__name__)


VALID_S = 60.0
"""Seconds that the kernel may keep names and attributes. What others change is invalidated at once
(fs/kernel/invalidation.py); this only bounds the harm if that fails."""

_BLOCK_BYTES = 4096


class FuseOperations(pyfuse3.Operations):
    """Translates between pyfuse3 and *files*.

    *owner* is whom every file is shown to belong to; None shows the ids that are stored.
    """

    supports_dot_lookup = True
    enable_writeback_cache = False
    enable_acl = False

    def __init__(self, files: ServedFiles, spans: Spans, owner: Caller | None) -> None:
        super().__init__()
        self._files = files
        self._spans = spans
        self._owner = owner

    # -- attributes and names ----------------------------------------------------------------

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        with self._replying(Span("lookup", parent_inode, name=name, pid=ctx.pid)):
            return self._named(self._files.lookup(InodeNo(parent_inode), name))

    async def getattr(
        self, inode: int, ctx: pyfuse3.RequestContext | None = None
    ) -> pyfuse3.EntryAttributes:
        with self._replying(Span("getattr", inode, pid=ctx.pid if ctx else 0), gone=errno.ESTALE):
            return self._entry(self._files.attributes(InodeNo(inode)))

    async def setattr(
        self,
        inode: int,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: int | None,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        with self._replying(Span("setattr", inode, handle=fh or 0, pid=ctx.pid), gone=errno.ESTALE):
            changes = AttributeChanges(
                mode=stat.S_IMODE(attr.st_mode) if fields.update_mode else None,
                # Where ids are not shown they are not set: the kernel lets a user try his own only.
                uid=attr.st_uid if fields.update_uid and self._owner is None else None,
                gid=attr.st_gid if fields.update_gid and self._owner is None else None,
                size=attr.st_size if fields.update_size else None,
                atime_ns=storable(attr.st_atime_ns) if fields.update_atime else None,
                mtime_ns=storable(attr.st_mtime_ns) if fields.update_mtime else None,
            )
            return self._entry(await self._files.set_attributes(InodeNo(inode), changes, fh))

    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        with self._replying(Span("mknod", parent_inode, name=name, pid=ctx.pid)):
            await self._files.exclusively(InodeNo(parent_inode), name, ctx.pid)
            return self._named(
                self._files.make(InodeNo(parent_inode), name, mode, _caller(ctx), rdev=rdev)
            )

    async def mkdir(
        self, parent_inode: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        with self._replying(Span("mkdir", parent_inode, name=name, pid=ctx.pid)):
            await self._files.exclusively(InodeNo(parent_inode), name, ctx.pid)
            return self._named(self._files.make(InodeNo(parent_inode), name, mode, _caller(ctx)))

    async def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        with self._replying(Span("symlink", parent_inode, name=name, pid=ctx.pid)):
            mode = stat.S_IFLNK | 0o777
            await self._files.exclusively(InodeNo(parent_inode), name, ctx.pid)
            return self._named(
                self._files.make(InodeNo(parent_inode), name, mode, _caller(ctx), target=target)
            )

    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        with self._replying(Span("readlink", inode, pid=ctx.pid), gone=errno.ESTALE):
            return self._files.readlink(InodeNo(inode))

    async def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        with self._replying(
            Span("link", new_parent_inode, name=new_name, pid=ctx.pid), gone=errno.ESTALE
        ):
            await self._files.exclusively(InodeNo(new_parent_inode), new_name, ctx.pid)
            return self._named(
                self._files.link(InodeNo(inode), InodeNo(new_parent_inode), new_name)
            )

    async def unlink(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        with self._replying(Span("unlink", parent_inode, name=name, pid=ctx.pid)):
            self._files.unlink(InodeNo(parent_inode), name)

    async def rmdir(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        with self._replying(Span("rmdir", parent_inode, name=name, pid=ctx.pid)):
            self._files.rmdir(InodeNo(parent_inode), name)

    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: pyfuse3.RequestContext,
    ) -> None:
        with self._replying(Span("rename", parent_inode_old, name=name_old, pid=ctx.pid)):
            if flags & RENAME_NOREPLACE:
                await self._files.exclusively(InodeNo(parent_inode_new), name_new, ctx.pid)
            self._files.rename(
                InodeNo(parent_inode_old), name_old, InodeNo(parent_inode_new), name_new, flags
            )

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        self.forgotten(inode_list)

    def forgotten(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Take note of a FORGET or BATCH_FORGET."""
        for inode, count in inode_list:
            self._files.lifetimes.forget_lookups(InodeNo(inode), count)

    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        with self._replying(Span("statfs", pid=ctx.pid)):
            shown = self._files.capacity()
            answer = pyfuse3.StatvfsData()
            answer.f_bsize = answer.f_frsize = shown.unit
            answer.f_blocks = shown.units
            answer.f_bfree = shown.free_units
            answer.f_bavail = shown.available_units
            answer.f_files = shown.files
            answer.f_ffree = answer.f_favail = shown.free_files
            answer.f_namemax = 255
            return answer

    # -- directories -------------------------------------------------------------------------

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        with self._replying(Span("opendir", inode, pid=ctx.pid), gone=errno.ESTALE):
            # pyfuse3 cannot say that the kernel may hold the listing.
            handle, _ = self._files.directories.open(InodeNo(inode))
            self._spans.opened(handle, inode, ctx.pid)
            return handle

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        with self._replying(Span("readdir", handle=fh, offset=start_id), gone=errno.ESTALE):
            while page := self._files.directories.entries(fh, start_id):
                for name, attributes, cookie in page:
                    if not pyfuse3.readdir_reply(token, name, self._entry(attributes), cookie):
                        return
                    if name not in {b".", b".."}:
                        self._files.lifetimes.count_lookup(attributes)
                    start_id = cookie

    async def releasedir(self, fh: int) -> None:
        with self._replying(Span("releasedir", handle=fh)):
            self._files.directories.release(fh)
        self._spans.released(fh)

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        with self._replying(Span("fsyncdir", handle=fh)):
            await self._files.sync_directory()

    # -- files -------------------------------------------------------------------------------

    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        with self._replying(Span("open", inode, pid=ctx.pid), gone=errno.ESTALE):
            handle, unchanged = await self._files.open(InodeNo(inode), flags, ctx.pid)
            self._spans.opened(handle, inode, ctx.pid)
            return _opened(handle, flags, unchanged=unchanged)

    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: pyfuse3.RequestContext
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        with self._replying(Span("create", parent_inode, name=name, pid=ctx.pid)):
            if flags & os.O_EXCL:
                await self._files.exclusively(InodeNo(parent_inode), name, ctx.pid)
            made, (handle, unchanged) = self._files.create(
                InodeNo(parent_inode), name, mode, _caller(ctx), flags, ctx.pid
            )
            self._spans.opened(handle, made.ino, ctx.pid)
            return _opened(handle, flags, unchanged=unchanged), self._named(made)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        with self._replying(Span("read", handle=fh, offset=off, size=size), gone=errno.ESTALE):
            return await self._files.read(fh, off, size)  # type: ignore[return-value]  # a buffer

    def read_begun(self, fh: int, off: int, size: int) -> Reply | Coroutine[Any, Any, Reply]:
        """Answer a READ at once if there is nothing to wait for; else return what will."""
        span = Span("read", handle=fh, offset=off, size=size)
        with self._replying(span, gone=errno.ESTALE) as reply:
            begun = self._files.begin_read(fh, off, size)
            if not isinstance(begun, Coroutine):
                return begun
            reply.goes_on()
        return self._read_on(span, begun)

    async def _read_on(self, span: Span, begun: Coroutine[Any, Any, bytes | bytearray]) -> Reply:
        with self._replying(span, gone=errno.ESTALE):
            return await begun

    async def write(self, fh: int, off: int, buf: bytes | memoryview) -> int:
        with self._replying(Span("write", handle=fh, offset=off, size=len(buf)), gone=errno.ESTALE):
            return await self._files.write(fh, off, buf)

    async def write_asked(self, asked: AskedWrite) -> int:
        """Answer a WRITE of which more is known than pyfuse3 passes on."""
        handle, offset, data, in_place = asked
        span = Span("write", handle=handle, offset=offset, size=len(data))
        with self._replying(span, gone=errno.ESTALE):
            return await self._files.write(handle, offset, data, in_place=in_place)

    async def lseek(self, fh: int, off: int, whence: int) -> int:
        """Answer a request that pyfuse3 does not know."""
        with self._replying(Span("lseek", handle=fh, offset=off), gone=errno.ESTALE):
            return await self._files.seek(fh, off, whence)

    async def copy_range(self, asked: AskedCopy) -> int:
        """Answer a request that pyfuse3 does not know."""
        span = Span("copy_file_range", handle=asked.target, offset=asked.at, size=asked.length)
        with self._replying(span, gone=errno.ESTALE):
            return await self._files.ranges.copy(*asked)

    async def fallocate(self, fh: int, off: int, length: int, mode: int) -> None:
        """Answer a request that pyfuse3 does not know."""
        span = Span("fallocate", handle=fh, offset=off, size=length)
        with self._replying(span, gone=errno.ESTALE):
            await self._files.ranges.allocate(fh, off, length, mode)

    async def flush(self, fh: int) -> None:
        with self._replying(Span("flush", handle=fh), gone=errno.ESTALE):
            await self._files.flush(fh)

    def may_flush(self, fh: int) -> bool:
        """Tell whether a FLUSH may have something to wait for; else `flush_nothing` answers it."""
        return self._files.is_writable(fh)

    def flush_nothing(self, fh: int) -> None:
        """Answer a FLUSH through which nothing can have been written."""
        with self._replying(Span("flush", handle=fh), gone=errno.ESTALE):
            pass

    async def fsync(self, fh: int, datasync: bool) -> None:
        with self._replying(Span("fsync", handle=fh), gone=errno.ESTALE):
            await self._files.sync(fh)

    async def release(self, fh: int) -> None:
        self.released(fh)

    def released(self, fh: int) -> None:
        """Answer a RELEASE, which waits for nothing."""
        with self._replying(Span("release", handle=fh), gone=errno.ESTALE):
            self._files.release(fh)
        self._spans.released(fh)

    # -- extended attributes -----------------------------------------------------------------

    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        with self._replying(Span("getxattr", inode, pid=ctx.pid), gone=errno.ESTALE):
            return self._files.xattrs.get(InodeNo(inode), name)

    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> Sequence[bytes]:
        with self._replying(Span("listxattr", inode, pid=ctx.pid), gone=errno.ESTALE):
            return self._files.xattrs.names(InodeNo(inode))

    async def setxattr(
        self, inode: int, name: bytes, value: bytes, ctx: pyfuse3.RequestContext
    ) -> None:
        with self._replying(
            Span("setxattr", inode, size=len(value), pid=ctx.pid), gone=errno.ESTALE
        ):
            await self._files.xattrs.set_or_order(InodeNo(inode), name, value, ctx.pid)

    async def removexattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        with self._replying(Span("removexattr", inode, pid=ctx.pid), gone=errno.ESTALE):
            self._files.xattrs.remove(InodeNo(inode), name)

    def _replying(self, span: Span, *, gone: int = errno.ENOENT) -> RequestReply:
        """Return what counts *span* and turns what is raised within into a reply.

        *gone* is the errno for a file that does not exist. A request for an inode says ESTALE: the
        kernel then looks the name up anew, and finds what another node has put in its place.
        """
        return RequestReply(self._spans, span, gone)

    def _named(self, file: Attributes) -> pyfuse3.EntryAttributes:
        """Return a reply by which the kernel learns the number of *file*."""
        self._files.lifetimes.count_lookup(file)
        return self._entry(file)

    def _entry(self, file: Attributes) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = file.ino
        entry.generation = 0
        entry.entry_timeout = VALID_S
        entry.attr_timeout = VALID_S
        entry.st_mode = file.st_mode
        entry.st_nlink = file.nlink
        entry.st_uid, entry.st_gid = self._owner or (file.uid, file.gid)
        entry.st_rdev = file.rdev
        entry.st_size = file.size
        entry.st_blksize = _BLOCK_BYTES
        entry.st_blocks = -(-self._files.occupied(file) // 512)
        entry.st_atime_ns = file.atime_ns
        entry.st_mtime_ns = file.mtime_ns
        entry.st_ctime_ns = file.ctime_ns
        return entry


def storable(time_ns: int) -> int:
    """Return the nearest time that 64 bits hold: from 1677 to 2262. ext4 has its limits, too."""
    return min(max(time_ns, -(2**63)), 2**63 - 1)


def _opened(handle: int, flags: int, *, unchanged: bool) -> pyfuse3.FileInfo:
    # What is appended goes to the end as we know it; the kernel would keep it in its pages where
    # it believed the end to be. So it keeps none of what comes through such a handle.
    appends = bool(flags & os.O_APPEND)
    return pyfuse3.FileInfo(fh=handle, keep_cache=unchanged, direct_io=appends)


def _caller(ctx: pyfuse3.RequestContext) -> Caller:
    return Caller(ctx.uid, ctx.gid)
