"""The contract of a bucket over a real S3 store."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from bucket_contract import BucketContract
from seaweed_fixture import Seaweed, running_seaweed

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.objects import ObjectBucket
from lucidnode.node.bucket.open_bucket import prepare_bucket
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.client.clock import SystemClock

_number = itertools.count()


@pytest.fixture(scope="module")
def seaweed() -> Iterator[Seaweed]:
    with running_seaweed() as server:
        asyncio.run(
            prepare_bucket(
                server.address("contract"),
                credential_source(server.owner, Network()),
                Network(),
                create=True,
            )
        )
        yield server


@pytest.fixture
def folder() -> str:
    """Return a prefix that no other test uses."""
    return f"studio/{next(_number)}"


class TestSeaweed(BucketContract):
    @pytest.fixture
    def bucket(self, seaweed: Seaweed, folder: str) -> Bucket:
        address = seaweed.address("contract", folder)
        return ObjectBucket(
            address, credential_source(seaweed.owner, Network()), Network(), SystemClock()
        )
