"""What every bucket promises, run over each engine and each decorator."""

from __future__ import annotations

import asyncio
import secrets

import pytest
from blake3 import blake3

from lucidnode.node.bucket.bucket import MAX_OBJECT_BYTES, Bucket, Listed
from lucidnode.node.bucket.errors import AlreadyThere, Oversize
from lucidnode.node.bucket.fingerprint import (
    START,
    Fingerprint,
    fingerprint,
    fingerprint_of,
    oversize_fingerprint,
)
from lucidnode.node.bucket.probe import FOLDER, probe
from lucidnode.node.client.errors import Corrupt, NotThere

BLOCK = f"p/{'0f' * 16}/block/ab/{'ab' * 32}"
KEY = "p/0123/journal/0000000000000001"


class BucketContract:
    """Subclass it with a fixture `bucket` that gives an empty one."""

    async def test_what_is_put_is_got(self, bucket: Bucket) -> None:
        body = secrets.token_bytes(100_000)
        await bucket.put(KEY, body)
        assert await bucket.get(KEY) == body
        assert await bucket.size(KEY) == len(body)

    async def test_what_nobody_put_is_not_there(self, bucket: Bucket) -> None:
        with pytest.raises(NotThere):
            await bucket.get(KEY)
        with pytest.raises(NotThere):
            await bucket.get(KEY, (0, 10))
        assert await bucket.size(KEY) is None

    async def test_an_empty_object_is_there(self, bucket: Bucket) -> None:
        await bucket.put(KEY, b"")
        assert await bucket.get(KEY) == b""
        assert await bucket.size(KEY) == 0

    async def test_putting_the_same_again_is_harmless(self, bucket: Bucket) -> None:
        await bucket.put(KEY, b"same")
        await bucket.put(KEY, b"same")
        assert await bucket.get(KEY) == b"same"

    @pytest.mark.parametrize("span", [(0, 1), (3, 7), (0, 10), (9, 10)])
    async def test_a_span_is_exactly_its_bytes(self, bucket: Bucket, span: tuple[int, int]) -> None:
        await bucket.put(KEY, b"0123456789")
        assert await bucket.get(KEY, span) == b"0123456789"[slice(*span)]

    @pytest.mark.parametrize("span", [(0, 11), (9, 12), (10, 11), (50, 60)])
    async def test_a_span_past_the_end_is_an_error_and_never_short(
        self, bucket: Bucket, span: tuple[int, int]
    ) -> None:
        await bucket.put(KEY, b"0123456789")
        with pytest.raises(Corrupt):
            await bucket.get(KEY, span)

    async def test_a_large_object_comes_back_whole(self, bucket: Bucket) -> None:
        body = secrets.token_bytes(MAX_OBJECT_BYTES)
        await bucket.put(KEY, body)
        assert await bucket.get(KEY) == body

    async def test_a_block_comes_whole_and_hashed(self, bucket: Bucket) -> None:
        for size in (0, 1, 100_000, MAX_OBJECT_BYTES):
            body = secrets.token_bytes(size)
            await bucket.put(BLOCK, body)
            assert await bucket.block(BLOCK) == (body, blake3(body).digest())
        await bucket.put(BLOCK, bytes(MAX_OBJECT_BYTES + 1))
        with pytest.raises(Oversize):
            await bucket.block(BLOCK)
        await bucket.delete(BLOCK)
        with pytest.raises(NotThere):
            await bucket.block(BLOCK)

    async def test_nobody_is_made_to_read_more_than_an_object_may_hold(
        self, bucket: Bucket
    ) -> None:
        await bucket.put(KEY, bytes(MAX_OBJECT_BYTES + 1))
        with pytest.raises(Oversize) as over:
            await bucket.get(KEY)
        assert over.value.size == MAX_OBJECT_BYTES + 1
        assert await bucket.get(KEY, (MAX_OBJECT_BYTES, MAX_OBJECT_BYTES + 1)) == b"\0"

    async def test_a_fingerprint_is_the_hash_of_an_object_of_ours(self, bucket: Bucket) -> None:
        for body in (b"", b"entry", bytes(range(256)) * (MAX_OBJECT_BYTES // 256)):
            await bucket.put(KEY, body)
            assert await fingerprint(bucket, KEY) == fingerprint_of(body)
            assert fingerprint_of(body) == Fingerprint(len(body), blake3(body).digest())
        await bucket.delete(KEY)
        with pytest.raises(NotThere):
            await fingerprint(bucket, KEY)

    async def test_an_oversize_object_has_a_fingerprint_of_its_size_and_start(
        self, bucket: Bucket
    ) -> None:
        body = b"start" + bytes(MAX_OBJECT_BYTES)
        await bucket.put(KEY, body)
        assert await fingerprint(bucket, KEY) == oversize_fingerprint(len(body), body[:START])

    async def test_a_name_is_created_once(self, bucket: Bucket) -> None:
        await bucket.create(KEY, b"first")
        with pytest.raises(AlreadyThere):
            await bucket.create(KEY, b"second")
        with pytest.raises(AlreadyThere):
            await bucket.create(KEY, b"first")
        assert await bucket.get(KEY) == b"first"

    async def test_a_large_body_is_created_in_one_piece(self, bucket: Bucket) -> None:
        body = secrets.token_bytes(6 * 1024 * 1024)
        await bucket.create(KEY, body)
        with pytest.raises(AlreadyThere):
            await bucket.create(KEY, bytes(len(body)))
        assert await bucket.get(KEY) == body

    async def test_of_many_creates_at_once_one_wins(self, bucket: Bucket) -> None:
        bodies = [secrets.token_bytes(5000) for _ in range(3)]
        winners: list[bytes] = []

        async def race(body: bytes) -> None:
            try:
                await bucket.create(KEY, body)
            except AlreadyThere:
                # Whoever lost can read what won, whole and at once.
                assert await bucket.get(KEY) in bodies
            else:
                winners.append(body)

        async with asyncio.TaskGroup() as racers:
            for body in bodies:
                racers.create_task(race(body))
        assert winners == [await bucket.get(KEY)]

    async def test_deleting_removes_and_may_be_repeated(self, bucket: Bucket) -> None:
        await bucket.put(KEY, b"gone")
        await bucket.delete(KEY)
        await bucket.delete(KEY)
        with pytest.raises(NotThere):
            await bucket.get(KEY)

    async def test_a_listing_holds_its_folder_in_key_order(self, bucket: Bucket) -> None:
        keys = ["studio", "f/b/3", "f/a/2", "f/c", "f/a/1", "f2/a", "ff/a"]
        for size, key in enumerate(keys):
            await bucket.put(key, bytes(size))
        everything = [Listed(key, size) for size, key in enumerate(keys)]
        assert await bucket.list("") == sorted(everything)
        assert await bucket.list("f") == sorted(e for e in everything if e.key.startswith("f/"))
        assert await bucket.list("f/a") == [Listed("f/a/1", 4), Listed("f/a/2", 2)]
        assert await bucket.list("nothing") == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 1000])
    async def test_a_listing_goes_on_from_its_own_last_key(
        self, bucket: Bucket, limit: int
    ) -> None:
        keys = ["f/a/1", "f/a/2", "f/b/c/d", "f/c", "f/d", "g"]
        for key in keys:
            await bucket.put(key, b"")
        found: list[str] = []
        while page := await bucket.list("f", after=found[-1] if found else None, limit=limit):
            assert len(page) <= limit
            found += [listed.key for listed in page]
        assert found == keys[:-1]

    async def test_it_can_carry_a_journal(self, bucket: Bucket) -> None:
        await probe(bucket)
        assert await bucket.list(FOLDER) == []
