"""A hostile member's entries against replicas that all have other work waiting.

Each seed is a small project on four replicas: one has nothing that waits, the others' users go on
working. Then come entries from a legal key, most of them almost right. No replica may raise or
stand still, all must give the same verdict, and in the end all must have the same sound tree.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random  # noqa: TID251  # seeded: a failure can be repeated

import zstandard
from hostile_member import HostileMember, huge, tables_of
from page_changeset import Breaks, State, after
from replica_fixture import Blocks, Node
from simulated_node import SimulatedNode

from lucidnode.fs.errors import BadEntry, EntryMisshapen
from lucidnode.fs.format.journal_entry import MAX_CONTENT_BYTES, EntryBody, open_entry, seal_entry
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.format.padding import padded
from lucidnode.fs.format.sodium import aegis256_seal, sign, signing_public
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import MAX_FILE_SIZE, InodeNo
from lucidnode.fs.replica.intents import Forget
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import (
    HEADER_SIZE,
    PADDING,
    EntryHeader,
    entry_hash,
    signed,
    signing_message,
)

ENTRIES = 40
"""Entries of the hostile member in one seed."""

STALL_S = 0.1
"""CPU seconds for which an entry may keep a mount's loop."""

REBASE_S = 0.0005
"""CPU seconds allowed for each operation of ours that is undone and run again."""

PROJECT = ProjectId("0f" * 16)
KEYS = ProjectKeys.of(PROJECT, {1: b"k" * 32})
SEED = b"s" * 32
PUBLIC = signing_public(SEED)
DEVICE = DeviceId("d0" * 16)


class SealedJournal:
    """What the bucket holds: signed entries, each on top of the one before."""

    def __init__(self, random: Random) -> None:
        self.entries: list[bytes] = []
        self._random = random

    def sealed(self, changeset: bytes, link: bytes) -> bytes:
        """Return an unsigned entry for the next slot, made on what *link* leads to."""
        return seal_entry(
            KEYS,
            Seq(len(self.entries) + 1),
            link,
            DEVICE,
            EntryBody(0, changeset),
            attempt=self._random.randbytes(16),
            nonce=self._random.randbytes(32),
        )

    def damaged(self, unsigned: bytes) -> bytes:
        """Return *unsigned* with something wrong in its frame or in what it holds."""
        frame = EntryHeader.parse(unsigned)
        content = self._random.choice(
            [
                b"",
                self._random.randbytes(50),
                zstandard.compress(bytes(MAX_CONTENT_BYTES + 1)),
                zstandard.compress(b"\x91" * 50_000),
            ]
        )
        number, epoch = self._random.choice([(2, 1), (1, 2), (1, 0), (1, 1), (1, 1)])
        fields = {name: getattr(frame, name) for name in EntryHeader.__slots__}
        head = EntryHeader(**{**fields, "format": number, "epoch": epoch}).encode()
        if (number, epoch) != (1, 1):
            return head + unsigned[HEADER_SIZE:]
        key = KEYS.epoch(1).journal
        return head + aegis256_seal(key, frame.nonce, padded(content, PADDING), head)

    def add(self, unsigned: bytes) -> None:
        self.entries.append(signed(unsigned, sign(SEED, signing_message(unsigned))))

    def opened(self, seq: Seq, previous: bytes) -> bytes | None:
        """Return the changeset of entry *seq*, or None if it counts as empty."""
        try:
            entry = self.entries[seq - 1]
            return open_entry(KEYS, entry, seq, previous, {DEVICE: PUBLIC}.get).changeset
        except BadEntry:
            return None


class World:
    """Four replicas of one project, and the journal."""

    def __init__(self, path: Path, seed: int, stall_s: float) -> None:
        self.random = Random(seed)
        self.stall_s = stall_s
        self.journal = SealedJournal(self.random)
        blocks = Blocks()
        self.idle, *self.busy = (
            SimulatedNode(path / f"{name}.db", name, blocks, seed) for name in ("i", "x", "y", "z")
        )
        self.nodes = [self.idle, *self.busy]
        self.happened: Counter[str] = Counter()

    def run(self) -> Counter[str]:
        self.act(self.busy[0], 15)
        self.settle()
        for _ in range(ENTRIES):
            for node in self.busy:
                self.act(node, self.random.randint(0, 2))
            if self.random.random() < 0.15:
                self.commit(self.random.choice(self.busy))
            self.hostile()
        if self.random.random() < 0.15:
            self.happened["huge"] += 1
            self.step(huge(self.random, self.idle.rows()), spared=True)
        self.settle()
        self.agree()
        return self.happened

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def act(self, node: SimulatedNode, count: int) -> None:
        for _ in range(count):
            node.act()
        ino = self.random.choice([InodeNo(row[0]) for row in node.rows()["inode"]])
        found = node.replica.tree.attributes(ino)
        assert found is not None
        node.replica.tree.extents(ino, 0, found.size)
        node.replica.tree.xattr_names(ino)
        assert node.replica.tree.usage()[0] < 2**63

    def hostile(self) -> None:
        """Let the hostile member have the next slot; some of us were about to take it."""
        if self.random.random() < 0.3:
            self.prepare(self.random.choice(self.busy))
        rows = [node.rows() for node in self.busy]
        member = HostileMember(
            self.random,
            self.idle.rows(),
            [row[0] for held in rows for row in held["inode"]],
            [row[0] for held in rows for row in held["block"]],
        )
        self.step(member.changeset())

    def step(self, changeset: bytes, *, spared: bool = False) -> None:
        try:
            unsigned = self.journal.sealed(changeset, self.idle.replica.pending.head().link)
        except EntryMisshapen:
            return
        if not spared and self.random.random() < 0.04:
            unsigned = self.journal.damaged(unsigned)
            self.happened["damaged"] += 1
        self.journal.add(unsigned)
        took: list[float] = []
        expected = self.judged()
        touched = [self.pull(node, took) for node in self.nodes]
        verdicts = {one.refused for one in touched}
        assert len(verdicts) == 1, f"verdicts differ: {verdicts}"
        # A huge one costs nearly all it may: one replica that was not disturbed is enough to see.
        slowest = min(took) if spared else max(took)
        assert slowest < self.stall_s, f"an entry took {slowest:.3f} s"
        (verdict,) = verdicts
        links = {node.replica.pending.head().link for node in self.nodes}
        assert len(links) == 1, "the replicas stand on different links"
        empty = entry_hash(self.journal.entries[-1]) not in links
        assert empty == (expected is None), f"the page says {expected and 'taken'}: {verdict}"
        assert expected in (None, tables_of(self.idle.rows())), "the page makes other rows of it"
        self.happened[f"refused: {verdict}" if verdict else "not opened" if empty else "taken"] += 1

    def judged(self) -> State | None:
        """Return the state after the newest entry as the page has it; None: it counts as empty."""
        seq = Seq(len(self.journal.entries))
        changeset = self.journal.opened(seq, self.idle.replica.pending.head().link)
        if changeset is None:
            return None
        try:
            return after(tables_of(self.idle.rows()), changeset)
        except Breaks:
            return None

    def pull(self, node: Node, took: list[float]) -> Touched:
        head = node.replica.pending.head()
        seq = Seq(head.seq + 1)
        begun = time.thread_time()
        changeset = self.journal.opened(seq, head.link)
        digest = entry_hash(self.journal.entries[seq - 1])
        waiting = node.replica.pending.count()
        touched = node.replica.entries.apply_entry(seq, digest, changeset)
        # To run our own work again takes its time, and is not the entry's doing.
        took.append(time.thread_time() - begun - waiting * REBASE_S)
        self.happened["conflict copies"] += len(touched.conflicts)
        return touched

    def prepare(self, node: SimulatedNode) -> None:
        """Have *node* seal what waits there, for the next slot."""
        if node.replica.pending.in_flight() is None:
            node.pack_tails()
            if (batch := node.replica.pending.next_batch(None)) is not None:
                node.replica.pending.set_in_flight(
                    batch, self.journal.sealed(batch.changeset, batch.previous)
                )

    def commit(self, node: SimulatedNode) -> None:
        self.prepare(node)
        if (flight := node.replica.pending.in_flight()) is None:
            return
        self.journal.add(flight.unsigned)
        for one in self.nodes:
            if one is node:
                node.replica.pending.mark_committed(
                    flight.seq, entry_hash(self.journal.entries[-1])
                )
            else:
                touched = self.pull(one, [])
                assert touched.refused is None, f"ours was refused: {touched.refused}"
        self.happened["ours"] += 1

    def settle(self) -> None:
        for node in self.busy:
            for ino in sorted(node.open):
                node.replica.apply(Forget(ino))
            node.open.clear()
        while any(node.replica.pending.has_work() for node in self.busy):
            for node in self.busy:
                self.commit(node)

    def agree(self) -> None:
        rows = self.idle.rows()
        for node in self.nodes:
            assert node.rows() == rows, f"{node.name} has other rows"
        self.idle.check()
        assert all(row[5] <= MAX_FILE_SIZE for row in rows["inode"])


def run_seed(seed: int, *, stall_s: float = STALL_S) -> Counter[str]:
    """Run one seed; returns how often each verdict was given.

    *stall_s* is for a machine that others use as well: what a processor shares with them costs
    more of its own seconds, too.
    """
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="lucidnode-soak-", dir=memory if memory.is_dir() else None
    ) as name:
        world = World(Path(name), seed, stall_s)
        try:
            return world.run()
        finally:
            world.close()
