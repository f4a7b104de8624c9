"""Conflicts that are settled from the dashboard, as the mount does it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from file_layer_fixture import ME, FileLayer, file_layer

from lucidnode.fs.files.conflict_settling import ConflictSettling
from lucidnode.fs.files.conflicts import Conflicts
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import ROOT
from lucidnode.node.client.conflicts import ConflictOrder, ConflictQuery

MINE = "cut (conflict, studio-a, 2026-03-01 10-00-00).mov"
THEIRS = "cut (conflict, berta, 2026-03-01 10-00-00).mov"
VERSION = "cut (version, studio-a, 2026-03-01 10-00-00).mov"
VERSION_2 = "cut (version, studio-a, 2026-03-01 10-00-00, 2).mov"


class Drive:
    """A file layer, and what the kernel is told to forget."""

    def __init__(self, layer: FileLayer) -> None:
        self.layer = layer
        self.told: list[Touched] = []

    async def write(self, name: str, content: str) -> None:
        files = self.layer.files
        _, (handle, _) = files.create(ROOT, name.encode(), 0o644, ME, os.O_RDWR, 0)
        await files.write(handle, 0, content.encode())
        await files.flush(handle)
        files.release(handle)

    async def settle(self, path: str, order: ConflictOrder) -> str:
        tree = self.layer.replica.tree
        settling = ConflictSettling(
            files=self.layer.files,
            tree=tree,
            conflicts=Conflicts(tree),
            workstation=lambda: "studio-a",
            touched=self.told.append,
        )
        reply = await settling.ordered(ConflictQuery(7, path, order))
        assert reply.number == 7
        return reply.refused

    async def content(self) -> dict[str, str]:
        found = {}
        names = [entry[0] for entry in self.layer.replica.tree.list_names(ROOT, b"", 100)]
        for name in names:
            ino = self.layer.files.lookup(ROOT, name).ino
            found[name.decode()] = (await self.layer.contents(ino)).decode()
        return found


@pytest.fixture
async def drive(tmp_path: Path) -> AsyncIterator[Drive]:
    async with file_layer(tmp_path) as layer:
        yield Drive(layer)


@pytest.mark.parametrize(
    ("copy", "order", "left"),
    [
        (MINE, "mine", {"cut.mov": "copy"}),
        (MINE, "theirs", {"cut.mov": "first"}),
        (THEIRS, "mine", {"cut.mov": "first"}),
        (THEIRS, "theirs", {"cut.mov": "copy"}),
        (MINE, "dismiss", {"cut.mov": "first", VERSION: "copy"}),
    ],
)
async def test_one_version_stays_or_both_do(
    drive: Drive, copy: str, order: ConflictOrder, left: dict[str, str]
) -> None:
    await drive.write("cut.mov", "first")
    await drive.write(copy, "copy")
    assert await drive.settle(copy, order) == ""
    assert await drive.content() == left
    # A program that has looked at either name does not go on with what the kernel keeps of it.
    names = {name.decode() for touched in drive.told for _, name in touched.names}
    assert names == {copy, VERSION if order == "dismiss" else "cut.mov"}
    assert await drive.settle(copy, order) == "there is no such conflict any more"


async def test_a_version_that_is_there_already_is_not_replaced(drive: Drive) -> None:
    await drive.write(VERSION, "earlier")
    await drive.write(MINE, "copy")
    assert await drive.settle(MINE, "dismiss") == ""
    assert await drive.content() == {VERSION: "earlier", VERSION_2: "copy"}


async def test_the_only_version_there_is_stays(drive: Drive) -> None:
    await drive.write(MINE, "copy")
    assert "no other version" in await drive.settle(MINE, "theirs")
    assert await drive.content() == {MINE: "copy"}


async def test_only_a_conflict_copy_is_settled(drive: Drive) -> None:
    await drive.write("cut.mov", "first")
    for path in ("cut.mov", "", "../cut.mov", f"nowhere/{MINE}"):
        assert await drive.settle(path, "mine") == "there is no such conflict any more"
    assert await drive.content() == {"cut.mov": "first"}


async def test_where_nothing_may_be_written_nothing_is_settled(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        await Drive(layer).write("cut.mov", "first")
        await Drive(layer).write(MINE, "copy")
    async with file_layer(tmp_path, read_only=True) as layer:  # as a viewer's mount is
        drive = Drive(layer)
        for order in ("mine", "theirs", "dismiss"):
            assert await drive.settle(MINE, order) == "mounted read-only"
        assert len(await drive.content()) == 2
        assert drive.told == []
