"""The directory of snapshots, as a listing and a lookup show it."""

from __future__ import annotations

from pathlib import Path

from replica_fixture import Blocks, Node

from lucidnode.fs.snapshot_tree.snapshot_names import ShownSnapshot, SnapshotNames
from lucidnode.fs.snapshot_tree.snapshot_numbers import SnapshotNumbers
from lucidnode.node.client.ids import Seq


def test_a_listing_reads_the_rows_of_snapshots_once_however_many_there_are(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db", "a", Blocks())
    rows = [ShownSnapshot(b"%03d" % number, Seq(number), number * 10**9) for number in range(200)]
    reads = 0

    def read() -> list[ShownSnapshot]:
        nonlocal reads
        reads += 1
        return rows

    names = SnapshotNames(node.replica.tree, SnapshotNumbers(), read)
    listed = names.listed()
    assert reads == 1
    assert [(name, found.mtime_ns) for name, found in listed] == [
        (each.name, each.wall_ns) for each in rows
    ]
    assert names.lookup(b"007") == listed[7][1] == names.root(Seq(7), b"007")
    assert names.directory().mtime_ns == 199 * 10**9
    node.close()
