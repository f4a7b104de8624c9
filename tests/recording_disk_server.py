"""A disk in memory that writes down what is done to it, as a process of its own.

    python recording_disk_server.py MOUNTPOINT RECORD

Each step (tests/disk_record.py) is in the file RECORD before the caller goes on. Extended
attributes of the highest directory speak to it: `user.mark` has a text recorded, `user.fail_sync`
has the next sync that has anything of a file to bring down end in EIO. While `user.fault` is a
number, files cannot be opened to be read for that error; while it is `hang`, opening them lasts.
While `user.full` is anything, writes end in ENOSPC.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyfuse3
import pyfuse3.asyncio
import uvloop
from disk_record import (
    ROOT,
    Cut,
    Inode,
    Link,
    Make,
    Mark,
    Mode,
    Rename,
    Step,
    Sync,
    SyncFailed,
    Unlink,
    Write,
)

_FOREVER_S = 1e6
"""The kernel need never ask twice: nothing changes but through it."""

_SIZE = 1 << 40


class Recorder(pyfuse3.Operations):
    """The file system. Inodes are never forgotten; one process, one mount."""

    def __init__(self, record: BinaryIO) -> None:
        super().__init__()
        self._record = record
        self._inodes = {ROOT: Inode(stat.S_IFDIR | 0o755)}
        self._times: dict[int, int] = {ROOT: time.time_ns()}
        self._links: dict[int, int] = {ROOT: 2}
        self._unsynced: set[int] = set()
        self._fail_next = False
        self._fault = ""
        self._full = False
        self._absent = pyfuse3.EntryAttributes()
        """Tells the kernel that a name is not there, and that it need not ask again."""
        self._absent.st_ino = 0
        self._absent.entry_timeout = _FOREVER_S

    def _note(self, step: Step) -> None:
        raw = msgspec.msgpack.encode(step)
        self._record.write(len(raw).to_bytes(4, "big") + raw)

    def _entry(self, ino: int) -> pyfuse3.EntryAttributes:
        inode, entry = self._inodes[ino], pyfuse3.EntryAttributes()
        entry.st_ino = ino
        entry.st_mode = inode.mode
        entry.st_nlink = self._links[ino]
        entry.st_size = len(inode.data)
        entry.st_blksize = 4096
        entry.st_blocks = -(-len(inode.data) // 512)
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = self._times[ino]
        entry.st_uid, entry.st_gid = os.getuid(), os.getgid()
        entry.entry_timeout = entry.attr_timeout = _FOREVER_S
        return entry

    def _child(self, parent: int, name: bytes) -> int:
        ino = self._inodes[parent].names.get(name)
        if ino is None:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return ino

    def _made(self, parent: int, name: bytes, mode: int) -> pyfuse3.EntryAttributes:
        if name in self._inodes[parent].names:
            raise pyfuse3.FUSEError(errno.EEXIST)
        ino = len(self._inodes) + 1
        self._inodes[ino] = Inode(mode)
        self._times[ino] = time.time_ns()
        self._links[ino] = 1
        self._inodes[parent].names[name] = ino
        self._note(Make(parent, name, ino, mode))
        return self._entry(ino)

    async def lookup(self, parent_inode: int, name: bytes, ctx: Any) -> pyfuse3.EntryAttributes:
        ino = self._inodes[parent_inode].names.get(name)
        return self._absent if ino is None else self._entry(ino)

    async def getattr(self, inode: int, ctx: Any = None) -> pyfuse3.EntryAttributes:
        return self._entry(inode)

    async def setattr(
        self, inode: int, attr: Any, fields: Any, fh: int | None, ctx: Any
    ) -> pyfuse3.EntryAttributes:
        found = self._inodes[inode]
        if fields.update_size:
            self._cut(inode, attr.st_size)
        if fields.update_mode:
            found.mode = attr.st_mode
            self._note(Mode(inode, attr.st_mode))
        if fields.update_mtime:
            self._times[inode] = attr.st_mtime_ns
        return self._entry(inode)

    def _cut(self, ino: int, size: int) -> None:
        data = self._inodes[ino].data
        del data[size:]
        data.extend(bytes(size - len(data)))
        self._unsynced.add(ino)
        self._note(Cut(ino, size))

    async def mkdir(
        self, parent_inode: int, name: bytes, mode: int, ctx: Any
    ) -> pyfuse3.EntryAttributes:
        return self._made(parent_inode, name, mode | stat.S_IFDIR)

    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: Any
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        entry = self._made(parent_inode, name, mode | stat.S_IFREG)
        return pyfuse3.FileInfo(fh=entry.st_ino, keep_cache=True), entry

    async def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: Any
    ) -> pyfuse3.EntryAttributes:
        self._inodes[new_parent_inode].names[new_name] = inode
        self._links[inode] += 1
        self._note(Link(new_parent_inode, new_name, inode))
        return self._entry(inode)

    async def unlink(self, parent_inode: int, name: bytes, ctx: Any) -> None:
        self._links[self._child(parent_inode, name)] -= 1
        del self._inodes[parent_inode].names[name]
        self._note(Unlink(parent_inode, name))

    async def rmdir(self, parent_inode: int, name: bytes, ctx: Any) -> None:
        if self._inodes[self._child(parent_inode, name)].names:
            raise pyfuse3.FUSEError(errno.ENOTEMPTY)
        await self.unlink(parent_inode, name, ctx)

    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: Any,
    ) -> None:
        ino = self._child(parent_inode_old, name_old)
        del self._inodes[parent_inode_old].names[name_old]
        replaced = self._inodes[parent_inode_new].names.get(name_new)
        if replaced is not None:
            self._links[replaced] -= 1
        self._inodes[parent_inode_new].names[name_new] = ino
        self._note(Rename(parent_inode_old, name_old, parent_inode_new, name_new, ino))

    async def open(self, inode: int, flags: int, ctx: Any) -> pyfuse3.FileInfo:
        if flags & os.O_ACCMODE == os.O_RDONLY:
            while self._fault == "hang":
                await asyncio.sleep(0.01)
            if self._fault:
                raise pyfuse3.FUSEError(int(self._fault))
        if flags & os.O_TRUNC:  # the kernel leaves that to us
            self._cut(inode, 0)
        return pyfuse3.FileInfo(fh=inode, keep_cache=True)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        return bytes(self._inodes[fh].data[off : off + size])

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        if self._full:
            raise pyfuse3.FUSEError(errno.ENOSPC)
        data, buf = self._inodes[fh].data, bytes(buf)
        data.extend(bytes(max(0, off - len(data))))
        data[off : off + len(buf)] = buf
        self._times[fh] = time.time_ns()
        self._unsynced.add(fh)
        self._note(Write(fh, off, buf))
        return len(buf)

    async def fsync(self, fh: int, datasync: bool) -> None:
        if self._fail_next and fh in self._unsynced:
            self._fail_next = False
            self._unsynced.discard(fh)
            self._note(SyncFailed(fh))
            raise pyfuse3.FUSEError(errno.EIO)
        self._unsynced.discard(fh)
        self._note(Sync(fh, bool(datasync)))

    async def opendir(self, inode: int, ctx: Any) -> int:
        return inode

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        self._note(Sync(fh, bool(datasync)))

    async def readdir(self, fh: int, start_id: int, token: Any) -> None:
        names = list(self._inodes[fh].names.items())
        for place, (name, ino) in enumerate(names[start_id:], start_id + 1):
            if not pyfuse3.readdir_reply(token, name, self._entry(ino), place):
                break

    async def statfs(self, ctx: Any) -> pyfuse3.StatvfsData:
        disk = pyfuse3.StatvfsData()
        disk.f_bsize = disk.f_frsize = 4096
        disk.f_blocks = disk.f_bfree = disk.f_bavail = _SIZE // 4096
        disk.f_files = disk.f_ffree = disk.f_favail = 1 << 30
        disk.f_namemax = 255
        return disk

    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: Any) -> None:
        match name:
            case b"user.mark":
                self._note(Mark(value.decode()))
            case b"user.fail_sync":
                self._fail_next = True
            case b"user.full":
                self._full = bool(value)
            case b"user.fault":
                self._fault = value.decode()
            case _:
                raise pyfuse3.FUSEError(errno.ENOTSUP)


def _unmount_with_the_test(mountpoint: str) -> None:
    """Unmount once the process that started this one has ended, however it did."""
    sys.stdin.read()
    subprocess.run(["umount", "--lazy", mountpoint], check=False)


def main(mountpoint: str, record: Path) -> None:
    """Serve until standard input ends."""
    pyfuse3.asyncio.enable()
    with record.open("ab", buffering=0) as steps:
        pyfuse3.init(Recorder(steps), mountpoint, {"fsname=recording"})
        threading.Thread(target=_unmount_with_the_test, args=(mountpoint,)).start()
        sys.stdout.write("mounted\n")
        sys.stdout.flush()
        try:
            uvloop.run(pyfuse3.main())
        finally:
            pyfuse3.close(unmount=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
