"""What was read into memory is listed without the disk."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from disk_fixture import FastClock
from replica_fixture import Blocks, Node

from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.sqlite import warming


def misses(node: Node) -> int:
    """Return how many pages the connection of *node* had to fetch so far."""
    connection = node.replica._database._connection
    return int(connection.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0])


def listed(node: Node, directories: list[InodeNo]) -> int:
    return sum(len(node.replica.tree.list_names(each, None, 1000)) for each in directories)


@pytest.mark.parametrize(
    ("most", "whole"), [(warming.MAX_FILES, True), (warming._STEP_ROWS, False)]
)
async def test_a_tree_in_memory_is_listed_without_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, *, whole: bool
) -> None:
    monkeypatch.setattr(warming, "MAX_FILES", most)
    node = Node(tmp_path / "replica.db", "desk", Blocks())
    directories = [ROOT, *(node.mkdir(b"%d" % number) for number in range(3))]
    for parent in directories[1:]:
        for number in range(200):
            node.write(node.create(b"%03d" % number, parent), b"x")
    node.close()
    node = Node(tmp_path / "replica.db", "desk", Blocks(), seed=1)

    begun = misses(node)
    await node.replica.warm(FastClock())
    warm = misses(node)
    assert listed(node, directories) == 603
    fetched = misses(node) - warm
    node.close()

    assert warm - begun > 20
    assert (fetched == 0) == whole
