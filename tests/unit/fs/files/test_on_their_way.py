"""How much of a file has not got to the bucket yet, as people are told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from committer_fixture import PROJECT, VirtualClock
from replica_fixture import Blocks, Journal, Node

from lucidnode.fs.files.on_their_way import RATE_OVER_S, REST, STANDS_S, MovingFile, OnTheirWay
from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.format.office_message import FileProgress
from lucidnode.fs.read.open_files import OpenFiles
from lucidnode.fs.replica.inode import Extent, InodeNo
from lucidnode.fs.write.block_plan import Piece
from lucidnode.fs.write.shipments import Shipments
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.fs.write.unsaved_file import PiecesInFlight, UnsavedFile
from lucidnode.node.client.ids import BlockId, DeviceId
from lucidnode.node.client.mount_messages import FileOnItsWay

REEL = b"reel" * 1000


BLOCK = 1 << 20


class Daemon:
    """Has what it is said to have."""

    def __init__(self) -> None:
        self.has: list[BlockId] = []

    async def uploaded(self, project: object, blocks: Sequence[BlockId]) -> list[BlockId]:
        return [block for block in blocks if block in self.has]


class Scene:
    """A mount with one file that a program has open, and has written to."""

    def __init__(self, path: Path, clock: VirtualClock | None = None) -> None:
        self.node = Node(path / "a.db", "a", Blocks())
        self.clock = clock = clock or VirtualClock()
        self.daemon = Daemon()
        unfinished, open_files = Unfinished(clock), OpenFiles()
        self.unsaved: dict[InodeNo, UnsavedFile] = {}
        self.shipments = Shipments(
            PROJECT, self.node.replica, self.daemon, unfinished, clock, lambda: None
        )
        work = WorkHere(
            self.node.replica, unfinished, open_files, DeviceId("a" * 32), lambda _: "a"
        )
        self.on_their_way = OnTheirWay(work, self.shipments, self.unsaved.get, BLOCK, clock)
        self.file = self.node.create(b"file")
        open_files.file(open_files.open(self.file, writable=True)).wrote = True

    @property
    def left(self) -> list[tuple[str, int | None]]:
        return [(file.state, file.bytes_left) for file in self.shown()]

    def shown(self) -> list[FileOnItsWay]:
        return [each.shown(each.progress) for each in self.on_their_way.files()]

    def stage(self, count: int) -> list[BlockId]:
        """Have a program write so many blocks behind each other, which are in staging."""
        unsaved = self.unsaved[self.file] = UnsavedFile(self.file)
        blocks = [self.node.blocks.seal(b"%d" % number) for number in range(count)]
        unsaved.staged.lay(
            Extent(number * BLOCK, BLOCK, block, 0) for number, block in enumerate(blocks)
        )
        return [block.id for block in blocks]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.node.close()


def test_nothing_is_left_of_an_open_file_that_is_whole_in_the_bucket(scene: Scene) -> None:
    scene.node.write(scene.file, REEL)
    assert scene.left == [("writing", len(REEL))]
    scene.shipments.note_arrived([scene.node.blocks.seal(REEL).id])
    Journal().commit(scene.node)
    assert scene.left == [("writing", 0)]
    unsaved = scene.unsaved[scene.file] = UnsavedFile(scene.file)
    unsaved.dirty.write(len(REEL), b"and more")
    assert scene.left == [("writing", len(b"and more"))]


def test_what_was_written_and_no_save_has_named_is_left(scene: Scene) -> None:
    """A copy under way: gigabytes of it may lie in staging, and some of them in the bucket."""
    unsaved = scene.unsaved[scene.file] = UnsavedFile(scene.file)
    unsaved.dirty.write(2 * len(REEL), b"and more")
    blocks = [scene.node.blocks.seal(b"%d" % number + REEL) for number in range(2)]
    unsaved.staged.lay(
        Extent(number * len(REEL), len(REEL), block, 0) for number, block in enumerate(blocks)
    )
    assert scene.left == [("writing", 2 * len(REEL) + len(b"and more"))]
    scene.shipments.note_arrived([blocks[0].id])
    assert scene.left == [("writing", len(REEL) + len(b"and more"))]


def test_a_film_in_which_a_frame_was_changed_has_a_block_left(scene: Scene) -> None:
    scene.node.write(scene.file, b"end", offset=100 * BLOCK)
    assert scene.left == [("writing", BLOCK)]


def test_each_file_has_the_rate_of_its_own_blocks_and_the_time_left(scene: Scene) -> None:
    blocks = scene.stage(100)
    arrived = iter(blocks)
    size = 100 * BLOCK
    assert scene.shown() == [FileOnItsWay("file", "writing", "", size, size, 0, None)]
    # How long the first one took, nobody has seen.
    scene.shipments.note_arrived([next(arrived)])
    assert scene.shown() == [FileOnItsWay("file", "writing", "", size - BLOCK, size, 0, None)]
    for _ in range(40):
        scene.clock.now += 2.0
        scene.shipments.note_arrived([next(arrived)])
    [file] = scene.shown()
    assert (file.bytes_left, file.bytes_per_second) == (59 * BLOCK, BLOCK // 2)
    assert file.seconds_left == 118.0
    # What others upload meanwhile is no rate of this file, and neither is what is over.
    scene.shipments.note_arrived([BlockId(bytes([number]) * 32) for number in range(200)])
    assert scene.shown() == [file]
    scene.clock.now += RATE_OVER_S + 1
    [file] = scene.shown()
    assert (file.bytes_per_second, file.seconds_left) == (0, None)
    scene.shipments.note_arrived(arrived)
    [file] = scene.shown()
    assert (file.bytes_left, file.seconds_left) == (0, 0.0)


async def test_what_came_before_somebody_looked_is_no_rate(scene: Scene) -> None:
    scene.node.write(scene.file, REEL)
    scene.node.write(scene.file, REEL[::-1], offset=len(REEL))
    [file] = scene.shown()
    assert file.bytes_left == 2 * len(REEL)
    scene.daemon.has = [scene.node.blocks.seal(REEL).id, scene.node.blocks.seal(REEL[::-1]).id]
    await scene.shipments.ask()
    [file] = scene.shown()
    assert (file.bytes_left, file.bytes_per_second) == (0, 0)


def test_who_asks_hears_of_files_under_way_alone(scene: Scene) -> None:
    scene.node.write(scene.file, REEL)
    still = scene.node.create(b"still")
    assert scene.on_their_way.progress([scene.file, still, 4711]) == [
        FileProgress(scene.file, len(REEL), len(REEL), 0)
    ]


def test_what_is_written_anew_before_it_has_arrived_is_left_once(scene: Scene) -> None:
    """A save of a file whose save before is still being uploaded, and which is longer."""
    scene.node.write(scene.file, REEL)
    unsaved = scene.unsaved[scene.file] = UnsavedFile(scene.file)
    unsaved.dirty.write(1000, b"anew" * 500)
    assert scene.left == [("writing", len(REEL))]
    block = scene.node.blocks.seal(REEL + REEL)
    unsaved.staged.lay([Extent(0, len(REEL) + 7, block, 0)])
    unsaved.in_flight.append(PiecesInFlight([Piece(scene.file, 500, b"again" * 200)]))
    assert scene.left == [("writing", len(REEL) + 7)]
    scene.shipments.note_arrived([block.id])
    assert scene.left == [("writing", 2500)]


class SlowMachine(VirtualClock):
    """A clock by which everything takes a while."""

    step_s = 0.1

    def boot(self) -> float:
        self.now += self.step_s
        return self.now


def test_what_takes_long_to_find_out_stands_for_long_and_leaves_the_time_to_programs(
    tmp_path: Path,
) -> None:
    clock = SlowMachine()
    scene = Scene(tmp_path, clock)
    blocks = scene.stage(4)
    [before] = scene.left
    for block in blocks[:3]:
        scene.shipments.note_arrived([block])
        assert scene.left == [before], "a look takes 0.3 s here, and each question 0.1"
    scene.clock.now += REST * 0.4
    assert scene.left == [("writing", BLOCK)]
    scene.clock.now += REST * 0.4
    clock.step_s = 3600.0
    assert scene.left == [("writing", BLOCK)], "the machine sleeps in the midst of it"
    clock.step_s = 0.1
    scene.shipments.note_arrived(blocks[3:])
    scene.clock.now += STANDS_S
    assert scene.left == [("writing", 0)]
    scene.node.close()


def test_nobody_has_more_left_than_his_file_has_whatever_he_says() -> None:
    file = MovingFile(InodeNo(7), "film", "uploading", DeviceId("b" * 32), "b", None)
    shown = file.shown(FileProgress(InodeNo(7), size=1000, left=2**63 - 1, rate=10))
    assert (shown.bytes, shown.bytes_left, shown.seconds_left) == (1000, 1000, 100.0)
