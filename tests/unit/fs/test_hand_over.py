"""Unmounting waits as long as there is progress, and one standstill longer."""

from __future__ import annotations

import asyncio

import pytest

from lucidnode.fs.hand_over import Left, sent, why_left
from lucidnode.node.client.alerts import Alert

STANDSTILL_S = 0.05


class Bucket:
    """Shows one after the other of *left*; a flush ends once all were shown."""

    def __init__(self, *left: Left) -> None:
        self._left = list(left)
        self.waits = 0

    async def flush(self) -> None:
        self.waits += 1
        if self._left:
            await asyncio.Event().wait()

    async def left(self) -> Left:
        return self._left.pop(0)


@pytest.mark.parametrize(
    ("left", "waits"),
    [
        pytest.param([(1, 0), (1, 0)], 1, id="nothing moves"),
        pytest.param([(1, 0), (2, 0)], 1, id="one change is packed into two"),
        pytest.param([(0, 5), (2, 5)], 1, id="what was in memory is a change now"),
        pytest.param([(3, 9), (3, 5), (3, 5)], 2, id="blocks go, then nothing"),
        pytest.param([(3, 9), (2, 12), (2, 12)], 2, id="an entry goes, and others write"),
    ],
)
async def test_a_standstill_is_waited_for_once(left: list[Left], waits: int) -> None:
    bucket = Bucket(*left, (0, 0))
    assert not await sent(bucket.flush, bucket.left, STANDSTILL_S)
    assert bucket.waits == waits


async def test_as_long_as_less_is_left_it_waits_to_the_end() -> None:
    bucket = Bucket((3, 9), (3, 5), (1, 5))
    assert await sent(bucket.flush, bucket.left, STANDSTILL_S)
    assert bucket.waits == 3


async def test_errors_of_the_flush_are_the_callers() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await sent(fails, Bucket((1, 0)).left, STANDSTILL_S)


def own(topic: str) -> Alert:
    return Alert(topic, f"The mount has {topic}.", f"Mend {topic}.", 0, 1)


def daemons(topic: str) -> dict[str, str]:
    return {"topic": topic, "cause": f"The daemon has {topic}.", "remedy": ""}


@pytest.mark.parametrize(
    ("mounts", "others", "said"),
    [
        (["journal:send"], ["bucket"], "The daemon has bucket."),
        (["journal:send"], ["bucket", "cache-disk"], "The daemon has cache-disk."),
        (["journal:send"], ["peer:1"], "The mount has journal:send. Mend journal:send."),
        (
            ["journal:record", "journal:send"],
            [],
            "The mount has journal:record. Mend journal:record.",
        ),
        (["journal:read", "damaged:7"], [], "The mount has journal:read. Mend journal:read."),
    ],
)
def test_what_is_left_is_said_with_the_cause_that_is_known(
    mounts: list[str], others: list[str], said: str
) -> None:
    assert why_left([own(t) for t in mounts], [daemons(t) for t in others]) == said


def test_where_nothing_is_known_to_be_amiss_nothing_is_blamed() -> None:
    said = why_left([own("conflict:1")], [daemons("peer:1")])
    assert "nothing is known to be amiss" in said
