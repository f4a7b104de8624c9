"""States are opened once, for all who wait, and closed when nobody needs them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

import pytest
from disk_fixture import ManualClock

from lucidnode.fs.errors import NoSuchPoint, Unreadable
from lucidnode.fs.files.file_system import FileSystem
from lucidnode.fs.snapshot_tree.open_states import AGAIN_S, IDLE_S, MAX_IDLE, OpenStates
from lucidnode.node.client.ids import Seq


class Shelf:
    """Opens states that are nothing, and remembers it."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.clock = ManualClock()
        self.open: list[Seq] = []
        self.times = 0
        self.broken = False
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.states = OpenStates(self._opened, self.clock, tasks)

    @contextlib.asynccontextmanager
    async def _opened(self, seq: Seq) -> AsyncIterator[FileSystem]:
        self.times += 1
        await self.may_go_on.wait()
        if self.broken:
            raise NoSuchPoint("it does not exist")
        self.open.append(seq)
        yield cast(FileSystem, None)
        self.open.remove(seq)


async def test_who_comes_while_a_state_is_opened_waits_for_that_also_when_the_first_gives_up() -> (
    None
):
    async with asyncio.TaskGroup() as tasks:
        shelf = Shelf(tasks)
        shelf.may_go_on.clear()
        first, second = (tasks.create_task(shelf.states.open(Seq(5))) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        assert not second.done()
        shelf.may_go_on.set()
        await second
    assert (shelf.times, shelf.open) == (1, [5])
    assert shelf.states.get(Seq(5)) is not None


async def test_a_state_that_nobody_asks_for_is_closed_and_one_with_handles_is_not() -> None:
    async with asyncio.TaskGroup() as tasks:
        shelf = Shelf(tasks)
        for seq in (1, 2, 3):
            await shelf.states.open(Seq(seq))
        held = shelf.states.get(Seq(1))
        assert held is not None
        held.handles = 1
        shelf.clock.now += IDLE_S - 1
        shelf.states.get(Seq(2))
        shelf.clock.now += 1
        await shelf.states.close_idle()
        assert shelf.open == [1, 2]
        await shelf.states.open(Seq(3))
        assert shelf.times == 4


async def test_of_many_states_those_asked_for_last_stay_open() -> None:
    async with asyncio.TaskGroup() as tasks:
        shelf = Shelf(tasks)
        for seq in range(10):
            shelf.clock.now += 1
            await shelf.states.open(Seq(seq))
        assert shelf.open == list(range(10 - MAX_IDLE, 10))


async def test_a_state_that_cannot_be_opened_says_why_and_is_not_tried_again_at_once() -> None:
    async with asyncio.TaskGroup() as tasks:
        shelf = Shelf(tasks)
        shelf.broken = True
        for _ in range(3):
            with pytest.raises(Unreadable, match="version 5 cannot be shown: it does not exist"):
                await shelf.states.open(Seq(5))
        assert shelf.times == 1
        shelf.broken = False
        shelf.clock.now += AGAIN_S
        await shelf.states.open(Seq(5))
        assert shelf.open == [5]


async def test_at_the_end_all_are_closed_also_one_that_is_being_opened() -> None:
    async with asyncio.TaskGroup() as tasks:
        shelf = Shelf(tasks)
        running = tasks.create_task(shelf.states.run())
        await shelf.states.open(Seq(1))
        shelf.may_go_on.clear()
        waiting = tasks.create_task(shelf.states.open(Seq(2)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running, waiting})
        assert waiting.cancelled()
    assert (shelf.open, shelf.times) == ([], 2)
