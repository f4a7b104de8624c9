"""The door to pyfuse3: kernel requests in, `FileSystem` calls out, errors as errno. No logic.

pyfuse3 runs in asyncio mode, under uvloop like the rest of the process. It keeps one mount for
each process in module globals, so this module does not pretend otherwise.
"""
# ruff: noqa: ARG002  # The signatures are pyfuse3's.

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import pyfuse3
import pyfuse3.asyncio

from lucidnode.fs.channel import device
from lucidnode.fs.channel.requests import (
    Handler,
    KernelRequest,
    Opcode,
    Reply,
    RequestRefused,
    Requests,
    place_reply,
    written_reply,
)
from lucidnode.fs.errors import FileError, FileMissing, FsError, FuseMissing
from lucidnode.fs.files.capacity import capacity
from lucidnode.fs.files.file_system import AttributeChanges, Caller, FileSystem
from lucidnode.fs.format.sodium import aegis256_address
from lucidnode.fs.kernel.mountpoint import FSNAME
from lucidnode.fs.kernel.overheard import Overheard
from lucidnode.fs.kernel.spans import Span, Spans
from lucidnode.fs.replica.inode import Attributes, InodeNo
from lucidnode.node.client.errors import NodeError

log = logging.getLogger(__name__)


VALID_S = 60.0
"""Seconds that the kernel may keep names and attributes. What others change is invalidated at once
(fs/kernel/invalidation.py); this only bounds the harm if that fails."""

WORKERS = 4096
"""Requests under way at the same time. A read that waits for the network holds one, a coroutine and
a page of memory; reads hold at most the part that fs/read/segments.py allows them (MAX_WAITING)."""

_BLOCK = 4096

pyfuse3.asyncio.enable()


class FuseOperations(pyfuse3.Operations):
    """Translates between pyfuse3 and *files*.

    *owner* is whom every file is shown to belong to; None shows the ids that are stored.
    """

    supports_dot_lookup = True
    enable_writeback_cache = False
    enable_acl = False

    def __init__(self, files: FileSystem, spans: Spans, owner: Caller | None) -> None:
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
                atime_ns=_storable(attr.st_atime_ns) if fields.update_atime else None,
                mtime_ns=_storable(attr.st_mtime_ns) if fields.update_mtime else None,
            )
            return self._entry(await self._files.set_attributes(InodeNo(inode), changes, fh))

    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        with self._replying(Span("mknod", parent_inode, name=name, pid=ctx.pid)):
            return self._named(
                self._files.make(InodeNo(parent_inode), name, mode, _caller(ctx), rdev=rdev)
            )

    async def mkdir(
        self, parent_inode: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        with self._replying(Span("mkdir", parent_inode, name=name, pid=ctx.pid)):
            return self._named(self._files.make(InodeNo(parent_inode), name, mode, _caller(ctx)))

    async def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        with self._replying(Span("symlink", parent_inode, name=name, pid=ctx.pid)):
            mode = stat.S_IFLNK | 0o777
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
            self._files.rename(
                InodeNo(parent_inode_old), name_old, InodeNo(parent_inode_new), name_new, flags
            )

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        for inode, count in inode_list:
            self._files.forgotten(InodeNo(inode), count)

    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        with self._replying(Span("statfs", pid=ctx.pid)):
            shown = capacity(*self._files.usage())
            answer = pyfuse3.StatvfsData()
            answer.f_bsize = answer.f_frsize = shown.unit
            answer.f_blocks = shown.units
            answer.f_bfree = answer.f_bavail = shown.free_units
            answer.f_files = shown.files
            answer.f_ffree = answer.f_favail = shown.free_files
            answer.f_namemax = 255
            return answer

    # -- directories -------------------------------------------------------------------------

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        with self._replying(Span("opendir", inode, pid=ctx.pid), gone=errno.ESTALE):
            handle = self._files.open_directory(InodeNo(inode))
            self._spans.opened(handle, inode, ctx.pid)
            return handle

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        with self._replying(Span("readdir", handle=fh, offset=start_id), gone=errno.ESTALE):
            while page := self._files.entries(fh, start_id):
                for name, attributes, cookie in page:
                    if not pyfuse3.readdir_reply(token, name, self._entry(attributes), cookie):
                        return
                    if name not in {b".", b".."}:
                        self._files.told(attributes)
                    start_id = cookie

    async def releasedir(self, fh: int) -> None:
        with self._replying(Span("releasedir", handle=fh)):
            self._files.release_directory(fh)
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
            mode = stat.S_IFREG | stat.S_IMODE(mode)
            made = self._files.make(InodeNo(parent_inode), name, mode, _caller(ctx))
            handle, unchanged = await self._files.open(made.ino, flags, ctx.pid)
            self._spans.opened(handle, made.ino, ctx.pid)
            return _opened(handle, flags, unchanged=unchanged), self._named(made)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        with self._replying(Span("read", handle=fh, offset=off, size=size), gone=errno.ESTALE):
            return await self._files.read(fh, off, size)  # type: ignore[return-value]  # a buffer

    async def write(self, fh: int, off: int, buf: bytes | memoryview) -> int:
        with self._replying(Span("write", handle=fh, offset=off, size=len(buf)), gone=errno.ESTALE):
            return await self._files.write(fh, off, buf)

    async def lseek(self, fh: int, off: int, whence: int) -> int:
        """Answer a request that pyfuse3 does not know."""
        with self._replying(Span("lseek", handle=fh, offset=off), gone=errno.ESTALE):
            return await self._files.seek(fh, off, whence)

    async def flush(self, fh: int) -> None:
        with self._replying(Span("flush", handle=fh), gone=errno.ESTALE):
            await self._files.flush(fh)

    async def fsync(self, fh: int, datasync: bool) -> None:
        with self._replying(Span("fsync", handle=fh), gone=errno.ESTALE):
            await self._files.sync(fh)

    async def release(self, fh: int) -> None:
        with self._replying(Span("release", handle=fh), gone=errno.ESTALE):
            self._files.release(fh)
        self._spans.released(fh)

    # -- extended attributes -----------------------------------------------------------------

    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        with self._replying(Span("getxattr", inode, pid=ctx.pid), gone=errno.ESTALE):
            return self._files.get_xattr(InodeNo(inode), name)

    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> Sequence[bytes]:
        with self._replying(Span("listxattr", inode, pid=ctx.pid), gone=errno.ESTALE):
            return self._files.list_xattrs(InodeNo(inode))

    async def setxattr(
        self, inode: int, name: bytes, value: bytes, ctx: pyfuse3.RequestContext
    ) -> None:
        with self._replying(
            Span("setxattr", inode, size=len(value), pid=ctx.pid), gone=errno.ESTALE
        ):
            self._files.set_xattr(InodeNo(inode), name, value)

    async def removexattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        with self._replying(Span("removexattr", inode, pid=ctx.pid), gone=errno.ESTALE):
            self._files.remove_xattr(InodeNo(inode), name)

    def _replying(self, span: Span, *, gone: int = errno.ENOENT) -> _Reply:
        """Return what counts *span* and turns what is raised within into a reply.

        *gone* is the errno for a file that does not exist. A request for an inode says ESTALE: the
        kernel then looks the name up anew, and finds what another node has put in its place.
        """
        return _Reply(self._spans, span, gone)

    def _named(self, file: Attributes) -> pyfuse3.EntryAttributes:
        """Return a reply by which the kernel learns the number of *file*."""
        self._files.told(file)
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
        entry.st_blksize = _BLOCK
        entry.st_blocks = -(-self._files.occupied(file) // 512)
        entry.st_atime_ns = file.atime_ns
        entry.st_mtime_ns = file.mtime_ns
        entry.st_ctime_ns = file.ctime_ns
        return entry


class FuseSession:
    """The one FUSE session of this process."""

    def __init__(
        self,
        files: FileSystem,
        spans: Spans,
        mountpoint: Path,
        *,
        allow_other: bool,
        channel: bool,
        heard: Callable[[list[device.Place]], None] | None = None,
    ) -> None:
        """Mount at *mountpoint*, with the kernel channel if *channel*.

        With *heard* the channel answers reads by itself, and *heard* is told of them. Raises FuseMissing if the system does not let us.
        """
        # Who may do what is the kernel's to decide, from the modes we report.
        options = {f"fsname={FSNAME}", f"subtype={FSNAME}", "default_permissions"}
        if allow_other:
            options.add("allow_other")
        adapter = FuseOperations(files, spans, _owner_shown(allow_other))
        before = device.devices()
        overheard = Overheard()
        try:
            with overheard:
                pyfuse3.init(adapter, str(mountpoint), options)
        except RuntimeError as error:
            advice = "install fuse3, or ask an administrator to permit FUSE"
            if allow_other and os.geteuid() != 0:
                advice = "other users come in only if /etc/fuse.conf has the line user_allow_other"
            elif reason := overheard.said_by("fusermount3"):
                advice = f"fusermount3 says: {reason}"
            raise FuseMissing(
                f"the kernel does not let us mount at {mountpoint}: {advice}"
            ) from error

        handlers = _direct(adapter)
        self._device = (
            device.over(before, frozenset(handlers), 0 if heard is None else aegis256_address())
            if channel
            else None
        )
        self._requests = (
            None if self._device is None else Requests(self._device, handlers, heard or _unheard)
        )

    async def serve(self) -> None:
        """Answer the kernel until `stop`, or until somebody unmounts."""
        if self._requests is None:
            await pyfuse3.main(min_tasks=4, max_tasks=WORKERS)
            return
        async with asyncio.TaskGroup() as tasks:
            with self._requests.served(tasks, self.stop):
                await pyfuse3.main(min_tasks=4, max_tasks=WORKERS)

    def stop(self) -> None:
        """Have `serve` return. To be called in the loop that serves."""
        # pyfuse3 ends the wait for requests by its future. A request that comes in at this moment
        # ends it, too: the one that is later must find nothing to end.
        loop = asyncio.get_running_loop()
        for descriptor in list(pyfuse3.asyncio._read_futures):  # noqa: SLF001  # nothing else tells
            loop.remove_reader(descriptor)
        with contextlib.suppress(asyncio.InvalidStateError):
            pyfuse3.terminate()

    def close(self) -> None:
        """Unmount, if it still is mounted."""
        if self._device is not None:
            self._device.close()
        pyfuse3.close(unmount=True)


def invalidate_inode(ino: InodeNo, *, attributes_only: bool) -> None:
    """Have the kernel forget what it holds of *ino*. May block: see fs/kernel/invalidation.py."""
    if device.runs():
        device.invalidate_inode(ino, attributes_only=attributes_only)
        return
    pyfuse3.invalidate_inode(ino, attr_only=attributes_only)


def invalidate_entry(parent: InodeNo, name: bytes) -> None:
    """Have the kernel look *name* up again. May block: see fs/kernel/invalidation.py."""
    if device.runs():
        device.invalidate_entry(parent, name)
        return
    pyfuse3.invalidate_entry(parent, name)


def _unheard(_: list[device.Place]) -> None:
    """Nothing is read by the channel itself."""


def _direct(adapter: FuseOperations) -> dict[int, Handler]:
    """Return what answers the requests that come past pyfuse3.

    Those that it does not know, and those that carry many bytes:
    pyfuse3's socket need not hold them then, and they are copied less often.
    """

    async def read(request: KernelRequest) -> Reply:
        with _refusing():
            return await adapter.read(*request.read_range())

    async def write(request: KernelRequest) -> Reply:
        with _refusing():
            return written_reply(await adapter.write(*request.written()))

    async def lseek(request: KernelRequest) -> Reply:
        with _refusing():
            return place_reply(await adapter.lseek(*request.sought()))

    async def batch_forget(request: KernelRequest) -> None:
        await adapter.forget(request.forgotten())

    return {
        Opcode.READ: read,
        Opcode.WRITE: write,
        Opcode.BATCH_FORGET: batch_forget,
        Opcode.LSEEK: lseek,
    }


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except pyfuse3.FUSEError as error:
        raise RequestRefused(error.errno) from None


class _Reply:
    """One request while it is answered: what the file system raises becomes a reply.

    A class and not a generator, which takes 1.3 us longer.
    """

    __slots__ = ("_gone", "_span", "_spans")

    def __init__(self, spans: Spans, span: Span, gone: int) -> None:
        self._spans = spans
        self._span = span
        self._gone = gone

    def __enter__(self) -> None:
        self._span.began = self._spans.now()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._spans.ended(self._span, 0)
            return
        if not isinstance(error, Exception):
            self._spans.ended(self._span, errno.EINTR)  # the mount ends
            return
        number = self._errno(error)
        self._spans.ended(self._span, number)
        raise pyfuse3.FUSEError(number) from None

    def _errno(self, error: Exception) -> int:
        """Return what *error* is to the kernel, and log what is not the caller's doing."""
        request = self._span.operation
        match error:
            case FileMissing():
                return self._gone
            case FileError():
                if error.errno in {errno.EIO, errno.ENOSPC}:
                    log.warning("%s: %s", request, error)
                return error.errno
            case FsError() | NodeError():
                log.warning("%s: %s: %s", request, type(error).__name__, error)
                return error.errno
            case OSError():
                log.warning("%s: %s", request, error)
                return errno.EIO
            case _:
                # A fault of ours. Without a reply the caller would hang where no signal reaches it,
                # and pyfuse3 would lose a worker; so it is answered like any error, and logged in
                # full.
                log.error("%s failed", request, exc_info=error)
                return errno.EIO


def _storable(time_ns: int) -> int:
    """Return the nearest time that 64 bits hold: from 1677 to 2262. ext4 has its limits, too."""
    return min(max(time_ns, -(2**63)), 2**63 - 1)


def _owner_shown(allow_other: bool) -> Caller | None:
    """Return whom files shall belong to on a mount of ours.

    On a mount that the kernel keeps for one user alone, they are his: numbers mean other people on
    other workstations, and members of a project share its files whatever their numbers are. With
    other users, and for root, they are what is stored.
    """
    if allow_other or os.geteuid() == 0:
        return None
    return Caller(os.geteuid(), os.getegid())


def _opened(handle: int, flags: int, *, unchanged: bool) -> pyfuse3.FileInfo:
    # What is appended goes to the end as we know it; the kernel would keep it in its pages where
    # it believed the end to be. So it keeps none of what comes through such a handle.
    appends = bool(flags & os.O_APPEND)
    return pyfuse3.FileInfo(fh=handle, keep_cache=unchanged, direct_io=appends)


def _caller(ctx: pyfuse3.RequestContext) -> Caller:
    return Caller(ctx.uid, ctx.gid)
