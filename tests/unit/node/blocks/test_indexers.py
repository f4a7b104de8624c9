"""Thumbnailers and indexers get of the bucket what the settings allow, and all that is near."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from lab.virtual_loop import LoopClock, run_virtual

from lucidnode.node.blocks.arrivals import Arrivals
from lucidnode.node.blocks.fetch import Fetched, PassedOver
from lucidnode.node.blocks.for_mounts import BlocksForMounts
from lucidnode.node.blocks.indexers import (
    USUAL_WORD,
    WAIT_S,
    IndexerCounts,
    IndexerRules,
    Indexers,
)
from lucidnode.node.bucket.pace import RateLimit
from lucidnode.node.client.errors import Withheld
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.wire import Reading

MIB = 1024 * 1024
PROJECT = ProjectId("a" * 32)
BLOCKS = [BlockId(bytes([number]) * 32) for number in range(8)]
PROGRAM = "totem-video-thumbnailer"


def reading(opening: str = "a-1", *, size: int = MIB, ahead: bool = False) -> Reading:
    return Reading(PROGRAM, opening, size, ahead)


class Source:
    """A bucket with everything, and what is *nearby*."""

    def __init__(self) -> None:
        self.nearby: set[BlockId] = set()
        self.fetched: list[BlockId] = []

    async def near(self, _project: ProjectId, block: BlockId) -> Fetched | None:
        return Fetched("peer", bytes(MIB), kept=True) if block in self.nearby else None

    def passed_over(self, _block: BlockId) -> list[PassedOver]:
        return []

    async def fetch(self, _project: ProjectId, block: BlockId) -> Fetched:
        self.fetched.append(block)
        return Fetched("bucket", bytes(MIB), kept=True)


class Daemon:
    """The blocks of a daemon with those rules."""

    def __init__(self, names: list[str], per_file: int | None, rate: int | None) -> None:
        clock, nothing = LoopClock(), cast("Any", None)
        self.rules = IndexerRules(names, per_file, None if rate is None else RateLimit(rate))
        self.source, self.indexers = Source(), Indexers(lambda: self.rules, clock)
        self._blocks = BlocksForMounts(
            cast("Any", self.source),
            nothing,
            cast("Any", Sound()),
            nothing,
            nothing,
            nothing,
            Arrivals(clock, lambda _source, _size: None),
            lambda: False,
            self.indexers,
        )

    async def ask(self, number: int, asked: Reading | None) -> None:
        block = BLOCKS[number]
        await self._blocks.obtain(PROJECT, block, patience_s=45, as_bytes=False, reading=asked)


class Sound:
    missing = ""


@pytest.mark.parametrize(
    ("name", "is_held"),
    [
        (PROGRAM, True),
        ("ffmpegthumbnailer", True),
        ("blender-thumbnailer.py", True),
        ("thumbnail.so", True),
        ("tumblerd", True),
        ("tracker-extract-3", True),
        ("localsearch-extractor-3", True),
        ("baloo_file_extractor", True),
        ("nautilus", False),
        ("kioworker", False),
        ("ffmpeg", False),
        ("DaVinci Resolve", False),
    ],
)
def test_the_usual_thumbnailers_and_indexers_are_known_by_name(name: str, is_held: bool) -> None:
    assert IndexerRules([USUAL_WORD], None, None).hold(name) is is_held
    assert not IndexerRules([], None, None).hold(name)
    assert IndexerRules([name], None, None).hold(name)


def test_an_indexer_has_so_much_of_a_file_from_the_bucket_and_what_is_near_for_nothing() -> None:
    async def play() -> None:
        daemon = Daemon([USUAL_WORD], 2 * MIB, None)
        daemon.source.nearby.add(BLOCKS[7])
        for number in (0, 7, 1, 7):
            await daemon.ask(number, reading())
        for _ in range(2):
            with pytest.raises(Withheld, match=r"indexers\.per-file"):
                await daemon.ask(2, reading())
        await daemon.ask(7, reading())
        assert daemon.source.fetched == BLOCKS[:2]
        # Opened once more, it may have as much again.
        await daemon.ask(2, reading("a-2"))
        counts = IndexerCounts(files=2, fetched=3 * MIB, withheld=MIB)
        assert daemon.indexers.counts() == {PROGRAM: counts}, "a block withheld twice counts once"
        held = daemon.indexers.withheld(BLOCKS[2])
        assert held is not None
        assert held.program == PROGRAM
        assert daemon.indexers.withheld(BLOCKS[0]) is None

    run_virtual(play, 1)


def test_the_first_block_of_a_file_is_given_however_large_and_nothing_ahead_of_it() -> None:
    async def play() -> None:
        daemon = Daemon([USUAL_WORD], MIB, None)
        with pytest.raises(Withheld, match="ahead"):
            await daemon.ask(0, reading(size=16 * MIB, ahead=True))
        assert daemon.indexers.counts() == {}
        await daemon.ask(0, reading(size=16 * MIB))
        with pytest.raises(Withheld):
            await daemon.ask(1, reading())

    run_virtual(play, 1)


def test_indexers_wait_for_their_turn_and_hear_of_it_before_they_are_given_up() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        daemon = Daemon([USUAL_WORD], None, MIB // 10)
        began = loop.time()
        for number in range(3):
            await daemon.ask(number, reading())
        assert 20 < loop.time() - began < 25
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            waiting = [
                tasks.create_task(_outcome(daemon, number, f"b-{number}")) for number in range(8)
            ]
        assert loop.time() - began == pytest.approx(WAIT_S)
        outcomes = [task.result() for task in waiting]
        assert 1 <= outcomes.count("given") <= 3
        assert outcomes.count("given") + outcomes.count("withheld") == 8
        # Programs that people use do not stand in that queue.
        began = loop.time()
        await daemon.ask(0, Reading("ffplay", "c-1", MIB, ahead=False))
        await daemon.ask(0, None)
        assert loop.time() == began

    run_virtual(play, 1)


async def _outcome(daemon: Daemon, number: int, opening: str) -> str:
    try:
        await daemon.ask(number, reading(opening))
    except Withheld:
        return "withheld"
    return "given"


def test_settings_count_at_once() -> None:
    async def play() -> None:
        daemon = Daemon([USUAL_WORD], MIB, None)
        await daemon.ask(0, reading())
        with pytest.raises(Withheld):
            await daemon.ask(1, reading())
        daemon.rules = IndexerRules([], MIB, None)
        await daemon.ask(1, reading())

    run_virtual(play, 1)
