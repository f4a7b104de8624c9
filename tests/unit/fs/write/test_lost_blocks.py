"""The look-out for blocks that nobody has any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from committer_fixture import PROJECT, VirtualClock
from replica_fixture import Blocks, Node

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.write.lost_blocks import LostBlocks
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import BlockId


class Daemon:
    """Has *here*; *is_away* answers nothing."""

    def __init__(self) -> None:
        self.here: set[BlockId] = set()
        self.is_away = False
        self.told: list[BlockId] = []

    async def gone(self, project: object, blocks: Sequence[BlockId]) -> list[BlockId]:
        if self.is_away:
            raise Unavailable("no bucket")
        return [block for block in blocks if block not in self.here]

    async def given_up(self, project: object, blocks: Sequence[BlockId]) -> None:
        self.told += blocks


class Scene:
    def __init__(self, path: Path) -> None:
        self.node = Node(path / "a.db", "a", Blocks())
        self.daemon = Daemon()
        self.clock = VirtualClock()
        self.alerts = Alerts(self.clock)
        self.busy: set[InodeNo] = set()
        self.look_out = LostBlocks(
            PROJECT,
            self.node.replica,
            self.daemon,
            self,
            lambda _: False,
            self.busy.__contains__,
            self.alerts,
            self.clock,
        )

    async def give_up(self, lost: Collection[BlockId]) -> tuple[str, ...]:
        return self.node.replica.give_up(lost, self.node.time()).files

    def save(self, name: bytes) -> InodeNo:
        ino = self.node.create(name)
        self.node.write(ino, name)
        return ino

    def causes(self) -> list[str]:
        return [alert.cause for alert in self.alerts.current()]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_what_two_looks_do_not_find_is_given_up_and_told_by_name(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("are lost with the disk")
    scene.save(b"film")
    await scene.look_out.look()
    assert scene.node.names() == [b"film"], "one look decides nothing"
    await scene.look_out.look()
    assert scene.node.names() == []
    assert ["film" in cause for cause in scene.causes()] == [True]
    assert scene.daemon.told == [scene.node.blocks.seal(b"film").id]


async def test_what_is_there_again_at_the_second_look_stays(scene: Scene) -> None:
    scene.save(b"film")
    await scene.look_out.look()
    scene.daemon.here.add(scene.node.blocks.seal(b"film").id)
    await scene.look_out.look()
    scene.daemon.here.clear()
    await scene.look_out.look()
    assert scene.node.names() == [b"film"]


async def test_looks_that_see_nothing_do_not_count(scene: Scene) -> None:
    scene.save(b"film")
    await scene.look_out.look()
    scene.daemon.is_away = True
    await scene.look_out.look()
    scene.daemon.is_away = False
    await scene.look_out.look()
    assert scene.node.names() == [b"film"]


async def test_a_file_that_is_being_written_waits_for_its_end(scene: Scene) -> None:
    scene.busy.add(scene.save(b"film"))
    for _ in range(3):
        await scene.look_out.look()
    assert scene.node.names() == [b"film"]


async def test_a_block_that_is_named_and_holds_nothing_holds_nothing_up(scene: Scene) -> None:
    """The file was removed while its pack was on its way into staging, whose disk was lost then."""
    note = scene.node.create(b"note")
    scene.node.replica.tails.put(note, 0, b"text", scene.node.time())
    pack = scene.node.pack_tails_unsent()
    assert pack is not None
    scene.node.unlink(b"note")
    assert scene.node.replica.deleted.drop(lambda _: False)
    scene.node.replica.tails.release_pack(pack)
    assert list(scene.node.replica.pending.blocks_waited_for()) == [pack]
    await scene.look_out.look()
    await scene.look_out.look()
    assert list(scene.node.replica.pending.blocks_waited_for()) == []
    assert scene.causes() == []


async def test_a_pack_that_is_still_in_the_replica_is_not_lost(scene: Scene) -> None:
    scene.node.replica.tails.put(scene.node.create(b"note"), 0, b"text", scene.node.time())
    scene.node.pack_tails_unsent()
    for _ in range(3):
        await scene.look_out.look()
    assert scene.node.names() == [b"note"]
