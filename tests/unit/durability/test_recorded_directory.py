"""The recording disk without a mount: it records what the one with a mount does, and misses nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3
from disk_record import ROOT, Step
from recorded_directory import RecordedDirectory, recorded_directory
from recording_disk import RecordingDisk, outcomes

from lucidnode.node.client.errors import DiskFull
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.staging import make_durable, stage, stage_soon, staged_path, unstage

PROJECT = ProjectId("ab" * 16)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RecordedDirectory]:
    with recorded_directory(tmp_path / "disk") as directory:
        yield directory


def work(path: Path) -> None:
    """Do what is done to staging and cache."""
    staging, cache = path / "staging", path / "blocks" / "aa"
    staging.mkdir()
    contents = [bytes([number]) * (40_000 + number) for number in range(5)]
    soon, durable, gone, cached, linked = blocks = [
        BlockId(blake3(content).digest()) for content in contents
    ]
    stage(staging, PROJECT, durable, contents[1])
    for block in (soon, gone, cached, linked):
        stage_soon(staging, PROJECT, block, contents[blocks.index(block)])
    make_durable(staging, PROJECT, [gone, cached])
    unstage(staging, PROJECT, [gone])
    cache.mkdir(parents=True)
    staged_path(staging, PROJECT, cached).rename(cache / cached.hex())
    for content in (b"fetched", b"fetched again"):
        (cache / "fetched").write_bytes(content)
    (cache / "fetched").chmod(0o500)
    (cache / "linked").hardlink_to(staged_path(staging, PROJECT, linked))


def as_told(steps: list[Step]) -> list[object]:
    """Return *steps* with numbers in the order in which they come, and without names made by chance."""
    numbers = {ROOT: ROOT}
    told: list[object] = []
    for step in steps:
        fields = msgspec.structs.asdict(step)
        for name, value in fields.items():
            if name in {"ino", "parent", "to_parent"}:
                fields[name] = numbers.setdefault(value, len(numbers) + 1)
            elif name in {"name", "to_name"} and value.startswith(b"."):
                fields[name] = b".scratch"
        told.append((type(step).__name__, fields))
    return told


def test_without_a_mount_the_same_is_recorded(
    disk: RecordingDisk, directory: RecordedDirectory
) -> None:
    for each in (disk, directory):
        work(each.path)
        each.mark("done")
    assert as_told(directory.up_to("done").steps) == as_told(disk.up_to("done").steps)


def test_what_a_power_cut_leaves_is_gone_on_from(directory: RecordedDirectory) -> None:
    work(directory.path)
    directory.mark("cut")
    for tree in outcomes(directory.up_to("cut"), 1):
        directory.lay_down(tree)
        (directory.path / "more").write_bytes(b"more")
        directory.mark("again")
        for left in outcomes(directory.up_to("again"), 1):
            names = left.inodes[ROOT].names.keys()
            assert tree.inodes[ROOT].names.keys() <= names <= {b"staging", b"blocks", b"more"}


def test_what_the_record_misses_is_noticed(directory: RecordedDirectory) -> None:
    with (directory.path / "file").open("wb") as file:
        file.write(b"past all that is recorded")
    directory.mark("now")
    with pytest.raises(AssertionError, match="the names in"):
        directory.up_to("now")


def test_bytes_that_the_record_misses_are_noticed(directory: RecordedDirectory) -> None:
    (directory.path / "file").write_bytes(b"recorded")
    os.truncate(directory.path / "file", 3)
    directory.mark("now")
    with pytest.raises(AssertionError, match="the bytes of"):
        directory.up_to("now")


def test_a_full_disk_takes_nothing(directory: RecordedDirectory) -> None:
    block = BlockId(blake3(b"block").digest())
    (directory.path / "staging").mkdir()
    directory.be_full(True)
    with pytest.raises(DiskFull):
        stage(directory.path / "staging", PROJECT, block, b"block")
    with pytest.raises(OSError, match="No space") as caught:
        (directory.path / "file").write_bytes(b"bytes")
    assert caught.value.errno == errno.ENOSPC
    directory.be_full(False)
    stage(directory.path / "staging", PROJECT, block, b"block")
    directory.mark("now")
    assert directory.up_to("now").steps
