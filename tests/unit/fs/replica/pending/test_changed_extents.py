"""What a file was is read from what has changed since and from what has not, whatever was done."""

from __future__ import annotations

from pathlib import Path
from random import Random  # noqa: TID251  # seeded

import pytest
from replica_fixture import Blocks, Node

from lucidnode.fs.replica.intents import Punch, Truncate
from lucidnode.fs.replica.pending.changed_extents import ChangedExtents

SIZE = 400


@pytest.mark.parametrize("seed", range(5))
def test_a_file_is_seen_as_it_was_whatever_is_done_to_it_and_undone(
    tmp_path: Path, seed: int
) -> None:
    chance = Random(seed)
    node = Node(tmp_path / "replica.db", "a", Blocks())
    ino = node.create(b"file")
    for _ in range(30):
        node.write(ino, chance.randbytes(chance.randrange(1, 40)), chance.randrange(SIZE))
    before, now = node.read(ino), node.found(b"file")
    stored = node.replica.tree.stored_bytes(now)
    database, earlier = node.replica._database, node.replica._local._ground.earlier
    with database.transaction():
        database.change(
            "INSERT INTO earlier VALUES (?, ?, ?, ?)", (ino, now.size, now.version, now.mtime_ns)
        )
    earlier.reload()
    moment = node.replica.pending.newest()
    for _ in range(40):
        at, size = chance.randrange(SIZE), chance.randrange(1, 60)
        match chance.choice(["write", "write", "punch", "cut", "undone"]):
            case "write":
                node.write(ino, chance.randbytes(size), at)
            case "punch":
                node.replica.apply(Punch(ino, at, size, node.time()))
            case "cut":
                node.replica.apply(Truncate(ino, at, node.time()))
            case _:
                last = node.replica._local._ground.journal.waiting()[-1]
                if last.id > moment:
                    with database.transaction():
                        database.undo(last.changes)
                        database.change("DELETE FROM pending WHERE id = ?", (last.id,))
        assert node.read(ino) == before
        assert node.replica.tree.stored_bytes(node.found(b"file")) == stored
    with database.transaction():
        database.change("DELETE FROM earlier WHERE ino = ?", (ino,))
        ChangedExtents(database, "earlier").clear(ino)
    earlier.reload()
    assert node.read(ino) != before
    node.close()
