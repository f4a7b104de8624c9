"""A bad object in the bucket: named, read seldom, and over when it is right again; a reading spoilt on its way: no matter."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from disk_fixture import PROJECT, FastClock, ManualClock, make_block

from lucidnode.node.blocks.bad_objects import BadObjects
from lucidnode.node.bucket.keys import block_key
from lucidnode.node.cache.verified import verified
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import Corrupt, NotThere
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.supervision import supervised


class Bucket:
    """Holds one object, and spoils the next *spoilt* readings of it."""

    def __init__(self, content: bytes, spoilt: int) -> None:
        self.content = content
        self.spoilt = spoilt
        self.reads = 0

    async def read(self, project: ProjectId, block: BlockId) -> bytes:
        self.reads += 1
        self.spoilt -= 1
        return verified(block, b"\0" * len(self.content) if self.spoilt >= 0 else self.content)


class Folder:
    """Holds the objects *content*; counts how often it is read."""

    def __init__(self, content: Mapping[BlockId, bytes]) -> None:
        self.content = dict(content)
        self.reads = 0

    def spoil(self, block: BlockId, amiss: str) -> None:
        if amiss == "missing":
            del self.content[block]
        else:
            self.content[block] = b"damaged"

    async def read(self, project: ProjectId, block: BlockId) -> bytes:
        self.reads += 1
        if block not in self.content:
            raise NotThere(block.hex())
        return verified(block, self.content[block])


async def test_a_damaged_object_is_named_and_not_read_by_each_who_asks(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("is damaged")
    block, content = make_block()
    bucket, clock = Bucket(content, spoilt=1 << 30), ManualClock()
    alerts = Alerts(clock)
    objects = BadObjects(bucket.read, alerts, clock)
    for _ in range(100):
        with pytest.raises(Corrupt):
            await objects.read(PROJECT, block)
    assert bucket.reads == 2
    [alert] = alerts.current()
    assert block_key(PROJECT, block) in alert.cause
    bucket.spoilt = 0
    clock.now += 31
    assert await objects.read(PROJECT, block) == content
    assert alerts.current() == []


@pytest.mark.parametrize("amiss", ["damaged", "missing"])
async def test_an_object_that_was_put_back_is_no_alert_though_nobody_reads_it(
    amiss: str, expected_warnings: list[str]
) -> None:
    if amiss == "damaged":
        expected_warnings.append("is damaged")
    blocks = dict(make_block(1000 + number) for number in range(3))
    bucket = Folder(blocks)
    alerts = Alerts(ManualClock())
    objects = BadObjects(bucket.read, alerts, ManualClock())
    for block, content in blocks.items():
        bucket.spoil(block, amiss)
        with pytest.raises(Corrupt if amiss == "damaged" else NotThere):
            await objects.read(PROJECT, block)
        assert bucket.content.get(block) != content
    assert len(alerts.current()) == (3 if amiss == "damaged" else 0)
    assert objects.of(PROJECT) == list(blocks)
    before = bucket.reads
    for _ in range(6):
        await objects.look()
    assert bucket.reads == before + 6, "one in turn"
    bucket.content = dict(blocks)
    await objects.look()
    assert (alerts.current(), objects.of(PROJECT)) == ([], [])
    before = bucket.reads
    await objects.look()
    assert bucket.reads == before, "nothing is read while nothing is known to be bad"


async def test_an_alert_of_a_look_is_over_once_the_object_was_put_back(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("is damaged")
    blocks = dict(make_block(1000 + number) for number in range(2))
    bucket = Folder(blocks)
    alerts = Alerts(ManualClock())
    objects = BadObjects(bucket.read, alerts, ManualClock())
    for block in blocks:
        bucket.spoil(block, "damaged")
        assert not await objects.is_well(PROJECT, block)
    assert len(alerts.current()) == 2
    bucket.content = dict(blocks)
    assert await objects.is_well(PROJECT, next(iter(blocks)))
    assert len(alerts.current()) == 1
    await objects.look()
    assert alerts.current() == []


async def test_an_object_that_is_bad_is_read_at_once_by_who_asks_for_it_now_and_then(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("is damaged")
    block, content = make_block()
    bucket, clock = Bucket(content, spoilt=1 << 30), ManualClock()
    objects = BadObjects(bucket.read, Alerts(clock), clock)
    for _ in range(100):  # somebody has asked all the time
        with pytest.raises(Corrupt):
            await objects.read(PROJECT, block)
        clock.now += 1
    for _ in range(5):
        clock.now += 61
        with pytest.raises(Corrupt):
            await objects.read(PROJECT, block)
        for _ in range(3):
            await objects.look()  # what is looked at in turn delays nobody
    clock.now += 3
    bucket.spoilt = 0
    assert await objects.read(PROJECT, block) == content


async def test_an_object_that_is_bad_is_read_seldom_by_who_asks_for_it_all_the_time(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("is damaged")
    block, content = make_block()
    bucket, clock = Bucket(content, spoilt=1 << 30), ManualClock()
    objects = BadObjects(bucket.read, Alerts(clock), clock)
    for _ in range(3600):
        with pytest.raises(Corrupt):
            await objects.read(PROJECT, block)
        clock.now += 1
    assert bucket.reads <= 130


async def test_what_is_bad_is_looked_at_for_as_long_as_the_daemon_runs(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("is damaged")
    blocks = dict(make_block(1000 + number) for number in range(2))
    bucket, alerts = Folder(blocks), Alerts(FastClock())
    async with supervised(alerts, FastClock()) as tasks:
        objects = BadObjects(bucket.read, alerts, FastClock())
        tasks.keep("looking at bad objects", objects.run)
        for block, content in blocks.items():
            bucket.spoil(block, "damaged")
            with pytest.raises(Corrupt):
                await objects.read(PROJECT, block)
            bucket.content[block] = content
            while alerts.current():
                await asyncio.sleep(0.001)


async def test_an_object_that_nobody_needs_is_no_alert(expected_warnings: list[str]) -> None:
    expected_warnings.append("is damaged")
    block, content = make_block()
    clock = ManualClock()
    alerts = Alerts(clock)
    objects = BadObjects(Bucket(content, spoilt=1 << 30).read, alerts, clock)
    with pytest.raises(Corrupt):
        await objects.read(PROJECT, block)
    objects.forget(PROJECT, [block])
    assert (alerts.current(), objects.of(PROJECT)) == ([], [])


async def test_a_reading_that_was_spoilt_on_its_way_is_made_again() -> None:
    block, content = make_block()
    bucket, clock = Bucket(content, spoilt=1), ManualClock()
    alerts = Alerts(clock)
    assert await BadObjects(bucket.read, alerts, clock).read(PROJECT, block) == content
    assert alerts.current() == []
