"""The contract of a bucket, and the main job, over Ceph. Run by `scripts/acceptance ceph`, not by the suite."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bucket_contract import BucketContract
from cli_fixture import until
from lab.ceph import running_ceph
from lab.tree import Tree, tree
from seats_fixture import two_seats
from seaweed_fixture import Seaweed

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.objects import ObjectBucket
from lucidnode.node.bucket.open_bucket import prepare_bucket
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.client.clock import SystemClock

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

_number = itertools.count()
_PATIENCE_S = 180.0


@pytest.fixture(scope="module")
def ceph() -> Iterator[Seaweed]:
    """Have Ceph where the other tests have SeaweedFS."""
    with running_ceph() as gateway:
        keys = Credentials(gateway.access_key, gateway.secret_key)
        store = Seaweed(gateway.endpoint, keys, keys)
        for bucket in ("contract", "studio"):
            asyncio.run(
                prepare_bucket(
                    store.address(bucket),
                    credential_source(keys, Network()),
                    Network(),
                    create=True,
                )
            )
        yield store


class TestCeph(BucketContract):
    @pytest.fixture
    def bucket(self, ceph: Seaweed) -> Bucket:
        address = ceph.address("contract", f"studio/{next(_number)}")
        return ObjectBucket(
            address, credential_source(ceph.owner, Network()), Network(), SystemClock()
        )


def test_a_studio_works_on_it_and_an_empty_cache_shows_the_same(
    ceph: Seaweed, tmp_path: Path
) -> None:
    with two_seats(tmp_path, ceph, "main") as (here, there):
        for number in range(100):
            folder = here.drive / f"reel {number % 5}"
            folder.mkdir(exist_ok=True)
            (folder / f"shot {number}").write_bytes(os.urandom(number * 3_000))
        (here.drive / "film").write_bytes(os.urandom(20_000_000))
        written = tree(here.drive)
        until(lambda: _shown(there.drive) == written, _PATIENCE_S)
        (there.drive / "reel 1" / "note").write_text("from the other")
        (there.drive / "film").rename(there.drive / "reel 2" / "film")
        changed = tree(there.drive)
        until(lambda: _shown(here.drive) == changed, _PATIENCE_S)
        there.station.ok("umount", there.drive)
        there.station.ok("cache", "clear")
        there.station.unlocked("mount", "demo", there.drive)
        assert tree(there.drive) == changed
        assert there.alerts() == []


def _shown(root: Path) -> Tree | None:
    try:
        return tree(root)
    except OSError:  # it changes still
        return None
