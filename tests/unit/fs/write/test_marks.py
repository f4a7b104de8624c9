"""A mark is set while a file is on its way, and goes with it, whoever looks when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from committer_fixture import PROJECT, VirtualClock
from replica_fixture import Blocks, Node

from lucidnode.fs.read.open_files import OpenFiles
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import Mark
from lucidnode.fs.write.marks import Marks, OnItsWay, decoded_mark, encoded_mark
from lucidnode.fs.write.shipments import YOUNG_S, Shipments
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.node.client.ids import BlockId, DeviceId

HERE, ELSEWHERE = DeviceId("a" * 32), DeviceId("b" * 32)


class Daemon:
    async def uploaded(self, project: object, blocks: Sequence[BlockId]) -> list[BlockId]:
        return []


class Scene:
    """One mount's marks; `old` is what others know of the file `file`."""

    def __init__(self, path: Path) -> None:
        self.node = Node(path / "a.db", "a", Blocks())
        self.clock = VirtualClock()
        self.unfinished = Unfinished(self.clock)
        self.open_files = OpenFiles()
        self.file = self.node.create(b"file")
        replica = self.node.replica
        self.shipments = Shipments(
            PROJECT, replica, Daemon(), self.unfinished, self.clock, lambda: None
        )
        self.marks = Marks(
            replica, self.shipments, self.unfinished, self.open_files.written, HERE, self.clock
        )

    def mark(self, ino: InodeNo | None = None) -> OnItsWay | None:
        value = self.node.replica.tree.mark(ino or self.file)
        return None if value is None else decoded_mark(value)

    def write_for_long(self) -> int:
        """Have a program write to the file for longer than a save is young; return its handle."""
        handle = self.open_files.open(self.file, writable=True)
        self.open_files.file(handle).wrote = True
        self.unfinished.began(self.file)
        self.marks.renew()
        assert self.mark() is None, "most saves are over in a moment"
        self.clock.now += YOUNG_S
        self.marks.renew()
        return handle


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.node.close()


async def test_what_is_saved_and_stays_open_is_marked_though_each_save_was_young(
    scene: Scene,
) -> None:
    """A log: each line is synced and committed at once, and nothing is under way in between."""
    looking = asyncio.ensure_future(scene.marks.run())
    try:
        await scene.clock.pass_by(0)
        handle = scene.open_files.open(scene.file, writable=True)
        scene.open_files.file(handle).wrote = True
        scene.shipments.committed()
        await scene.clock.pass_by(3 * YOUNG_S)
        assert scene.mark() == OnItsWay("writing", HERE)
        scene.open_files.release(handle)
        await scene.clock.pass_by(YOUNG_S)
        assert scene.mark() is None
    finally:
        looking.cancel()


async def test_of_two_who_have_a_file_open_one_is_named_until_he_closes_it(scene: Scene) -> None:
    theirs = OnItsWay("writing", ELSEWHERE)
    scene.node.replica.apply(Mark(scene.file, encoded_mark(theirs)))
    looking = asyncio.ensure_future(scene.marks.run())
    try:
        handle = scene.open_files.open(scene.file, writable=True)
        scene.open_files.file(handle).wrote = True
        before = scene.node.replica.pending.newest()
        await scene.clock.pass_by(5 * YOUNG_S)
        assert scene.mark() == theirs
        assert scene.node.replica.pending.newest() == before
        scene.node.replica.apply(Mark(scene.file, None))
        await scene.clock.pass_by(3 * YOUNG_S)
        assert scene.mark() == OnItsWay("writing", HERE)
    finally:
        looking.cancel()


def test_a_file_is_marked_while_it_is_written_and_while_it_is_uploaded(scene: Scene) -> None:
    handle = scene.write_for_long()
    assert scene.mark() == OnItsWay("writing", HERE)
    scene.node.write(scene.file, b"reel")
    scene.open_files.release(handle)
    scene.unfinished.ended(scene.file)
    scene.marks.renew()
    assert scene.mark() == OnItsWay("uploading", HERE)
    scene.shipments.note_arrived([scene.node.blocks.seal(b"reel").id])
    scene.marks.renew()
    assert scene.mark() is None


async def test_a_mark_goes_though_nothing_else_is_done(scene: Scene) -> None:
    """It was set for an entry, by the last look that anybody took."""
    running = asyncio.ensure_future(scene.marks.run())
    await asyncio.sleep(0)
    handle = scene.write_for_long()
    scene.open_files.release(handle)
    scene.unfinished.ended(scene.file)
    await scene.clock.until(lambda: scene.mark() is None, 10)
    running.cancel()


async def test_what_a_crash_left_is_taken_back_and_what_others_say_is_not(scene: Scene) -> None:
    other = scene.node.create(b"other")
    for ino, device in ((scene.file, HERE), (other, ELSEWHERE)):
        raw = b"\x82\xa5state\xa9uploading\xa6device\xd9\x20" + device.encode()
        scene.node.replica.apply(Mark(ino, raw))
    running = asyncio.ensure_future(scene.marks.run())
    await scene.clock.until(lambda: scene.mark() is None, 10)
    assert scene.mark(other) == OnItsWay("uploading", ELSEWHERE)
    running.cancel()


def test_who_saves_a_file_anew_takes_back_what_others_said_of_it(scene: Scene) -> None:
    """Their workstation may never come back."""
    raw = b"\x82\xa5state\xa7writing\xa6device\xd9\x20" + ELSEWHERE.encode()
    scene.node.replica.apply(Mark(scene.file, raw))
    scene.node.write(scene.file, b"anew")
    scene.marks.renew()
    assert scene.mark() == OnItsWay("writing", ELSEWHERE)
    scene.shipments.note_arrived([scene.node.blocks.seal(b"anew").id])
    scene.marks.renew()
    assert scene.mark() is None


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"\x80", b"\x82\xa5state\xa4gone\xa6device\xa1x"])
def test_a_mark_that_cannot_be_read_says_nothing_and_is_taken_back(
    scene: Scene, raw: bytes
) -> None:
    scene.node.replica.apply(Mark(scene.file, raw))
    assert scene.mark() is None
    scene.marks.renew()
    assert scene.node.replica.tree.mark(scene.file) is None


def test_what_a_member_writes_for_a_mark_that_is_no_text_says_nothing() -> None:
    assert decoded_mark(bytes.fromhex("81a3000080")) is None
