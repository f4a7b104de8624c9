"""Where a journal ends is read off the names in the bucket, in few requests, and no planted name moves it."""

from __future__ import annotations

import pytest

from lucidnode.node.bucket.bucket import Listed
from lucidnode.node.bucket.keys import journal_key, journal_prefix
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.journal.journal_end import journal_end

PROJECT = ProjectId("ab" * 16)


class Shelf(MemoryBucket):
    def __init__(self) -> None:
        super().__init__()
        self.lists = 0

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        self.lists += 1
        return await super().list(prefix, after, limit)


async def _with(*seqs: int) -> Shelf:
    shelf = Shelf()
    for seq in seqs:
        await shelf.create(journal_key(PROJECT, Seq(seq)), b"entry")
    return shelf


@pytest.mark.parametrize(("known", "lists"), [(0, 3), (1400, 2), (2100, 1), (2500, 1)])
async def test_the_newest_entry_is_found_with_a_request_for_each_thousand(
    known: int, lists: int
) -> None:
    shelf = await _with(*range(1, 2501))
    assert await journal_end(shelf, PROJECT, Seq(known)) == 2500
    assert shelf.lists == lists


async def test_a_name_that_was_put_far_behind_is_not_the_end() -> None:
    shelf = await _with(1, 2, 3, 900)
    await shelf.create(f"{journal_prefix(PROJECT)}/notes", b"of somebody")
    assert await journal_end(shelf, PROJECT, Seq(1)) == 3
    assert await journal_end(shelf, PROJECT, Seq(5)) == 5
