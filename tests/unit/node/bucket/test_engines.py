"""The contract of a bucket over the engines that need no server, and over the whole stack."""

from __future__ import annotations

from pathlib import Path

import pytest
from bucket_contract import BucketContract

from lucidnode.node.bucket.address import DirectoryAddress
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.directory import DirectoryBucket, prepare_directory
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.open_bucket import open_bucket, prepare_bucket
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.client.clock import SystemClock


class TestMemory(BucketContract):
    @pytest.fixture
    def bucket(self) -> Bucket:
        return MemoryBucket()


class TestDirectory(BucketContract):
    @pytest.fixture
    async def bucket(self, tmp_path: Path) -> Bucket:
        address = DirectoryAddress(tmp_path / "bucket")
        await prepare_directory(address, create=True)
        return DirectoryBucket(address)


class TestStack(BucketContract):
    @pytest.fixture
    async def bucket(self, tmp_path: Path) -> Bucket:
        address = DirectoryAddress(tmp_path / "bucket")
        assert (
            await prepare_bucket(
                address, credential_source(None, Network()), Network(), create=True
            )
            == address
        )
        return open_bucket(
            address,
            credential_source(None, Network()),
            Network(),
            SystemClock(),
            lambda: 0.5,
            lambda request: None,
        )
