"""A mount follows what is pinned, and tells the daemon which blocks that is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec
import pytest
from committer_fixture import VirtualClock
from disk_fixture import PROJECT
from replica_fixture import Blocks, Node

from lucidnode.fs.files.blocks_of_files import BlocksOfFiles
from lucidnode.fs.pins.pins import Pins
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import Rename, Rmdir
from lucidnode.node.client.daemon_socket.pins import DaemonPins
from lucidnode.node.client.errors import DaemonUnreachable
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.pins import Pin, PinnedPart, PinOrder, PinPlace, PinsQuery, PinsReply


class Daemon:
    """Hears what is pinned; each list whole, at its last part."""

    def __init__(self) -> None:
        self.lists: list[dict[BlockId, int]] = []
        self.away = False
        self._coming: dict[BlockId, int] = {}

    async def part(self, part: PinnedPart) -> None:
        if self.away:
            raise DaemonUnreachable("it has gone")
        assert part.project == PROJECT
        if part.first:
            self._coming = {}
        self._coming.update(zip(map(BlockId, part.ids), part.sizes, strict=True))
        if part.last:
            self.lists.append(self._coming)


class Seat:
    """A mount's pins over a real replica."""

    def __init__(self, path: Path) -> None:
        self.node = Node(path / "a.db", "a", Blocks())
        self.clock = VirtualClock()
        self.daemon = Daemon()
        self.began()

    def close(self) -> None:
        self.node.close()

    def began(self) -> None:
        """Be the mount of a new process."""
        replica = self.node.replica
        blocks = BlocksOfFiles(replica.tree)
        self.pins = Pins(PROJECT, replica, blocks, cast("DaemonPins", self.daemon), self.clock)

    def file(self, name: bytes, content: bytes, parent: InodeNo = ROOT) -> BlockId:
        """Make a file of one block, and return that."""
        ino = self.node.create(name, parent)
        self.node.write(ino, content)
        [extent] = self.node.replica.tree.extents(ino, 0, len(content))
        return extent.block.id

    async def order(self, order: PinOrder, *places: tuple[InodeNo, bytes]) -> list[Pin]:
        query = PinsQuery(1, order, [PinPlace(int(parent), name) for parent, name in places])
        reply = await self.pins.ordered(query)
        assert not reply.refused
        return reply.pins

    def move(self, parent: InodeNo, name: bytes, other: InodeNo, new: bytes) -> None:
        self.node.replica.apply(Rename(parent, name, other, new, self.node.time()))

    async def told_after(self, seconds: float) -> list[dict[BlockId, int]]:
        """Run for *seconds* and return the lists that the daemon heard in that time."""
        before = len(self.daemon.lists)
        running = asyncio.ensure_future(self.pins.run())
        await self.clock.pass_by(seconds)
        running.cancel()
        await asyncio.wait({running})
        return self.daemon.lists[before:]


@pytest.fixture
def seat(tmp_path: Path) -> Iterator[Seat]:
    with contextlib.closing(Seat(tmp_path)) as seat:
        yield seat


async def test_a_pinned_directory_is_followed_by_what_comes_and_by_where_it_goes(
    seat: Seat,
) -> None:
    folder, other = seat.node.mkdir(b"day"), seat.node.mkdir(b"archive")
    below = seat.node.mkdir(b"cards", folder)
    one, two = seat.file(b"1", b"one", folder), seat.file(b"2", b"two", below)
    beside = seat.file(b"3", b"beside", other)
    assert await seat.order("set", (ROOT, b"day")) == [Pin(b"day", int(folder), int(ROOT))]
    assert [set(told) for told in await seat.told_after(1)] == [{one, two}]
    three = seat.file(b"4", b"three", below)
    assert [set(told) for told in await seat.told_after(3)] == [{one, two, three}]
    seat.move(ROOT, b"day", other, b"old day")
    assert await seat.order("list") == [Pin(b"archive/old day", int(folder), int(other))]
    seat.node.unlink(b"1", folder)
    [told] = await seat.told_after(3)
    assert set(told) == {two, three}
    assert beside not in told
    # Under its new name it is unpinned.
    assert await seat.order("unset", (ROOT, b"day")) == [
        Pin(b"archive/old day", int(folder), int(other))
    ]
    assert await seat.order("unset", (other, b"old day")) == []
    assert seat.daemon.lists[-1] == {}


async def test_a_pinned_file_is_what_has_its_name_also_while_programs_save_it(seat: Seat) -> None:
    seat.file(b"cut.prproj", b"first")
    await seat.order("set", (ROOT, b"cut.prproj"))
    second = seat.file(b"cut.tmp", b"second")
    seat.move(ROOT, b"cut.prproj", ROOT, b"cut.prproj~")
    assert await seat.order("list") == [Pin(b"cut.prproj", 0, int(ROOT))]
    assert await seat.told_after(1) == [{}]
    seat.move(ROOT, b"cut.tmp", ROOT, b"cut.prproj")
    assert [set(told) for told in await seat.told_after(3)] == [{second}]
    [pin] = await seat.order("list")
    assert (pin.path, pin.ino > 0) == (b"cut.prproj", True)


async def test_the_whole_project_can_be_pinned(seat: Seat) -> None:
    folder = seat.node.mkdir(b"day")
    one, two = seat.file(b"1", b"one"), seat.file(b"2", b"two", folder)
    assert await seat.order("set", (ROOT, b"")) == [Pin(b"", int(ROOT), int(ROOT))]
    assert [set(told) for told in await seat.told_after(1)] == [{one, two}]


async def test_pins_outlive_the_mount_and_repeating_one_changes_nothing(seat: Seat) -> None:
    one = seat.file(b"1", b"one")
    await seat.order("set", (ROOT, b"1"))
    assert len(await seat.order("set", (ROOT, b"1"))) == 1
    seat.began()
    assert [set(told) for told in await seat.told_after(1)] == [{one}]


async def test_a_daemon_that_was_away_is_told_and_one_that_forgot_is_told_again(
    seat: Seat,
) -> None:
    one = seat.file(b"1", b"one")
    await seat.order("set", (ROOT, b"1"))
    seat.daemon.away = True
    assert await seat.told_after(10) == []
    seat.daemon.away = False
    assert [set(told) for told in await seat.told_after(1000)] == [{one}] * 4


async def test_who_pins_nothing_costs_nothing(seat: Seat) -> None:
    assert await seat.told_after(1) == [{}]  # that nothing is pinned is told once
    seat.began()
    running = asyncio.ensure_future(seat.pins.run())
    await seat.clock.pass_by(1)
    for number in range(5):
        seat.file(b"%d" % number, b"content")
        await seat.clock.pass_by(10)
    running.cancel()
    await asyncio.wait({running})
    assert len(seat.daemon.lists) == 2


async def test_what_is_gone_meanwhile_cannot_be_pinned(seat: Seat) -> None:
    reply = await seat.pins.ordered(PinsQuery(7, "set", [PinPlace(int(ROOT), b"gone")]))
    assert (reply.number, reply.pins) == (7, [])
    assert "gone" in reply.refused


async def test_names_that_are_no_text_are_told_as_they_are(seat: Seat) -> None:
    folder = seat.node.mkdir(b"d\xff")
    ino = seat.node.create(b"f\xfe", folder)
    await seat.order("set", (folder, b"f\xfe"))
    reply = await seat.pins.ordered(PinsQuery(1, "list", []))
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(reply), type=PinsReply)
    assert again.pins == [Pin(b"d\xff/f\xfe", int(ino), int(folder))]


async def test_what_was_pinned_in_a_folder_that_is_gone_is_unpinned_by_what_it_shows(
    seat: Seat,
) -> None:
    folder = seat.node.mkdir(b"day")
    seat.file(b"cut", b"content", folder)
    await seat.order("set", (folder, b"cut"))
    seat.node.unlink(b"cut", folder)
    seat.node.replica.apply(Rmdir(ROOT, b"day", seat.node.time()))
    [lost] = await seat.order("list")
    assert lost == Pin(b"(no name)/cut", 0, int(folder))
    assert await seat.order("unset", (InodeNo(lost.parent), b"cut")) == []
