"""Questions to a mount: each is answered, runs out of time, or ends with the mount, and takes its place away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lucidnode.node.client.errors import NotThere, Refused, Unavailable
from lucidnode.node.mount_questions import MountQuestions


def questions(told: list[Any], within_s: float = 60.0) -> MountQuestions[str]:
    return MountQuestions[str](
        told.append, within_s=within_s, silent="it is silent", most=2, busy="two wait"
    )


def number_of(number: int) -> Any:
    return number


async def test_an_answer_goes_to_who_asked_for_it_and_no_other() -> None:
    told: list[int] = []
    asked = questions(told)
    async with asyncio.TaskGroup() as tasks:
        one, other = (tasks.create_task(asked.ask(number_of)) for _ in range(2))
        await asyncio.sleep(0)
        assert told == [1, 2]
        asked.heard(2, "to the second")
        asked.heard(7, "to nobody")
        asked.heard(1, "to the first")
    assert (one.result(), other.result()) == ("to the first", "to the second")


async def test_as_many_as_may_wait_and_no_more_and_who_has_given_up_makes_room() -> None:
    told: list[int] = []
    asked = questions(told)
    waiting = [asyncio.ensure_future(asked.ask(number_of)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="two wait"):
        await asked.ask(number_of)
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)
    last = asyncio.ensure_future(asked.ask(number_of))
    await asyncio.sleep(0)
    asked.heard(told[-1], "heard")
    assert await last == "heard"


async def test_a_mount_that_says_nothing_is_not_waited_for_for_ever() -> None:
    with pytest.raises(Unavailable, match="it is silent"):
        await questions([], within_s=0.0).ask(number_of)


async def test_a_mount_that_ends_answers_nobody() -> None:
    told: list[int] = []
    asked = questions(told)
    waiting = asyncio.ensure_future(asked.ask(number_of))
    await asyncio.sleep(0)
    asked.end()
    with pytest.raises(NotThere):
        await waiting
