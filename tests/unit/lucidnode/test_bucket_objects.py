"""What a check asks of a bucket itself."""

from __future__ import annotations

from lucidnode.bucket_objects import BucketObjects
from lucidnode.node.bucket.bucket import Listed
from lucidnode.node.bucket.keys import block_key, checkpoint_key, journal_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.ids import BlockId, ProjectId, Seq

PROJECT = ProjectId("ab" * 16)


class Store(MemoryBucket):
    """Counts how often it is listed."""

    def __init__(self) -> None:
        super().__init__()
        self.lists = 0

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        self.lists += 1
        return await super().list(prefix, after, limit)


async def test_what_lies_in_none_of_a_projects_folders_is_found_past_all_that_does() -> None:
    store = Store()
    for number in range(1, 50):
        await store.put(journal_key(PROJECT, Seq(number)), b"")
        await store.put(checkpoint_key(PROJECT, Seq(number)), b"")
        await store.put(block_key(PROJECT, BlockId(bytes([number]) * 32)), b"")
    foreign = ["blocks/00", "journal-old", "notes.txt", "what/is/this"]
    for name in foreign:
        await store.put(f"p/{PROJECT}/{name}", b"")
    # In a folder of ours it is the check of that folder that names it.
    await store.put(f"p/{PROJECT}/block/zz/foreign", b"")
    await store.put(f"p/{PROJECT}/block/{'z' * 40}", b"")
    await store.put(f"p/{'cd' * 16}/notes.txt", b"")
    found = [name async for name in BucketObjects(store, PROJECT).elsewhere()]
    assert sorted(found) == foreign
    assert store.lists <= len(foreign) + 5
