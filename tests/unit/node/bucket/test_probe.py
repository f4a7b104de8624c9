"""The probe against stores that cannot carry a journal: each is refused, and told why."""

from __future__ import annotations

import asyncio

import pytest
from careless_store import CarelessStore, Manner, running

from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import AlreadyThere, StoreUnfit, Unsettled
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.objects import ObjectBucket
from lucidnode.node.bucket.open_bucket import prepare_bucket
from lucidnode.node.bucket.probe import probe
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import AccessDenied, Unavailable

KEYS = Credentials("AK", "secret")


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("ignores", "ignores If-None-Match"),
        ("acts late", "not atomic"),
        ("refuses", "no create-if-absent"),
        ("inverts", "no create-if-absent"),
        ("is busy", "no create-if-absent"),
    ],
)
async def test_a_store_without_atomic_create_is_refused_with_the_reason(
    manner: Manner, reason: str
) -> None:
    store = CarelessStore(manner)
    async with running(store) as address:
        assert (
            await prepare_bucket(
                address, credential_source(KEYS, Network()), Network(), create=True
            )
            == address
        )
        with pytest.raises(StoreUnfit, match=reason) as refusal:
            await probe(
                ObjectBucket(address, credential_source(KEYS, Network()), Network(), SystemClock())
            )
    assert store.conditions > 0
    assert store.objects == {}
    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)


async def test_a_store_that_hides_absence_is_refused_as_a_matter_of_rights() -> None:
    async with running(CarelessStore("hides absence")) as address:
        with pytest.raises(AccessDenied, match="rights to get and to list"):
            await probe(
                ObjectBucket(address, credential_source(KEYS, Network()), Network(), SystemClock())
            )


class Forgetful(MemoryBucket):
    """Acknowledges what it does not keep."""

    def __init__(self) -> None:
        super().__init__()
        self._acknowledged: set[str] = set()

    async def create(self, key: str, body: bytes) -> None:
        if key in self._acknowledged:
            raise AlreadyThere("taken")
        await super().create(key, body)
        if "twice" not in key:
            self._acknowledged.add(key)
            await self.delete(key)


class Overwriting(MemoryBucket):
    """Says no to the second create, and takes its body."""

    async def create(self, key: str, body: bytes) -> None:
        try:
            await super().create(key, body)
        finally:
            self.objects[key] = body


class Sluggish(MemoryBucket):
    """Answers losers after the probe stopped listening, having taken the body of the last."""

    async def create(self, key: str, body: bytes) -> None:
        racing = key in self.objects and "twice" not in key
        if racing:
            self.objects[key] = body
            await asyncio.sleep(60)
        await super().create(key, body)


class Haunted(MemoryBucket):
    """Finds something under every name."""

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        return b"boo"


class Occupied(MemoryBucket):
    """Has an object of its own wherever one is created."""

    async def create(self, key: str, body: bytes) -> None:
        self.objects.setdefault(key, b"mine")
        await super().create(key, body)


class Garbling(MemoryBucket):
    """Keeps something else than it was given."""

    async def put(self, key: str, body: bytes) -> None:
        await super().put(key, body[::-1])


class Clinging(MemoryBucket):
    """Never deletes, and says it did."""

    async def delete(self, key: str) -> None:
        if "plain" not in key:
            await super().delete(key)


@pytest.mark.parametrize(
    ("bucket", "reason"),
    [
        (Haunted(), "nobody wrote"),
        (Occupied(), "exists which nobody wrote"),
        (Garbling(), "does not return what was written"),
        (Forgetful(), "lost an object"),
        (Overwriting(), "replace the first"),
        (Sluggish(), "another object"),
    ],
)
async def test_a_store_that_says_what_is_not_so_is_refused(
    bucket: MemoryBucket, reason: str
) -> None:
    with pytest.raises(StoreUnfit, match=reason):
        await probe(bucket)
    assert bucket.objects == {}


async def test_a_store_that_keeps_what_was_deleted_is_refused() -> None:
    with pytest.raises(StoreUnfit, match="still has an object"):
        await probe(Clinging())


async def test_a_race_that_nobody_won_proves_nothing() -> None:
    class Swamped(MemoryBucket):
        async def create(self, key: str, body: bytes) -> None:
            if "twice" not in key:
                raise Unsettled("busy")
            await super().create(key, body)

    with pytest.raises(Unavailable, match="settled none"):
        await probe(Swamped())


async def test_a_race_whose_winner_heard_nothing_is_a_race() -> None:
    class Muttering(MemoryBucket):
        async def create(self, key: str, body: bytes) -> None:
            await super().create(key, body)
            raise Unsettled("answer lost")

    await probe(Muttering())
