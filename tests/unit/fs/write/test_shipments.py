"""What a mount knows of its blocks on their way to the bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from committer_fixture import PROJECT, VirtualClock
from replica_fixture import Blocks, Journal, Node

from lucidnode.fs.replica.intents import NewExtent, Write
from lucidnode.fs.write.shipments import _REMEMBERED_BLOCKS, BLOCKS_A_QUESTION, YOUNG_S, Shipments
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import BlockId


class Daemon:
    """Knows what the bucket has; *is_away* answers nothing."""

    def __init__(self) -> None:
        self.there: set[BlockId] = set()
        self.is_away = False
        self.asked = 0

    async def uploaded(self, project: object, blocks: Sequence[BlockId]) -> list[BlockId]:
        self.asked += 1
        assert len(blocks) <= BLOCKS_A_QUESTION
        if self.is_away:
            raise Unavailable("no daemon")
        return [block for block in blocks if block in self.there]


class Scene:
    """One replica with work waiting, and what is known of its blocks."""

    def __init__(self, path: Path) -> None:
        self.node = Node(path / "a.db", "a", Blocks())
        self.clock = VirtualClock()
        self.daemon = Daemon()
        self.moved = 0
        self.shipments = Shipments(
            PROJECT, self.node.replica, self.daemon, Unfinished(self.clock), self.clock, self._move
        )

    def _move(self) -> None:
        self.moved += 1

    def film(self, blocks: int) -> list[BlockId]:
        """Have a file of so many blocks wait, and return them."""
        names = [self.node.blocks.seal(b"%d" % number) for number in range(blocks)]
        extents = [NewExtent(at * 10, 1, name.id, 0) for at, name in enumerate(names)]
        self.node.replica.apply(Write(self.node.create(b"film"), extents, names, self.node.time()))
        return [name.id for name in names]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.node.close()


def test_a_film_of_more_blocks_than_are_remembered_arrives(scene: Scene) -> None:
    film = scene.film(1000)
    scene.shipments.note_arrived(film)
    for first in range(0, 4 * _REMEMBERED_BLOCKS, 5000):
        scene.shipments.note_arrived(
            BlockId(number.to_bytes(32)) for number in range(first, first + 5000)
        )
    assert all(map(scene.shipments.has_arrived, film)), "what is waited for was forgotten"
    assert len(scene.shipments._arrived) <= 3 * _REMEMBERED_BLOCKS
    assert scene.node.replica.pending.next_batch(scene.shipments) is not None


async def test_what_arrived_before_anybody_listened_is_asked_for_until_all_is_known(
    scene: Scene,
) -> None:
    film = scene.film(3 * BLOCKS_A_QUESTION)
    scene.daemon.is_away = True
    assert not await scene.shipments.ask()
    scene.daemon.is_away = False
    scene.daemon.there = set(film[1:])
    while await scene.shipments.ask():
        pass
    assert [block for block in film if not scene.shipments.has_arrived(block)] == film[:1]
    assert scene.moved == 4
    scene.daemon.there = set(film)
    assert await scene.shipments.ask()
    asked = scene.daemon.asked
    assert not await scene.shipments.ask()
    assert scene.daemon.asked == asked, "nothing is left to ask for"


def test_a_save_is_young_for_a_second_and_the_next_one_is_again(scene: Scene) -> None:
    file = scene.node.create(b"doc")
    assert scene.shipments.is_young(file)
    scene.clock.now += YOUNG_S
    assert not scene.shipments.is_young(file)
    scene.clock.now += 4 * YOUNG_S
    assert scene.shipments.is_young(file)


def test_who_saves_again_before_long_has_a_young_save_once_the_one_before_is_committed(
    scene: Scene,
) -> None:
    """Else each save but the first would cost an entry that marks it, and wait behind that."""
    file = scene.node.create(b"doc")
    assert scene.shipments.is_young(file)
    scene.clock.now += YOUNG_S
    scene.shipments.committed()
    assert not scene.shipments.is_young(file), "an entry of ours that leaves it waiting"
    journal = Journal()
    while scene.node.replica.pending.has_work():
        journal.commit(scene.node)
    scene.shipments.committed()
    assert scene.shipments.is_young(file)


def test_the_sender_looks_again_only_for_blocks_that_work_waits_for(scene: Scene) -> None:
    """What is written still is named by nothing yet: each of its blocks would be a look in vain."""
    [first, second] = scene.film(2)
    scene.shipments.note_arrived([BlockId(b"w" * 32)])
    assert scene.moved == 0
    scene.shipments.note_arrived([first])
    scene.shipments.note_arrived([BlockId(b"x" * 32), second])
    assert scene.moved == 2
    assert scene.node.replica.pending.next_batch(scene.shipments) is not None
