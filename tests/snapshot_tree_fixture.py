"""A project with a snapshot, as a mount shows both: two file layers, and one tree of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from disk_fixture import ManualClock
from file_layer_fixture import FileLayer, file_layer

from lucidnode.fs.files.file_system import FileSystem
from lucidnode.fs.files.listing import START
from lucidnode.fs.replica.inode import ROOT, Attributes, InodeNo
from lucidnode.fs.snapshot_tree.files_with_snapshots import FilesWithSnapshots
from lucidnode.fs.snapshot_tree.open_states import OpenStates
from lucidnode.fs.snapshot_tree.snapshot_names import ShownSnapshot
from lucidnode.node.client.ids import Seq

THEN = ShownSnapshot(b"locked cut", Seq(7), 1_700_000_000_000_000_000)


@dataclass
class Tree:
    """What the kernel sees, and what it is made of."""

    files: FilesWithSnapshots
    now: FileLayer
    then: FileLayer
    states: OpenStates
    clock: ManualClock
    shown: list[ShownSnapshot]

    async def walk(self, *names: bytes) -> Attributes:
        found = self.files.attributes(ROOT)
        for name in names:
            await self.opened(found.ino)
            found = self.files.lookup(found.ino, name)
            self.files.lifetimes.count_lookup(found)
        return found

    async def opened(self, ino: InodeNo) -> None:
        if (seq := self.files.to_open(ino, within=True)) is not None:
            await self.files.open_state(seq)

    async def names(self, ino: InodeNo) -> dict[bytes, int]:
        await self.opened(ino)
        handle, _ = self.files.directories.open(ino)
        found: dict[bytes, int] = {}
        cookie = START
        while page := self.files.directories.entries(handle, cookie, 2):
            assert not found.keys() & {entry.name for entry in page}
            found |= {entry.name: entry.attributes.ino for entry in page}
            cookie = page[-1].cookie
        self.files.directories.release(handle)
        return found


@contextlib.asynccontextmanager
async def tree(path: Path, *, visible: bool = True) -> AsyncIterator[Tree]:
    """Have a project with the file `cut` and one snapshot, in which it had another content."""
    async with (
        file_layer(path / "now") as now,
        file_layer(path / "then") as then,
        asyncio.TaskGroup() as tasks,
    ):
        for layer, data in ((now, b"now"), (then, b"as it was")):
            _, handle = await layer.create(b"cut")
            await layer.files.write(handle, 0, data)
            await layer.files.flush(handle)
            layer.files.release(handle)

        @contextlib.asynccontextmanager
        async def opened(seq: Seq) -> AsyncIterator[FileSystem]:
            assert seq == THEN.seq
            yield then.files

        shown = [THEN]
        clock = ManualClock()
        states = OpenStates(opened, clock, tasks)
        files = FilesWithSnapshots(
            now.files, now.replica.tree, states, lambda: shown, visible=visible
        )
        yield Tree(files, now, then, states, clock, shown)
