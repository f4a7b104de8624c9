"""Rules of a hostile store: what they say, whom they befall, and what a bucket makes of each."""

from __future__ import annotations

import asyncio
from random import Random  # noqa: TID251 - seeded: a failure can be repeated

import pytest
from lab.hostile import CATALOGUE, Hostility, Request, Rule, parse_rule
from lab.hostile_bucket import HostileBucket
from lab.virtual_loop import LoopClock, run_virtual

from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.errors import NodeError

KEY = "p/0f/journal/0000000000000001"


@pytest.mark.parametrize(
    "text",
    [
        "portal",
        "absent get journal/* p=0.3",
        "lost create n=1",
        "slow-down put,create block/* p=0.5 n=3 from=a",
    ],
)
def test_a_rule_says_what_it_was_made_of(text: str) -> None:
    assert str(parse_rule(text)) == text


@pytest.mark.parametrize("text", ["", "nonsense", "portal p=2", "portal n=0", "portal x=1"])
def test_a_rule_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"fault|rule"):
        parse_rule(text)


def test_a_rule_befalls_whom_it_concerns_as_often_as_it_says() -> None:
    hostility = Hostility(Random(1))
    hostility.set([parse_rule("absent get journal/* n=2 from=a")])
    for request in (
        Request("b", "get", KEY),
        Request("a", "create", KEY),
        Request("a", "get", "roster/0000000000000001"),
    ):
        assert hostility.befalls(request) is None
    befallen = [hostility.befalls(Request("a", "get", KEY)) for _ in range(3)]
    assert [rule is not None for rule in befallen] == [True, True, False]
    assert hostility.hits == {"absent": 2}
    assert hostility.pending == 0


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_fault_ends_each_call_with_an_answer_or_an_error_of_the_bucket(name: str) -> None:
    async def calls() -> None:
        hostility = Hostility(Random(name))
        store = MemoryBucket()
        async with asyncio.TaskGroup() as later:
            bucket = HostileBucket(store, "a", hostility, LoopClock(), later)
            await bucket.create(KEY, b"the first of two entries")
            await bucket.create(KEY[:-1] + "2", b"the second")
            await bucket.get(KEY[:-1] + "2")
            hostility.set([Rule(name)])
            for call in (
                bucket.get(KEY),
                bucket.get(KEY, (0, 4)),
                bucket.size(KEY),
                bucket.list("p/0f/journal"),
                bucket.put("p/0f/block/aa", b"a block"),
                bucket.create(KEY[:-1] + "3", b"the third"),
                bucket.delete("p/0f/block/aa"),
            ):
                try:
                    await asyncio.wait_for(call, 60)
                except NodeError:
                    continue
        assert hostility.hits[name] == 7
        assert store.objects[KEY] == b"the first of two entries"

    run_virtual(calls, name)
