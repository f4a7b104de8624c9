"""Blocks that the bucket lost are put there again from what the office holds, and others named."""

from __future__ import annotations

import pytest
from disk_fixture import PROJECT, make_block

from lucidnode.node.blocks.fetch import Fetched
from lucidnode.node.blocks.restored_blocks import RestoredBlocks
from lucidnode.node.bucket.keys import block_key
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


async def test_blocks_that_are_absent_are_put_back_and_those_without_a_copy_are_named() -> None:
    bucket, office = Bucket(), Office()
    (there, body), (held, copy), (gone, _) = (make_block(n) for n in (1000, 1001, 1002))
    bucket.objects[block_key(PROJECT, there)] = body
    office.held = {there: body, held: copy}
    restored = RestoredBlocks(office, bucket)
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
        await RestoredBlocks(office, bucket).put_back(PROJECT, [make_block()[0]])
    assert not bucket.puts
