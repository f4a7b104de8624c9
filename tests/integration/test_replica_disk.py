"""The replica on a disk that is really full.

Needs root: mounts a small disk of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
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
        assert node.replica.next_batch() is not None
        node.close()
