"""A damaged object in the bucket: named, and downloaded seldom; a reading spoilt on its way: no matter."""

from __future__ import annotations

import pytest
from disk_fixture import PROJECT, ManualClock, make_block

from lucidnode.node.blocks.damaged_objects import DamagedObjects
from lucidnode.node.bucket.keys import block_key
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import Corrupt
from lucidnode.node.client.ids import BlockId, ProjectId


class Bucket:
    """Holds one object, and spoils the next *spoilt* readings of it."""

    def __init__(self, content: bytes, spoilt: int) -> None:
        self.content = content
        self.spoilt = spoilt
        self.reads = 0

    async def read(self, project: ProjectId, block: BlockId) -> bytes:
        self.reads += 1
        self.spoilt -= 1
        return b"\0" * len(self.content) if self.spoilt >= 0 else self.content


async def test_a_damaged_object_is_named_and_not_read_by_each_who_asks(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("is damaged")
    block, content = make_block()
    bucket, clock = Bucket(content, spoilt=1 << 30), ManualClock()
    alerts = Alerts(clock)
    objects = DamagedObjects(bucket.read, alerts, clock)
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


async def test_a_reading_that_was_spoilt_on_its_way_is_made_again() -> None:
    block, content = make_block()
    bucket, clock = Bucket(content, spoilt=1), ManualClock()
    alerts = Alerts(clock)
    assert await DamagedObjects(bucket.read, alerts, clock).read(PROJECT, block) == content
    assert alerts.current() == []
