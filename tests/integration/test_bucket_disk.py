"""A bucket in a directory on a disk of its own: what happens when that is full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lucidnode.node.bucket.address import DirectoryAddress
from lucidnode.node.bucket.directory import DirectoryBucket, prepare_directory
from lucidnode.node.bucket.errors import Unsettled
from lucidnode.node.bucket.probe import probe
from lucidnode.node.client.errors import NotThere, Unavailable

SMALL = 256 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    options = f"size={SMALL}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


async def test_a_full_disk_is_unavailable_keeps_what_it_has_and_no_halves(small_disk: Path) -> None:
    address = DirectoryAddress(small_disk / "bucket")
    await prepare_directory(address, create=True)
    bucket = DirectoryBucket(address)
    await probe(bucket)
    await bucket.put("p/1/kept", bytes(SMALL // 2))
    with pytest.raises(Unavailable, match="full"):
        await bucket.put("p/1/too-much", bytes(SMALL))
    with pytest.raises(Unsettled, match="full"):
        await bucket.create("p/1/too-much", bytes(SMALL))
    with pytest.raises(NotThere):
        await bucket.get("p/1/too-much")
    assert await bucket.get("p/1/kept") == bytes(SMALL // 2)
    await bucket.put("p/1/fits", bytes(SMALL // 4))  # the halves gave their room back
