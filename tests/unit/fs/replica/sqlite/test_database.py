"""The replica on its disk: crashes, secrecy, damage, a full disk, one process at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import msgspec
import pytest
from replica_fixture import KEY, Blocks, Node
from simulated_node import SimulatedNode

from lucidnode.fs.errors import (
    NoSpace,
    ReplicaBusy,
    ReplicaCorrupt,
    ReplicaError,
    ReplicaKeyWrong,
)
from lucidnode.fs.replica.changes import Head
from lucidnode.fs.replica.inode import ROOT, Kind
from lucidnode.fs.replica.intents import (
    Create,
)
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.sqlite.connection import CHECKPOINT_PAGES
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.node.client.ids import Seq


def test_everything_applied_is_there_after_a_crash(node: Node) -> None:
    directory = node.mkdir(b"d")
    file = node.create(b"f", directory)
    node.write(file, b"content")
    node.replica.tails.put(file, 7, b" and tail", 0)
    tree, pending = node.tree(), node.replica.pending.count()
    node.crash()
    assert node.tree() == tree
    assert node.replica.pending.count() == pending


def test_work_that_a_later_release_recorded_is_named_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    replica = Replica.open(path, KEY, "desk")
    replica.apply(Create(ROOT, b"file", replica.new_ino(), Kind.FILE, 0o644, 0, 0, 1))
    recorded = replica._database.rows("SELECT intent FROM pending")
    replica._database.change(
        "UPDATE pending SET intent = ?", (msgspec.msgpack.encode([{"type": "melt", "ino": 7}, 7]),)
    )
    replica.close()
    for _ in range(2):
        with pytest.raises(ReplicaError, match="a later version: update Lucidnode"):
            Replica.open(path, KEY, "desk")
    with contextlib.closing(Database.open(path, KEY)) as database:
        database.change("UPDATE pending SET intent = ?", recorded[0])
    replica = Replica.open(path, KEY, "desk")
    assert replica.pending.count() == 1
    replica.close()


async def test_barriers_are_shared(tmp_path: Path) -> None:
    replica = Replica.open(tmp_path / "replica.db", KEY, "desk")
    replica.apply(Create(ROOT, b"file", replica.new_ino(), Kind.FILE, 0o644, 0, 0, 1))
    await asyncio.gather(*(replica.barrier() for _ in range(20)))  # noqa: TID251
    assert replica._barrier._started <= 2
    replica.close()


def test_the_log_stays_short_whether_anybody_syncs_or_not(node: Node) -> None:
    log = node.path.with_name(node.path.name + "-wal")
    file = node.create(b"file")
    longest = 0
    written = 0
    while written < 6 * CHECKPOINT_PAGES * 2048:
        node.set_xattr(file, b"user.%d" % (written % 3), node._entropy.randbytes(60_000))
        written += 3 * 60_000  # the value that was, the one that is, and how to undo it
        longest = max(longest, log.stat().st_size)
    assert longest < 5 * CHECKPOINT_PAGES * 2072
    # At rest it is no longer than what is worth a checkpoint, whatever it was in between.
    with node.replica._database._checkpoints._running:
        node.set_xattr(file, b"user.last", b"")
    assert log.stat().st_size < 1.1 * CHECKPOINT_PAGES * 2072


def test_nothing_readable_lies_on_the_disk(node: Node) -> None:
    phrase = b"PLUMAGE-OF-THE-KINGFISHER"
    file = node.create(phrase)
    node.replica.tails.put(file, 0, phrase, 0)
    node.set_xattr(file, b"user." + phrase, phrase)
    node.create(b"link", kind=Kind.SYMLINK, target=phrase)
    files = list(node.path.parent.iterdir())
    assert {path.name for path in files} >= {"replica.db", "replica.db-wal"}
    node.replica._database._checkpoints._connection = None
    node.replica._database._connection.wal_checkpoint()
    for path in files:
        raw = path.read_bytes()
        assert phrase not in raw, path
        assert b"SQLite format" not in raw, path
        assert b"CREATE TABLE" not in raw, path
        assert path.stat().st_mode & 0o077 == 0, path


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    Replica.open(path, KEY, "desk").close()
    with pytest.raises(ReplicaKeyWrong):
        Replica.open(path, bytes(32), "desk")
    Replica.open(path, KEY, "desk").close()


def test_two_processes_do_not_share_a_replica(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    first = Replica.open(path, KEY, "desk")
    with pytest.raises(ReplicaBusy):
        Replica.open(path, KEY, "desk")
    first.close()
    Replica.open(path, KEY, "desk").close()


def test_a_flipped_bit_on_the_disk_is_found(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    node = Node(path, "desk", Blocks())
    for number in range(200):
        node.create(b"%d" % number)
    node.close()
    raw = bytearray(path.read_bytes())
    for place in range(4096, len(raw), 2048):
        raw[place + 1000] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ReplicaCorrupt, match="or its disk cannot be read"):
        Node(path, "desk", Blocks()).tree()


def test_a_full_disk_refuses_the_operation_and_keeps_the_rest(node: Node) -> None:
    connection = node.replica._database._connection
    node.create(b"before")
    connection.pragma("max_page_count", connection.pragma("page_count"))
    made = [b"before"]

    def fill() -> None:
        for number in range(1000):
            node.create(b"%d" % number)
            made.append(b"%d" % number)

    with pytest.raises(NoSpace):
        fill()
    assert node.names() == sorted(made)
    assert node.replica.pending.count() == len(made)
    connection.pragma("max_page_count", 1_000_000)
    node.create(b"after")


def test_statements_are_parsed_once(tmp_path: Path) -> None:
    user = SimulatedNode(tmp_path / "a.db", "a", Blocks(), seed=1)
    connection = user.replica._database._connection
    before = connection.cache_stats()
    for _ in range(300):
        user.act()
    parsed, found = (connection.cache_stats()[each] - before[each] for each in ("misses", "hits"))
    assert 30 * parsed < found
    user.close()


VERSION_1 = """
ALTER TABLE head RENAME COLUMN link TO hash;
ALTER TABLE head ADD COLUMN seen INTEGER NOT NULL DEFAULT 9;
DROP TABLE newest_epoch; DROP TABLE unsynced; DROP TABLE unneeded; DROP TABLE pin; DROP TABLE checkpoint;
DROP TABLE replaced; DROP TABLE replaced_extent; DROP TABLE replaced_since;
DROP TABLE earlier; DROP TABLE earlier_extent; DROP TABLE earlier_since;
DROP INDEX mark; DROP INDEX lease; DROP INDEX write_lease; DROP INDEX wanted_directory;
PRAGMA user_version = 1;
"""
"""What the first weeks of 0.1 had instead."""


def test_a_replica_of_version_1_is_taken_up_with_the_work_that_waits_in_it(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    replica = Replica.open(path, KEY, "desk")
    ino = replica.new_ino()
    replica.apply(Create(ROOT, b"file", ino, Kind.FILE, 0o644, 0, 0, 1))
    replica._database.change("UPDATE head SET seq = 7, link = ?", (b"h" * 32,))
    replica._database._connection.execute(VERSION_1)
    replica.close()
    for _ in range(2):
        replica = Replica.open(path, KEY, "desk")
        assert replica.pending.head() == Head(Seq(7), b"h" * 32)
        assert replica.pending.count() == 1
        assert replica.tree.lookup(ROOT, b"file") == replica.tree.attributes(ino)
        replica.close()


def test_a_replica_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    replica = Replica.open(path, KEY, "desk")
    replica._database._connection.pragma("user_version", 99)
    replica.close()
    with pytest.raises(ReplicaError, match="update"):
        Replica.open(path, KEY, "desk")


async def test_a_disk_that_failed_to_sync_is_never_believed_again(tmp_path: Path) -> None:
    replica = Replica.open(tmp_path / "replica.db", KEY, "desk")
    good = os.dup(replica._barrier._file)
    end, other_end = os.pipe()
    os.dup2(end, replica._barrier._file)  # fdatasync of a pipe fails
    with pytest.raises(ReplicaError):
        await replica.barrier()
    os.dup2(good, replica._barrier._file)
    with pytest.raises(ReplicaError):
        await replica.barrier()
    for file in (good, end, other_end):
        os.close(file)
    replica.close()
