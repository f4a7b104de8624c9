"""Each rule of the tree is looked at as a whole, where rows came without an entry."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replica_fixture import Blocks, Node
from simulated_node import SimulatedNode

from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.fs.replica.tree.whole_tree import check_whole_tree, ranges_of_ids

DIRECTORY = "INSERT INTO inode VALUES ({ino}, 4, 511, 0, 0, 0, {links}, 0, 0, 0, 0, x'', 0);"

BREACHES = {
    "DELETE FROM inode WHERE ino = 1": "no root",
    "UPDATE name SET parent = (SELECT ino FROM name WHERE name = x'66') WHERE name = x'67'": (
        "a name in what is no directory"
    ),
    "INSERT INTO name VALUES (1, x'7a', 12345)": "a name of a file that does not exist",
    "UPDATE inode SET nlink = nlink + 1 WHERE kind = 8": "a count of links",
    "UPDATE inode SET nlink = nlink + 1 WHERE ino = 1": "a count of links",
    DIRECTORY.format(ino=99, links=2): "a count of links, of what has no name",
    DIRECTORY.format(ino=99, links=2)
    + "UPDATE inode SET nlink = 4 WHERE ino = 1;"
    + "INSERT INTO name VALUES (1, x'61', 99), (1, x'62', 99)": "not in exactly one place",
    "INSERT INTO inode SELECT 99, 8, mode, 0, 0, 0, 1, 0, 0, 0, 0, x'', 0 FROM inode WHERE ino = 1": (
        "a count of links, of what has no name"
    ),
    "INSERT INTO name VALUES (1, x'2e2e', (SELECT ino FROM name WHERE name = x'66'));"
    "UPDATE inode SET nlink = 2 WHERE size = 6": "a name that no file can have",
    "UPDATE inode SET target = x'61' WHERE size = 6": "a file that cannot be",
    "INSERT INTO xattr VALUES (1, x'6100', x'')": ("an attribute that no file has"),
    DIRECTORY.format(ino=98, links=3)
    + DIRECTORY.format(ino=99, links=3)
    + "INSERT INTO name VALUES (98, x'61', 99), (99, x'61', 98)": "lies in itself",
    "UPDATE inode SET size = 5 WHERE size = 6": "without its file, or past its end",
    "DELETE FROM block": "without its block",
    "UPDATE extent SET ino = (SELECT parent FROM name WHERE name = x'67')": "without its file",
    "UPDATE extent SET ino = 1": "without its file",
    f"UPDATE inode SET size = {2**53 + 10} WHERE size = 6;"
    f"UPDATE extent SET offset = {2**53} WHERE offset = 3": "an extent that cannot be",
    "UPDATE extent SET block_offset = 4094 WHERE offset = 0": "without its block, or past its end",
    "UPDATE extent SET length = 4 WHERE offset = 0": "over another",
    "INSERT INTO xattr VALUES (12345, x'61', x'')": "an attribute that no file has",
}


def breach(node: Node, harm: str) -> str:
    """Return what is found once *harm* is done, and take it back."""
    database = node.replica._database
    database.rows("SAVEPOINT harm")
    database.rows(harm)
    with pytest.raises(ChangesetUnfit) as found:
        check_whole_tree(database)
    database.rows("ROLLBACK TO harm")
    database.rows("RELEASE harm")
    return str(found.value)


def test_every_breach_is_found(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db", "a", Blocks())
    file = node.create(b"f")
    node.write(file, b"abc")
    node.write(file, b"def", 3)
    node.create(b"g", node.mkdir(b"inner", node.mkdir(b"outer")))
    check_whole_tree(node.replica._database)
    node.replica._database.rows("PRAGMA ignore_check_constraints = 1")  # as where rows are put
    for harm, found in BREACHES.items():
        assert found in breach(node, harm), harm
    check_whole_tree(node.replica._database)
    node.close()


def test_nothing_is_found_in_what_people_make(tmp_path: Path) -> None:
    node = SimulatedNode(tmp_path / "a.db", "a", Blocks(), 3)
    for _ in range(20):
        for _ in range(10):
            node.act()
        check_whole_tree(node.replica._database)
    node.close()


@given(st.integers(1, 256), st.binary(min_size=32, max_size=32))
def test_each_block_is_looked_at_in_one_of_the_ranges(parts: int, block: bytes) -> None:
    assert sum(least <= block < end for least, end in ranges_of_ids(parts)) == 1
    assert sum(least <= b"\xff" * 32 < end for least, end in ranges_of_ids(parts)) == 1
