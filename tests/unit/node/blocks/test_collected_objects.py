"""What a collection is told of the bucket, and what it deletes there."""

from __future__ import annotations

import pytest

from lucidnode.node.blocks.collected_objects import CollectedObjects
from lucidnode.node.bucket.keys import block_key, journal_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.cache.staging import Staged
from lucidnode.node.client.errors import AccessDenied, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId, Seq

PROJECT = ProjectId("ab" * 16)
IDS = [BlockId(bytes([number]) * 32) for number in range(5)]


class _Staging:
    def __init__(self) -> None:
        self.blocks: dict[BlockId, Staged] = {}

    def held(self, project: ProjectId) -> dict[BlockId, Staged]:
        return self.blocks


class _Locked(MemoryBucket):
    """Refuses to delete what is *locked*; *away*, it answers nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.locked: set[str] = set()
        self.away = False

    async def delete(self, key: str) -> None:
        if self.away:
            raise Unavailable("no route")
        if key in self.locked:
            raise AccessDenied("it is locked")
        await super().delete(key)


@pytest.fixture
def bucket() -> _Locked:
    bucket = _Locked()
    for block in IDS:
        bucket.objects[block_key(PROJECT, block)] = b"x" * (block[0] + 1)
    bucket.objects[f"p/{PROJECT}/block/00/no-block"] = b"somebody's"
    bucket.objects[journal_key(PROJECT, Seq(1))] = b"an entry"
    return bucket


async def test_it_lists_the_blocks_of_the_project_with_their_sizes(bucket: _Locked) -> None:
    objects = CollectedObjects(bucket, _Staging(), lambda: 7.0)
    page = await objects.page(PROJECT, None)
    assert page.ids == list(map(bytes, IDS))
    assert page.sizes == [1, 2, 3, 4, 5]
    assert page.is_last
    assert page.skew_s == 7.0
    assert (await objects.page(PROJECT, IDS[2])).ids == [bytes(IDS[3]), bytes(IDS[4])]


async def test_what_is_to_be_uploaded_here_or_is_locked_stays_and_the_rest_goes(
    bucket: _Locked,
) -> None:
    staging = _Staging()
    staging.blocks = {IDS[0]: Staged(1, 0)}
    bucket.locked = {block_key(PROJECT, IDS[1])}
    answer = await CollectedObjects(bucket, staging, lambda: None).delete(PROJECT, IDS[:3])
    assert answer.deleted == [bytes(IDS[2])]
    assert answer.refused == [bytes(IDS[1])]
    assert answer.why == "it is locked"
    left = {block for block in IDS if block_key(PROJECT, block) in bucket.objects}
    assert left == {IDS[0], IDS[1], IDS[3], IDS[4]}


async def test_a_store_that_does_not_answer_is_no_refusal(bucket: _Locked) -> None:
    bucket.away = True
    with pytest.raises(Unavailable):
        await CollectedObjects(bucket, _Staging(), lambda: None).delete(PROJECT, IDS)
