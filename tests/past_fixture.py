"""A workstation that commits, and the past that another command of it reads from the bucket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

from committer_fixture import KEYS, Bucket, Daemon, Desk, VirtualClock

from lucidnode.fs.errors import FsError
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.history.past import Past
from lucidnode.fs.history.past_reader import read_on
from lucidnode.fs.replica.inode import ROOT, InodeNo, Kind
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import DeviceId, Seq

KEY = bytes(range(32))


class Access:
    """One desk's access to the project."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.workstation = desk.node.name

    @property
    def device(self) -> DeviceId:
        return self._desk.daemon.device

    def keys(self) -> ProjectKeys:
        return KEYS

    def writer_key(self, device: DeviceId, epoch: int) -> bytes | None:
        return self._desk.devices.get(device)

    def trusted_key(self, device: DeviceId) -> bytes | None:
        return self._desk.devices.get(device)

    async def refresh(self) -> None:
        await self._desk.refresh_roster()


class Chronicle:
    """A desk whose every commit is remembered as it was seen, and its past."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = VirtualClock()
        self.bucket = Bucket()
        self.desk = Desk(path, "a", self.bucket, self.clock)
        self.node = self.desk.node
        self.access = Access(self.desk)
        self.states: dict[Seq, dict[bytes, Any]] = {Seq(0): seen(self.node.replica.tree)}

    @property
    def head(self) -> Seq:
        return self.node.replica.pending.head().seq

    async def commit(self) -> Seq:
        """Commit what was done, remember how it looks, and return the newest entry."""
        async with asyncio.TaskGroup() as group:
            loop = group.create_task(self.desk.committer.run())
            await self.clock.until(self.desk.caught_up)
            loop.cancel()
        self.states[self.head] = seen(self.node.replica.tree)
        return self.head

    @contextlib.contextmanager
    def opened(self) -> Iterator[Past]:
        with contextlib.closing(Past.open(self.path / "home", KEY, "a")) as past:
            yield past

    async def read_on(self, past: Past) -> int:
        """Have *past* read on; return how many entries it asked for."""
        daemon = self.reader()
        await read_on(past, daemon, self.access, self.clock, lambda _seq: None)
        return daemon.reads

    def another(self) -> Desk:
        """Return a second workstation; the two know each other."""
        other = Desk(self.path, "b", self.bucket, self.clock)
        for one, two in ((self.desk, other), (other, self.desk)):
            one.devices[two.daemon.device] = two.daemon.public
        return other

    async def while_time_passes(self, work: Coroutine[Any, Any, object]) -> None:
        """Have *work* done, and raise what it raises."""
        failure: BaseException | None = None

        async def kept() -> None:
            nonlocal failure
            try:
                await work
            except (FsError, NodeError) as error:
                failure = error

        async with asyncio.TaskGroup() as group:
            done = group.create_task(kept())
            await self.clock.until(done.done)
        if failure is not None:
            raise failure

    def read(self, found: tuple[Any, ...]) -> bytes:
        """Return the content of what `seen` tells of a file."""
        data = bytearray(found[3])
        for extent in found[9]:
            part = self.node.blocks.part(extent.block.id, extent.block_offset, extent.length)
            data[extent.offset : extent.offset + extent.length] = part
        return bytes(data)

    def reader(self) -> Daemon:
        daemon = Daemon(self.bucket, self.desk.daemon.seed)
        daemon.has_signed = self.desk.daemon.has_signed  # it is one, for the mount and for commands
        return daemon


def seen(tree: TreeReader, directory: InodeNo = ROOT, prefix: bytes = b"") -> dict[bytes, Any]:
    """Return all that a program can see below *directory*, by path."""
    found: dict[bytes, Any] = {}
    for name, attributes in tree.list_names(directory, None, 1_000_000):
        path = prefix + b"/" + name
        ino = attributes.ino
        found[path] = (
            ino, attributes.kind, attributes.mode, attributes.size, attributes.mtime_ns,
            attributes.nlink, attributes.version,
            tree.readlink(ino) if attributes.kind is Kind.SYMLINK else b"",
            [(n, tree.xattr(ino, n)) for n in tree.xattr_names(ino)],
            tree.extents(ino, 0, attributes.size),
        )  # fmt: skip
        if attributes.is_directory:
            found.update(seen(tree, ino, path))
    return found
