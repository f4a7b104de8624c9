"""The replica on a disk that is really full.

Needs root: mounts a small disk of its own.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from daemon_fixture import eventually, workstations
from disk_fixture import small_disk
from replica_fixture import Blocks, Node

from lucidnode.fs.errors import NoSpace


def test_a_full_disk_is_called_full_whatever_sqlite_calls_it_and_passes(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "4m") as disk:
        Node(disk / "a.db", "a", Blocks()).close()
        fill = disk / "fill"
        fill.write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
        # The index of the log has no room: an I/O error of its own kind.
        with pytest.raises(NoSpace):
            Node(disk / "a.db", "a", Blocks())
        os.truncate(fill, fill.stat().st_size - 64 * 1024)
        node = Node(disk / "a.db", "a", Blocks())
        names: list[bytes] = []

        def fill_up() -> None:
            while True:
                name = b"%d" % len(names)
                node.create(name)
                names.append(name)

        with pytest.raises(NoSpace):
            fill_up()
        assert sorted(node.names()) == sorted(names)
        fill.unlink()
        node.create(b"after")
        assert node.replica.pending.next_batch(None) is not None
        node.close()


def test_the_log_whose_index_cannot_grow_says_that_the_disk_is_full_and_goes_on(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", "24m") as disk:
        node = Node(disk / "a.db", "a", Blocks())
        log = disk / "a.db-wal"
        names: list[bytes] = []

        def create() -> None:
            name = b"%d" % len(names)
            node.create(name)
            names.append(name)

        # One page of the index tells of 4,096 pages of the log: nearly as many as there are now.
        while log.stat().st_size < 4040 * 2072:
            create()
        # The log gets room behind its end, and then all is taken but a page or two.
        with log.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, 4140 * 2072)
        fill = disk / "fill"
        fill.write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - 8192))

        def go_on() -> None:
            for _ in range(200):
                create()

        with pytest.raises(NoSpace):
            go_on()
        fill.unlink()
        go_on()
        assert sorted(node.names()) == sorted(names)
        node.close()


def test_a_disk_without_inodes_is_full_too(tmp_path: Path) -> None:
    for inodes in range(2, 6):
        with small_disk(tmp_path / "disk", f"8m,nr_inodes={inodes}") as disk:
            try:
                Node(disk / "a.db", "a", Blocks()).close()
            except NoSpace:
                continue
            assert inodes == 5  # the directory, the lock, the database, its log and the index


@pytest.mark.fuse
def test_a_mount_whose_replica_has_no_room_says_so_and_goes_on_once_there_is(
    tmp_path: Path,
) -> None:
    with (
        workstations(tmp_path) as [node],
        small_disk(node.home / "projects", "6m") as disk,
    ):
        node.mount()
        fill = disk / "fill"
        fill.write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - 100_000))
        made: list[str] = []

        def fill_up(*, most: int) -> None:
            for _ in range(most):
                path = node.mountpoint / f"{len(made)}"
                path.write_bytes(b"x")
                made.append(path.name)

        for _ in range(3):
            with pytest.raises(OSError, match=r"\[Errno") as caught:
                fill_up(most=10_000)
            assert caught.value.errno == errno.ENOSPC
        assert set(made) <= set(os.listdir(node.mountpoint))
        fill.unlink()
        (node.mountpoint / f"{len(made)}").unlink(missing_ok=True)
        fill_up(most=20)
        state = node.mountpoint / made[-1]
        eventually(lambda: os.getxattr(state, "user.lucid.state") == b"cloud")
        node.unmount()
        node.mount()
        assert set(made) <= set(os.listdir(node.mountpoint))
        node.unmount()
