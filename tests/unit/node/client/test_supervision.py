"""One shape for all long-running work: faults from outside end a round, our own end the process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from disk_fixture import FastClock

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.supervision import Supervisor, supervised


@pytest.fixture
async def alerts() -> Alerts:
    return Alerts(FastClock())


@pytest.fixture
async def supervisor(alerts: Alerts) -> AsyncIterator[Supervisor]:
    async with supervised(alerts, FastClock()) as it:
        yield it


class Work:
    """Fails as told, then says that it is done."""

    def __init__(self, *faults: BaseException) -> None:
        self.faults = list(faults)
        self.rounds = 0
        self.done = asyncio.Event()

    async def __call__(self) -> None:
        self.rounds += 1
        if self.faults:
            raise self.faults.pop(0)
        self.done.set()
        await asyncio.Event().wait()


async def test_endless_work_begins_again_whatever_ended_it(
    supervisor: Supervisor, alerts: Alerts, expected_warnings: list[str]
) -> None:
    expected_warnings += ["listening failed (3 times so far)", "listening has failed", "failed ("]
    work = Work(ValueError("[ASN1: NOT_ENOUGH_DATA]"), UnicodeError(), RecursionError())
    supervisor.keep("listening", work)
    await work.done.wait()
    assert work.rounds == 4
    assert supervisor.faults["listening"] == 3
    [alert] = alerts.current()
    assert (alert.topic, alert.count) == ("work:listening", 3)


async def test_work_that_is_well_for_a_while_ends_its_alert(
    supervisor: Supervisor, alerts: Alerts, expected_warnings: list[str]
) -> None:
    expected_warnings += ["listening failed (1 times", "tried again: once"]
    work = Work(ValueError("once"))
    supervisor.keep("listening", work)
    await work.done.wait()
    while alerts.current():  # FastClock: a minute passes in no time
        await asyncio.sleep(0)


async def test_work_that_returns_is_done(supervisor: Supervisor) -> None:
    rounds = 0

    async def once() -> None:
        nonlocal rounds
        rounds += 1

    supervisor.keep("resuming", once)
    for _ in range(10):
        await asyncio.sleep(0)
    assert rounds == 1


async def test_a_failed_errand_ends_alone(
    supervisor: Supervisor, alerts: Alerts, expected_warnings: list[str]
) -> None:
    expected_warnings += ["errand failed", "errand has failed: Input/output error"]

    async def errand() -> int:
        raise OSError(5, "Input/output error")

    task = supervisor.create_task(errand())
    with pytest.raises(OSError, match="Input/output"):
        await task
    await asyncio.sleep(0)
    assert [alert.topic for alert in alerts.current()] == ["work:errand"]


@pytest.mark.parametrize(
    "fault",
    [AssertionError("books"), MemoryError(), ExceptionGroup("x", [AssertionError("books")])],
)
async def test_a_broken_invariant_ends_the_process(fault: Exception) -> None:
    clock = FastClock()
    reached_the_end = False

    async def process() -> None:
        nonlocal reached_the_end
        async with supervised(Alerts(clock), clock) as supervisor:
            supervisor.keep("our own", Work(fault))
            await asyncio.sleep(5)
            reached_the_end = True

    with pytest.raises(ExceptionGroup):
        await process()
    assert not reached_the_end


async def test_leaving_ends_all_work() -> None:
    clock, ended = FastClock(), 0

    async def endless() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended += 1

    async with supervised(Alerts(clock), clock) as supervisor:
        supervisor.keep("one", endless)
        errand = supervisor.create_task(endless())
        await asyncio.sleep(0.01)
    with contextlib.suppress(asyncio.CancelledError):
        await errand
    assert ended == 2
