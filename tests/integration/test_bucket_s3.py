"""The contract of a bucket over a real S3 store."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from bucket_contract import BucketContract
from seaweed_fixture import Seaweed, running_seaweed

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import AlreadyThere
from lucidnode.node.bucket.keys import invitation_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.objects import ObjectBucket
from lucidnode.node.bucket.open_bucket import prepare_bucket
from lucidnode.node.bucket.presigned import create_at, presigned_pair, read_at
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import AccessDenied, Malformed, NotThere, Unavailable

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


@dataclasses.dataclass
class Back:
    """A clock that is behind by *seconds*."""

    seconds: float = 0.0

    def boot(self) -> float:
        return 0.0

    def wall_ns(self) -> int:
        return SystemClock().wall_ns() - int(self.seconds * 1e9)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError


async def test_a_presigned_pair_creates_one_object_reads_another_and_ends_in_the_store(
    seaweed: Seaweed, folder: str
) -> None:
    address, network = seaweed.address("contract", folder), Network()
    credentials = credential_source(seaweed.owner, network)
    keys = (f"{invitation_key('0' * 32, 'request')}", f"{invitation_key('0' * 32, 'answer')}")
    create, read = await presigned_pair(address, credentials, network, Back(), keys, 3600)
    with pytest.raises(NotThere):
        await read_at(read, 100, network)
    await create_at(create, b"let me in", network)
    with pytest.raises(AlreadyThere):
        await create_at(create, b"and me", network)
    bucket = ObjectBucket(address, credentials, network, SystemClock())
    assert await bucket.get(keys[0]) == b"let me in"
    await bucket.put(keys[1], b"yes")
    assert await read_at(read, 100, network) == b"yes"
    with pytest.raises(Unavailable, match="too large"):
        await read_at(read, 2, network)
    # Neither is good for anything else: another object, another verb, or what was there before.
    for url in (read.replace("answer", "request"), create):
        with pytest.raises(AccessDenied):
            await read_at(url, 100, network)
    for url in (create.replace("request", "offer"), read):
        with pytest.raises(AccessDenied):
            await create_at(url, b"x", network)
    late = await presigned_pair(address, credentials, network, Back(7200), keys, 3600)
    with pytest.raises(AccessDenied):
        await read_at(late.read, 100, network)
    with pytest.raises(AccessDenied):
        await create_at(late.create, b"x", network)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd?a", "https://", "ftp://a/b?c", "http://a:99999/?b", "http://u:p@a/?b", ""],
)
async def test_a_ticket_leads_nowhere_but_to_a_store(url: str) -> None:
    with pytest.raises(Malformed):
        await read_at(url, 100, Network())


class TestSeaweed(BucketContract):
    @pytest.fixture
    def bucket(self, seaweed: Seaweed, folder: str) -> Bucket:
        address = seaweed.address("contract", folder)
        return ObjectBucket(
            address, credential_source(seaweed.owner, Network()), Network(), SystemClock()
        )


@pytest.fixture(scope="module")
def guarded(seaweed: Seaweed) -> Any:
    """Return S3 as an administrator has it, who made a bucket whose objects nobody deletes for a day."""
    s3: Any = boto3.client(
        "s3",
        endpoint_url=seaweed.endpoint,
        region_name="us-east-1",
        aws_access_key_id=seaweed.owner.access_key,
        aws_secret_access_key=seaweed.owner.secret_key,
    )
    s3.create_bucket(Bucket="guarded", ObjectLockEnabledForBucket=True)
    lock = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    s3.put_object_lock_configuration(
        Bucket="guarded", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": lock}
    )
    assert s3.get_bucket_versioning(Bucket="guarded")["Status"] == "Enabled"
    return s3


class TestVersionsAndObjectLock(BucketContract):
    @pytest.fixture
    def bucket(self, seaweed: Seaweed, folder: str, guarded: Any) -> Bucket:
        credentials = credential_source(seaweed.owner, Network())
        return ObjectBucket(
            seaweed.address("guarded", folder), credentials, Network(), SystemClock()
        )

    async def test_what_is_deleted_is_hidden_and_its_version_stays(
        self, bucket: Bucket, folder: str, guarded: Any
    ) -> None:
        await bucket.create("p/x/block/aa/1", b"content")
        await bucket.delete("p/x/block/aa/1")
        with pytest.raises(NotThere):
            await bucket.get("p/x/block/aa/1")
        assert await bucket.list("p", None, 10) == []
        assert await asyncio.to_thread(_hidden, guarded, folder) == b"content"


def _hidden(s3: Any, prefix: str) -> bytes:
    """Return the one version below *prefix*, which a marker hides and nobody may delete."""
    there = s3.list_object_versions(Bucket="guarded", Prefix=prefix)
    [version] = there["Versions"]
    [marker] = there["DeleteMarkers"]
    assert marker["IsLatest"]
    which = {"Bucket": "guarded", "Key": version["Key"], "VersionId": version["VersionId"]}
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(**which)
    return bytes(s3.get_object(**which)["Body"].read())
