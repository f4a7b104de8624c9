"""Durability `relaxed` through the kernel: what is asked to be synced is, at once."""

from __future__ import annotations

import os
from pathlib import Path

from daemon_fixture import workstations
from disk_record import Mark, Sync
from recording_disk import recording_disk

TIMES = 10
"""More than there are moments within so many calls in which the background syncs by itself."""


def written_to_a_file_opened_to_sync(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_SYNC)
    os.write(handle, b"x" * 6000)
    os.close(handle)


def synced(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(handle, b"x" * 6000)
    os.fsync(handle)
    os.close(handle)


def synced_directory(path: Path) -> None:
    path.mkdir()
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(handle)
    os.close(handle)


def test_what_is_asked_to_be_synced_is_synced_before_the_call_returns(tmp_path: Path) -> None:
    calls = (written_to_a_file_opened_to_sync, synced, synced_directory)
    with recording_disk(tmp_path / "replica") as disk, workstations(tmp_path) as [node]:
        (node.home / "projects").symlink_to(disk.path)
        node.mount(durability="relaxed")
        # Or the entries that are sent would have all of it synced.
        node.bucket.cut = True
        for call in calls:
            for number in range(TIMES):
                place = f"{call.__name__} {number}"
                disk.mark(f"before {place}")
                call(node.mountpoint / place)
                disk.mark(f"after {place}")
        node.bucket.cut = False
        node.unmount()
        steps = disk.steps()
    for call in calls:
        for number in range(TIMES):
            place = f"{call.__name__} {number}"
            begin, end = (steps.index(Mark(f"{when} {place}")) for when in ("before", "after"))
            assert any(isinstance(step, Sync) for step in steps[begin:end]), place
