"""When the daemon hears of what lies in staging: few messages for a film, none late for who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from lab.virtual_loop import LoopClock, run_virtual

from lucidnode.fs.write.staging_notifier import GATHER_S, StagingNotifier
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId

PROJECT = ProjectId("ab" * 16)


def block(number: int) -> BlockId:
    return BlockId(number.to_bytes(32))


class Daemon:
    def __init__(self) -> None:
        self.told: list[list[int]] = []
        self.is_away = False

    async def staged(
        self, project: ProjectId, blocks: Sequence[BlockId], ranks: Sequence[int]
    ) -> None:
        if self.is_away:
            raise Unavailable("away")
        self.told.append([int.from_bytes(each) for each in blocks])


def played(play: Callable[[Daemon, StagingNotifier], Coroutine[Any, Any, None]]) -> Daemon:
    """Return what the daemon was told while *play* notifies, on virtual time."""
    daemon = Daemon()

    async def run() -> None:
        notifier = StagingNotifier(PROJECT, daemon, LoopClock())
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(notifier.run())
            await play(daemon, notifier)
            telling.cancel()

    run_virtual(run, 1)
    return daemon


def test_the_first_block_of_a_file_is_told_at_once_and_the_next_ones_together() -> None:
    async def play(daemon: Daemon, notifier: StagingNotifier) -> None:
        for number in range(5):
            notifier.notify(block(number), number)
            await asyncio.sleep(GATHER_S / 8)
            assert daemon.told == [[0]]
        await asyncio.sleep(GATHER_S)
        assert daemon.told == [[0], [1, 2, 3, 4]]
        notifier.notify(block(5), 5)
        await asyncio.sleep(2 * GATHER_S)

    assert played(play).told == [[0], [1, 2, 3, 4], [5]]


def test_who_ends_a_save_waits_for_no_more_blocks_to_gather() -> None:
    async def play(daemon: Daemon, notifier: StagingNotifier) -> None:
        notifier.notify(block(1), 1)
        notifier.hurry()
        await asyncio.sleep(0.001)
        assert daemon.told == [[1]]
        notifier.hurry()
        await asyncio.sleep(1)

    assert played(play).told == [[1]], "there was nothing more to tell"


def test_what_a_daemon_did_not_hear_is_told_again_with_what_came_since() -> None:
    async def play(daemon: Daemon, notifier: StagingNotifier) -> None:
        daemon.is_away = True
        notifier.notify(block(0))
        await asyncio.sleep(GATHER_S)
        notifier.notify(block(1), 1)
        await asyncio.sleep(GATHER_S)
        daemon.is_away = False
        await asyncio.sleep(2)

    told = played(play).told
    assert told == [[0, 1]]
