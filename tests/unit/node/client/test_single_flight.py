"""One flight for each key at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lucidnode.node.client.errors import NotThere, Unavailable
from lucidnode.node.client.single_flight import SingleFlight


class Work:
    """Counts how often it runs; waits until it is told to end."""

    def __init__(self) -> None:
        self.runs = 0
        self.end = asyncio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        run = self.runs
        await self.end.wait()
        return run


async def test_all_who_ask_meanwhile_share_one_flight() -> None:
    work = Work()
    async with asyncio.TaskGroup() as tasks:
        flights: SingleFlight[str, int] = SingleFlight(tasks)
        joined = [tasks.create_task(flights.join("k", work)) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(flights) == 1
        work.end.set()
    assert [task.result() for task in joined] == [1] * 20
    assert len(flights) == 0


async def test_the_next_to_ask_after_a_landing_starts_another() -> None:
    work = Work()
    work.end.set()
    async with asyncio.TaskGroup() as tasks:
        flights: SingleFlight[str, int] = SingleFlight(tasks)
        assert await flights.join("k", work) == 1
        assert await flights.join("k", work) == 2


async def test_keys_do_not_wait_for_each_other() -> None:
    slow, quick = Work(), Work()
    quick.end.set()
    async with asyncio.TaskGroup() as tasks:
        flights: SingleFlight[str, int] = SingleFlight(tasks)
        waiting = tasks.create_task(flights.join("slow", slow))
        assert await flights.join("quick", quick) == 1
        assert not waiting.done()
        slow.end.set()


async def test_one_who_stops_waiting_leaves_the_others_their_flight() -> None:
    work = Work()
    async with asyncio.TaskGroup() as tasks:
        flights: SingleFlight[str, int] = SingleFlight(tasks)
        first = tasks.create_task(flights.join("k", work))
        second = tasks.create_task(flights.join("k", work))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        work.end.set()
        assert await second == 1


async def test_a_flight_nobody_waits_for_any_more_still_lands() -> None:
    work = Work()
    landed: list[int] = []

    async def flown() -> None:
        landed.append(await work())

    async with asyncio.TaskGroup() as tasks:
        flights: SingleFlight[str, None] = SingleFlight(tasks)
        only = tasks.create_task(flights.join("k", flown))
        await asyncio.sleep(0)
        only.cancel()
        await asyncio.sleep(0)
        work.end.set()
    assert landed == [1]


async def test_an_error_reaches_all_who_wait_and_is_not_remembered() -> None:
    work = Work()
    down = asyncio.Event()

    async def failing() -> int:
        await down.wait()
        raise Unavailable("bucket")

    async with asyncio.TaskGroup() as tasks:
        flights: SingleFlight[str, int] = SingleFlight(tasks)
        joined = [asyncio.ensure_future(flights.join("k", failing)) for _ in range(3)]
        await asyncio.sleep(0)
        down.set()
        for each in joined:
            with pytest.raises(Unavailable):
                await each
        work.end.set()
        assert await flights.join("k", work) == 1


async def test_an_error_nobody_waits_for_disturbs_nothing() -> None:
    async def failing() -> int:
        await asyncio.sleep(0.01)
        raise NotThere("x")

    async with asyncio.TaskGroup() as tasks:
        flights: SingleFlight[str, int] = SingleFlight(tasks)
        only = tasks.create_task(flights.join("k", failing))
        await asyncio.sleep(0)
        only.cancel()


async def test_a_broken_invariant_ends_the_group() -> None:
    async def broken() -> int:
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError):
        async with asyncio.TaskGroup() as tasks:
            flights: SingleFlight[str, int] = SingleFlight(tasks)
            await flights.join("k", broken)


async def test_a_fault_of_any_kind_is_an_error_for_all_who_wait_and_no_cancellation() -> None:
    async def broken() -> int:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    loop = asyncio.get_running_loop()
    started: list[asyncio.Task[None]] = []

    class Tasks:
        def create_task(self, coro: Any, *, name: str | None = None) -> Any:
            started.append(loop.create_task(coro, name=name))
            return started[-1]

    flights: SingleFlight[str, int] = SingleFlight(Tasks())
    joined = [asyncio.ensure_future(flights.join("k", broken)) for _ in range(3)]
    for each in joined:
        with pytest.raises(ZeroDivisionError):
            await each
    with pytest.raises(ZeroDivisionError):
        await started[0]
