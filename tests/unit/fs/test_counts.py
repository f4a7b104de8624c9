"""How often each operation asks the database: no more than docs/benchmarks/counts.md records."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import apsw
import pytest
from counts_record import recorded
from file_layer_fixture import ME, FileLayer, file_layer

from lucidnode.fs.files.file_system import AttributeChanges
from lucidnode.fs.files.listing import START
from lucidnode.fs.replica.inode import ROOT

ROUNDS = 3
"""Each operation is done so often, and the fewest statements count: what works in the background
may get in between once."""


class Statements:
    """Counts the statements of every connection that is opened."""

    def __init__(self) -> None:
        self.number = 0

    def watch(self, connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_STMT, self._count)

    def _count(self, event: dict[str, object]) -> None:
        self.number += 1


@pytest.fixture
def statements() -> Iterator[Statements]:
    counted = Statements()
    apsw.connection_hooks.append(counted.watch)
    try:
        yield counted
    finally:
        apsw.connection_hooks.remove(counted.watch)


@pytest.fixture
async def layer(tmp_path: Path, statements: Statements) -> AsyncIterator[FileLayer]:
    async with file_layer(tmp_path, saves_by_age=False) as opened:
        yield opened


class Program:
    """What a program does, each time with another name."""

    def __init__(self, layer: FileLayer) -> None:
        self._files = layer.files
        self._layer = layer
        self._number = 0

    def new(self) -> bytes:
        self._number += 1
        return b"%06d" % self._number

    async def create(self, name: bytes = b"") -> bytes:
        """Create a file of 4 KiB and close it."""
        name = name or self.new()
        made = self._files.make(ROOT, name, 0o100644, ME)
        handle, _ = await self._files.open(made.ino, os.O_WRONLY)
        await self._files.write(handle, 0, b"x" * 4096)
        await self._files.flush(handle)
        self._files.release(handle)
        return name

    async def unpack(self) -> None:
        """Make a file as `tar` does: its times, owner and mode are set before it is closed."""
        made = self._files.make(ROOT, self.new(), 0o100600, ME)
        handle, _ = await self._files.open(made.ino, os.O_WRONLY)
        await self._files.write(handle, 0, b"x" * 4096)
        for changes in (
            AttributeChanges(atime_ns=1, mtime_ns=1),
            AttributeChanges(uid=1, gid=1),
            AttributeChanges(mode=0o644),
        ):
            self._files.set_attributes_at_once(made.ino, changes)
        await self._files.flush(handle)
        self._files.release(handle)

    async def append(self, name: bytes) -> None:
        found = self._files.lookup(ROOT, name)
        handle, _ = await self._files.open(found.ino, os.O_WRONLY | os.O_APPEND)
        await self._files.write(handle, found.size, b"line\n")
        await self._files.flush(handle)
        self._files.release(handle)

    async def read(self, name: bytes) -> None:
        found = self._files.lookup(ROOT, name)
        handle, _ = await self._files.open(found.ino, os.O_RDONLY)
        assert await self._files.read(handle, 0, 4096)
        await self._files.flush(handle)
        self._files.release(handle)

    async def save(self, name: bytes) -> None:
        """Save as editors do: another file, renamed over the one that is there."""
        await self.rename(await self.create(), name)

    async def rename(self, old: bytes, new: bytes) -> None:
        self._files.rename(ROOT, old, ROOT, new, 0)

    async def remove(self, name: bytes) -> None:
        self._files.unlink(ROOT, name)

    async def mkdir(self) -> None:
        self._files.make(ROOT, self.new(), 0o040755, ME)

    async def stat(self, name: bytes) -> None:
        self._files.attributes(self._files.lookup(ROOT, name).ino)

    async def list(self) -> None:
        handle, _ = self._files.directories.open(ROOT)
        cookie = START
        while page := self._files.directories.entries(handle, cookie):
            cookie = page[-1].cookie
        self._files.directories.release(handle)


async def test_no_operation_asks_the_database_more_often_than_is_recorded(
    layer: FileLayer, statements: Statements
) -> None:
    program = Program(layer)

    async def counted(work: Callable[[], Awaitable[object]]) -> int:
        before = statements.number
        await work()
        return statements.number - before

    async def fewest(prepare: Callable[[bytes], Awaitable[object]] | None = None) -> int:
        found = []
        for _ in range(ROUNDS):
            name = await program.create()
            assert prepare is not None
            found.append(await counted(lambda name=name: prepare(name)))  # type: ignore[misc]
        return min(found)

    measured = {
        "create a file of 4 KiB": await fewest(lambda _: program.create()),
        "unpack a file of 4 KiB": await fewest(lambda _: program.unpack()),
        "append a line": await fewest(program.append),
        "read 4 KiB": await fewest(program.read),
        "save by rename": await fewest(program.save),
        "rename": await fewest(lambda name: program.rename(name, program.new())),
        "remove": await fewest(program.remove),
        "mkdir": await fewest(lambda _: program.mkdir()),
        "look up and stat": await fewest(program.stat),
    }
    for _ in range(60 - len(await names(layer))):
        await program.create()
    measured["list 60 names"] = min([await counted(program.list) for _ in range(ROUNDS)])
    bounds = recorded("SQL statements")
    assert measured.keys() == bounds.keys()
    grown = {name: count for name, count in measured.items() if count > bounds[name]}
    assert not grown, f"more than docs/benchmarks/counts.md records: {grown}"


async def names(layer: FileLayer) -> list[bytes]:
    return list(layer.replica.tree.names_in(ROOT))
