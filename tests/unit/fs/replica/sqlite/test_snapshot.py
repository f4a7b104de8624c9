"""A snapshot is the state of the journal, whatever waits here and whatever is written meanwhile."""

from __future__ import annotations

from pathlib import Path

from replica_fixture import Blocks, Journal, Node, rows_of
from simulated_node import SimulatedNode

from lucidnode.fs.replica.sqlite.connection import CHECKPOINT_PAGES
from lucidnode.fs.replica.sqlite.rows import KEY_COLUMNS
from lucidnode.fs.replica.sqlite.schema import REPLICATED


def test_pending_work_is_no_part_of_it(tmp_path: Path) -> None:
    blocks, journal = Blocks(), Journal()
    nodes = [SimulatedNode(tmp_path / f"{name}.db", name, blocks, 5) for name in "ab"]
    follower = Node(tmp_path / "follower.db", "follower", blocks)
    seen = 0
    for step in range(24):
        node = nodes[step % 2]
        for _ in range(8):
            node.act()
        if step % 3 == 0:
            journal.commit(node)
        while follower.replica.pending.head() != node.replica.pending.head():
            if follower.replica.pending.head().seq > node.replica.pending.head().seq:
                journal.pull(node)
            else:
                journal.pull_one(follower)
        snapshot = node.replica.snapshot()
        assert snapshot is not None
        head = node.replica.pending.head()
        assert (snapshot.seq, snapshot.link) == (head.seq, head.link)
        state = rows_of(follower.replica)
        assert {table: list(snapshot.table(table)) for table in REPLICATED} == state
        for table, rows in state.items():
            for row in [*rows[:3], *rows_of(node.replica)[table][-3:]]:
                key = row[: KEY_COLUMNS[table]]
                held = next((each for each in rows if each[: len(key)] == key), None)
                assert snapshot.row(table, key) == held
        seen += node.replica.pending.has_work()
        snapshot.close()
    assert seen > 10, "there was work that waited"
    for each in (*nodes, follower):
        each.close()


def test_it_stays_what_it_was_whatever_is_written(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db", "a", Blocks())
    before = rows_of(node.replica)
    snapshot = node.replica.snapshot()
    assert snapshot is not None
    for number in range(50):
        node.create(b"%d" % number)
    assert {table: list(snapshot.table(table)) for table in REPLICATED} == before
    snapshot.close()
    node.close()


def test_nobody_who_writes_waits_for_it(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db", "a", Blocks())
    snapshot = node.replica.snapshot()
    assert snapshot is not None
    file = node.create(b"file")
    database = node.replica._database
    for number in range(20):
        with database.transaction():
            database.change(
                "INSERT INTO xattr VALUES (?, ?, zeroblob(65536))", (file, b"%d" % number)
            )
    # So long a log is moved by the next commit at the latest, which waits for who reads from it.
    checkpoints = database._checkpoints
    checkpoints.committed(database._connection, 4 * CHECKPOINT_PAGES)
    node.create(b"another")
    snapshot.close()
    assert database._checkpoints.hold(), "and none goes on behind it"
    node.close()
