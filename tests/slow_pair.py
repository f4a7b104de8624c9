"""Two replicas: what one of them saves waits for an uplink on which nothing moves by itself."""

from __future__ import annotations

from pathlib import Path

from replica_fixture import Blocks, Journal, Node

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.node.client.ids import BlockId


class Uplink:
    """A way to the bucket on which nothing moves by itself."""

    def __init__(self) -> None:
        self.here: set[BlockId] = set()
        self.busy: set[InodeNo] = set()
        self.new: set[InodeNo] = set()
        self.others: set[InodeNo] = set()
        """Directories that another node has taken over."""
        self.due: set[InodeNo] = set()
        """Directories that wait for their names no more."""

    def has_arrived(self, block: BlockId) -> bool:
        return block in self.here

    def is_unfinished(self, ino: InodeNo) -> bool:
        return ino in self.busy

    def is_young(self, ino: InodeNo) -> bool:
        return ino in self.new

    def may_name(self, directory: InodeNo) -> bool:
        return directory not in self.others

    def may_give(self, directory: InodeNo) -> bool:
        return directory in self.due


class Pair:
    """Node `a` has a slow uplink; `b` sees what it commits."""

    def __init__(self, path: Path) -> None:
        blocks = Blocks()
        self.a, self.b = Node(path / "a.db", "a", blocks), Node(path / "b.db", "b", blocks)
        self.uplink = Uplink()
        self.journal = Journal()

    def old_doc(self) -> InodeNo:
        """Return the file `doc`, which both have with the content `old`."""
        doc = self.a.create(b"doc")
        self.a.write(doc, b"old")
        self.agree()
        return doc

    def commit(self) -> bool:
        """Let one entry of a be committed and read; tell whether there was one."""
        self.a.pack_tails_unsent()
        batch = self.a.replica.pending.next_batch(self.uplink)
        if batch is None:
            return False
        assert set(batch.needs) <= self.uplink.here
        flight = self.a.replica.pending.set_in_flight(batch, batch.changeset)
        self.journal.create(flight.seq, flight.unsigned)
        self.a.replica.pending.mark_committed(flight.seq, self.journal.hash(flight.seq))
        self.journal.pull_one(self.b)
        self.b.check()
        return True

    def commit_all(self, *arrived: bytes) -> None:
        """Have the blocks with these contents in the bucket, and commit all that may be then."""
        self.arrive(*arrived)
        while self.commit():
            pass

    def arrive(self, *blocks: bytes) -> None:
        """Have the blocks with these contents in the bucket."""
        self.uplink.here |= {self.a.blocks.seal(block).id for block in blocks}

    def agree(self) -> None:
        """Let everything arrive and be committed; both must end in one state, whatever the order."""
        self.uplink.busy.clear()
        self.uplink.new.clear()
        self.uplink.others.clear()
        self.uplink.here |= set(self.a.replica.pending.blocks_waited_for())
        self.commit_all()
        assert not self.a.replica.pending.has_work()
        assert self.a.rows() == self.b.rows()
        self.a.check()
