"""How much of a file has not got to the bucket yet, as people are told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from committer_fixture import PROJECT, VirtualClock
from replica_fixture import Blocks, Journal, Node

from lucidnode.fs.files.on_their_way import OnTheirWay
from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.read.open_files import OpenFiles
from lucidnode.fs.replica.inode import Extent, InodeNo
from lucidnode.fs.write.block_plan import Piece
from lucidnode.fs.write.shipments import Shipments
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.fs.write.unsaved_file import PiecesInFlight, UnsavedFile
from lucidnode.node.client.ids import BlockId, DeviceId

REEL = b"reel" * 1000


class Daemon:
    async def uploaded(self, project: object, blocks: Sequence[BlockId]) -> list[BlockId]:
        return []


class Scene:
    """A mount with one file that a program has open, and has written to."""

    def __init__(self, path: Path) -> None:
        self.node = Node(path / "a.db", "a", Blocks())
        clock = VirtualClock()
        unfinished, open_files = Unfinished(clock), OpenFiles()
        self.unsaved: dict[InodeNo, UnsavedFile] = {}
        self.shipments = Shipments(
            PROJECT, self.node.replica, Daemon(), unfinished, clock, lambda: None
        )
        work = WorkHere(
            self.node.replica, unfinished, open_files, DeviceId("a" * 32), lambda _: "a"
        )
        self.on_their_way = OnTheirWay(work, self.shipments, self.unsaved.get)
        self.file = self.node.create(b"file")
        open_files.file(open_files.open(self.file, writable=True)).wrote = True

    @property
    def left(self) -> list[tuple[str, int | None]]:
        return [(file.state, file.bytes_left) for file in self.on_their_way.files()]


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
