"""The contract of a bucket over a real S3 store."""

from __future__ import annotations

import itertools

import pytest
from bucket_contract import BucketContract
from seaweed_fixture import Seaweed

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.objects import ObjectBucket
from lucidnode.node.bucket.session import CredentialProvider
from lucidnode.node.bucket.stack import prepare_bucket

_number = itertools.count()


@pytest.fixture
def folder() -> str:
    """A prefix no other test uses."""
    return f"studio/{next(_number)}"


class TestSeaweed(BucketContract):
    @pytest.fixture
    async def bucket(self, seaweed: Seaweed, folder: str) -> Bucket:
        address = seaweed.address("contract", folder)
        await prepare_bucket(address, seaweed.owner, create=True)
        return ObjectBucket(address, CredentialProvider(seaweed.owner))
