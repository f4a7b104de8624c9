"""The recording disk itself: it loses what no sync has reached, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from disk_record import Disk, Tree
from recording_disk import (
    RecordingDisk,
    bytes_only,
    everything,
    names_only,
    nothing_loose,
    outcomes,
    some,
)


def found(tree: Tree) -> dict[str, bytes]:
    """Return the files in the highest directory."""
    names = tree.inodes[1].names
    return {os.fsdecode(name): bytes(tree.inodes[ino].data) for name, ino in names.items()}


def written(path: Path, content: bytes, *, sync: bool) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(content)
        if sync:
            os.fsync(file.fileno())


def sync_names(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(directory)
    os.close(directory)


def now(disk: RecordingDisk) -> Disk:
    disk.mark("now")
    return disk.up_to("now")


def test_bytes_and_names_need_a_sync_each(disk: RecordingDisk) -> None:
    written(disk.path / "synced", b"content", sync=True)
    written(disk.path / "loose", b"content", sync=False)
    before = now(disk)
    assert found(before.after_power_cut(nothing_loose)) == {}
    assert found(before.after_power_cut(names_only)) == {"synced": b"content", "loose": b""}
    assert found(before.after_power_cut(bytes_only)) == {}
    sync_names(disk.path)
    assert found(now(disk).after_power_cut(nothing_loose)) == {"synced": b"content", "loose": b""}
    assert found(now(disk).after_power_cut(everything)) == dict.fromkeys(
        ("synced", "loose"), b"content"
    )


def test_a_rename_holds_once_its_directory_is_synced(disk: RecordingDisk) -> None:
    written(disk.path / "a", b"old", sync=True)
    sync_names(disk.path)
    written(disk.path / "b", b"new", sync=True)
    (disk.path / "b").rename(disk.path / "a")
    trees = [found(now(disk).after_power_cut(some(seed))) for seed in range(40)]
    assert {tree["a"] for tree in trees} == {b"old", b"new"}
    sync_names(disk.path)
    assert found(now(disk).after_power_cut(nothing_loose)) == {"a": b"new"}


def test_a_write_can_be_torn(disk: RecordingDisk) -> None:
    written(disk.path / "a", b"x" * 4096, sync=False)
    sync_names(disk.path)
    sizes = {found(now(disk).after_power_cut(some(seed)))["a"].count(b"x") for seed in range(40)}
    assert {0, 4096} < sizes
    assert all(size % 512 == 0 for size in sizes)


def test_a_failed_sync_says_so_once_and_its_bytes_never_come(disk: RecordingDisk) -> None:
    with (disk.path / "a").open("wb", buffering=0) as file:
        file.write(b"lost")
        disk.fail_next_sync()
        with pytest.raises(OSError, match="Input/output"):
            os.fsync(file.fileno())
        os.fsync(file.fileno())
        file.write(b"kept")
        os.fsync(file.fileno())
    sync_names(disk.path)
    assert found(now(disk).after_power_cut(everything)) == {"a": bytes(4) + b"kept"}
    assert (disk.path / "a").read_bytes() == b"lostkept"


def test_fdatasync_leaves_the_mode_loose(disk: RecordingDisk) -> None:
    with (disk.path / "a").open("wb", buffering=0) as file:
        os.fchmod(file.fileno(), 0o400)
        os.fdatasync(file.fileno())
        sync_names(disk.path)
        assert found(now(disk).after_power_cut(nothing_loose)) == {"a": b""}
        tree = now(disk).after_power_cut(nothing_loose)
        assert tree.inodes[tree.inodes[1].names[b"a"]].mode & 0o777 != 0o400
        os.fsync(file.fileno())
    tree = now(disk).after_power_cut(nothing_loose)
    assert tree.inodes[tree.inodes[1].names[b"a"]].mode & 0o777 == 0o400


def test_a_removed_file_may_be_back(disk: RecordingDisk) -> None:
    written(disk.path / "a", b"content", sync=True)
    sync_names(disk.path)
    (disk.path / "a").unlink()
    assert {frozenset(found(tree)) for tree in outcomes(now(disk), 1)} == {
        frozenset(),
        frozenset({"a"}),
    }


def test_a_tree_is_laid_down_as_it_was_found(disk: RecordingDisk, tmp_path: Path) -> None:
    (disk.path / "folder").mkdir()
    written(disk.path / "folder" / "a", b"content", sync=True)
    (disk.path / "folder" / "b").hardlink_to(disk.path / "folder" / "a")
    now(disk).after_power_cut(everything).write_to(tmp_path / "after")
    assert (tmp_path / "after/folder/b").read_bytes() == b"content"
    assert (tmp_path / "after/folder/a").samefile(tmp_path / "after/folder/b")
