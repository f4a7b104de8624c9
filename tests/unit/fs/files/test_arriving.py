"""A program here and a file of which only the first entries of a new content have come."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from file_layer_fixture import FileLayer, file_layer
from replica_fixture import Blocks, Node

from lucidnode.fs.files.file_system import AttributeChanges
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.sqlite.rows import SIZE_COLUMN, VERSION_COLUMN
from lucidnode.node.client.ids import Seq

OLD, PART, NEW = 10, 20, 30
"""Sizes of a file of holes: they are content enough."""


class Arrival:
    """A file that another node writes anew, in two entries, before a program here."""

    def __init__(self, layer: FileLayer, other: Node) -> None:
        self.layer = layer
        self._other = other
        self._seq = 0
        self.ino = other.create(b"film")
        other.truncate(self.ino, OLD)
        self._commit()
        self._version = 0

    def _commit(self) -> None:
        batch = self._other.replica.pending.next_batch(None)
        assert batch is not None
        self._other.replica.pending.set_in_flight(batch, batch.changeset)
        self._take(batch.changeset)
        self._other.replica.pending.mark_committed(Seq(self._seq), bytes([self._seq]) * 32)

    def _take(self, changeset: bytes) -> None:
        self._seq += 1
        hash_ = bytes([self._seq]) * 32
        self._hear(self.layer.replica.entries.apply_entry(Seq(self._seq), hash_, changeset))

    def _hear(self, touched: Touched) -> None:
        assert touched.refused is None
        self.layer.effects.moved(touched.moved)

    def part(self) -> None:
        """Let the first part come."""
        self._set(PART, -5)

    def rest(self) -> None:
        """Let the last part come."""
        self._set(NEW, 6)

    def _set(self, size: int, version: int) -> None:
        database = self._other.replica._database
        old = database.row("SELECT * FROM inode WHERE ino = ?", (self.ino,))
        assert old is not None
        new = list(old)
        new[SIZE_COLUMN], new[VERSION_COLUMN] = size, version
        changeset = database.changeset([("inode", old, tuple(new))])
        self._take(changeset)
        self._other.replica.entries.apply_entry(Seq(self._seq), bytes([self._seq]) * 32, changeset)

    def copies(self) -> list[tuple[bytes, InodeNo, int]]:
        """Return name, inode and size of what lies beside the file."""
        return [
            (name, found.ino, self.layer.files.attributes(found.ino).size)
            for name, found in self.layer.replica.tree.list_names(ROOT, None, 1000)
            if name != b"film"
        ]


@pytest.fixture
async def arrival(tmp_path: Path) -> AsyncIterator[Arrival]:
    async with file_layer(tmp_path / "here") as layer:
        other = Node(tmp_path / "other.db", "other", Blocks())
        arrival = Arrival(layer, other)
        yield arrival
        other.close()


async def test_it_is_read_as_it_was_through_open_handles_too(arrival: Arrival) -> None:
    files = arrival.layer.files
    handle, _ = await files.open(arrival.ino, os.O_RDONLY)
    arrival.part()
    assert files.attributes(arrival.ino).size == files.lookup(ROOT, b"film").size == OLD
    assert bytes(await files.read(handle, 0, 100)) == bytes(OLD)
    assert await arrival.layer.contents(arrival.ino) == bytes(OLD)
    arrival.rest()
    assert bytes(await files.read(handle, 0, 100)) == bytes(NEW)
    assert arrival.copies() == []


@pytest.mark.parametrize("opened_before", [True, False])
async def test_what_a_program_writes_goes_into_a_copy_of_what_it_saw(
    arrival: Arrival, *, opened_before: bool
) -> None:
    files = arrival.layer.files
    if not opened_before:
        arrival.part()
    handle, _ = await files.open(arrival.ino, os.O_RDWR)
    if opened_before:
        arrival.part()
    await files.write(handle, 2, b"ours")
    assert bytes(await files.read(handle, 0, 100)) == b"\0\0ours" + bytes(OLD - 6)
    await files.flush(handle)
    arrival.rest()
    assert await arrival.layer.contents(arrival.ino) == bytes(NEW)
    [(name, copy, size)] = arrival.copies()
    assert b"conflict" in name
    assert size == OLD
    assert await arrival.layer.contents(copy) == b"\0\0ours" + bytes(OLD - 6)
    await files.write(handle, 0, b"more")
    assert await arrival.layer.contents(copy) == b"morers" + bytes(OLD - 6)
    files.release(handle)


async def test_who_empties_it_to_save_anew_saves_beside_it(arrival: Arrival) -> None:
    files = arrival.layer.files
    arrival.part()
    handle, _ = await files.open(arrival.ino, os.O_WRONLY | os.O_TRUNC)
    await files.write(handle, 0, b"whole")
    await files.flush(handle)
    files.release(handle)
    arrival.rest()
    assert await arrival.layer.contents(arrival.ino) == bytes(NEW)
    [(_, copy, _)] = arrival.copies()
    assert await arrival.layer.contents(copy) == b"whole"


async def test_who_cuts_it_by_its_path_cuts_a_copy(arrival: Arrival) -> None:
    files = arrival.layer.files
    arrival.part()
    await files.set_attributes(arrival.ino, AttributeChanges(size=3), None)
    assert files.attributes(arrival.ino).size == OLD
    [(_, _, size)] = arrival.copies()
    assert size == 3


async def test_its_name_can_be_taken_away_and_given_to_another(arrival: Arrival) -> None:
    files = arrival.layer.files
    arrival.part()
    files.rename(ROOT, b"film", ROOT, b"moved", 0)
    assert files.lookup(ROOT, b"moved").size == OLD
    files.unlink(ROOT, b"moved")
    assert arrival.layer.replica.tree.list_names(ROOT, None, 1000) == []
