"""Blocks that the bucket lost are put there again from what the office holds, and others named."""

from __future__ import annotations

import pytest
from disk_fixture import PROJECT, ManualClock, make_block

from lucidnode.node.blocks.fetch import Fetched
from lucidnode.node.blocks.restored_blocks import RestoredBlocks
from lucidnode.node.bucket.keys import block_key
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import NotThere, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId


class Bucket:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts: list[str] = []

    async def put(self, key: str, body: bytes) -> None:
        self.puts.append(key)
        self.objects[key] = body

    async def size(self, key: str) -> int | None:
        return len(self.objects[key]) if key in self.objects else None


class Objects:
    """Knows what is *bad*, and looks by comparing with what is right."""

    def __init__(self, bucket: Bucket, right: dict[BlockId, bytes]) -> None:
        self.bucket = bucket
        self.right = right
        self.bad: set[BlockId] = set()
        self.looks = 0

    def knows(self, project: ProjectId, block: BlockId) -> bool:
        return block in self.bad

    async def is_well(self, project: ProjectId, block: BlockId) -> bool:
        self.looks += 1
        well = self.bucket.objects.get(block_key(project, block)) == self.right[block]
        if well:
            self.bad.discard(block)
        return well


class Office:
    """What the caches of an office hold; *is_away* as when neither it nor the bucket answers."""

    def __init__(self) -> None:
        self.held: dict[BlockId, bytes] = {}
        self.asked: list[BlockId] = []
        self.is_away = False

    async def fetch(self, project: ProjectId, block: BlockId) -> Fetched:
        self.asked.append(block)
        if self.is_away:
            raise Unavailable("nobody answers")
        if block not in self.held:
            raise NotThere("nobody has it")
        return Fetched("cache", self.held[block], kept=True)

    async def copy(self, project: ProjectId, block: BlockId) -> bytes | None:
        self.asked.append(block)
        return self.held.get(block)


class Scene:
    def __init__(self) -> None:
        self.bucket, self.office = Bucket(), Office()
        self.right: dict[BlockId, bytes] = {}
        self.objects = Objects(self.bucket, self.right)
        self.alerts = Alerts(ManualClock())
        self.restored = RestoredBlocks(self.office, self.bucket, self.objects, self.alerts)

    def block(self, there: bytes | None) -> BlockId:
        """Return a block of which the bucket is known to have *there*, or nothing."""
        block, content = make_block()
        self.right[block] = content
        self.objects.bad.add(block)
        if there is not None:
            self.bucket.objects[block_key(PROJECT, block)] = there
        return block

    def there(self, block: BlockId) -> bytes | None:
        return self.bucket.objects.get(block_key(PROJECT, block))


@pytest.mark.parametrize("there", [None, b"damaged", b""])
async def test_what_is_known_to_be_bad_is_replaced_by_what_the_office_has_and_told_once(
    there: bytes | None, expected_warnings: list[str]
) -> None:
    expected_warnings.append("has put back")
    scene = Scene()
    blocks = [scene.block(there) for _ in range(3)]
    scene.office.held = {block: scene.right[block] for block in blocks[:2]}
    answer = await scene.restored.put_back(PROJECT, blocks)
    assert (answer.put, answer.missing) == (blocks[:2], blocks[2:])
    assert [scene.there(block) for block in blocks] == [*map(scene.right.get, blocks[:2]), there]
    assert scene.objects.bad == {blocks[2]}
    assert [alert.count for alert in scene.alerts.current()] == [2]


async def test_what_another_workstation_has_put_back_is_not_written_again() -> None:
    scene = Scene()
    block = scene.block(b"damaged")
    scene.office.held = {block: scene.right[block]}
    scene.bucket.objects[block_key(PROJECT, block)] = scene.right[block]
    answer = await scene.restored.put_back(PROJECT, [block])
    assert (answer.put, answer.missing, scene.bucket.puts) == ([], [], [])
    assert scene.alerts.current() == []
    assert not scene.objects.bad


async def test_what_the_bucket_does_not_keep_as_it_was_put_there_is_not_told_as_put_back() -> None:
    scene = Scene()
    block = scene.block(None)
    scene.office.held = {block: b"the office verifies; the bucket keeps other bytes"}
    answer = await scene.restored.put_back(PROJECT, [block])
    assert (answer.put, answer.missing) == ([], [block])
    assert scene.alerts.current() == []


async def test_blocks_that_are_absent_are_put_back_and_those_without_a_copy_are_named() -> None:
    bucket, office = Bucket(), Office()
    (there, body), (held, copy), (gone, _) = (make_block(n) for n in (1000, 1001, 1002))
    bucket.objects[block_key(PROJECT, there)] = body
    office.held = {there: body, held: copy}
    restored = RestoredBlocks(office, bucket, Objects(bucket, {}), Alerts(ManualClock()))
    answer = await restored.put_back(PROJECT, [there, held, gone])
    assert (answer.put, answer.missing) == ([held], [gone])
    assert bucket.objects[block_key(PROJECT, held)] == copy
    assert there not in office.asked, "one question is all that a block costs that is there"
    again = await restored.put_back(PROJECT, [there, held])
    assert (again.put, again.missing) == ([], [])
    assert bucket.puts == [block_key(PROJECT, held)]


async def test_nothing_counts_as_gone_while_nobody_answers() -> None:
    bucket, office = Bucket(), Office()
    office.is_away = True
    with pytest.raises(Unavailable):
        await RestoredBlocks(office, bucket, Objects(bucket, {}), Alerts(ManualClock())).put_back(
            PROJECT, [make_block()[0]]
        )
    assert not bucket.puts


async def test_who_says_that_something_is_amiss_has_it_read_and_replaced(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("has put back")
    scene = Scene()
    damaged, well = scene.block(b"damaged"), scene.block(None)
    scene.bucket.objects[block_key(PROJECT, well)] = scene.right[well]
    scene.objects.bad.clear()  # nobody has read them yet
    scene.office.held = {damaged: scene.right[damaged]}
    unread = await scene.restored.put_back(PROJECT, [damaged])
    assert (unread.put, unread.missing) == ([], []), "it is there, and that is all that was asked"
    answer = await scene.restored.put_back(PROJECT, [damaged, well], look=True)
    assert (answer.put, answer.missing) == ([damaged], [])
    assert scene.there(damaged) == scene.right[damaged]
