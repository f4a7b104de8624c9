"""Three replicas, one journal, and a seeded hand that lets everything happen at the wrong moment.

Lost races, replies that never come, entries applied after their sender crashed, bad entries, and
crashes between any two steps. In the end all replicas are equal, sound, and hold every content
that anybody wrote and nobody took back.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure can be repeated

import pytest
from replica_fixture import Blocks, Journal
from simulated_node import NAMES, SimulatedNode

from lucidnode.fs.errors import FileError
from lucidnode.fs.replica.inode import Kind
from lucidnode.fs.replica.intents import (
    Create,
    Forget,
    Rename,
)

SEEDS_IN_A_TEST = 20


class Simulation:
    """Everything that can happen to three nodes, one step at a time."""

    def __init__(self, path: Path, seed: int) -> None:
        self.random = Random(seed)
        self.journal = Journal()
        blocks = Blocks()
        self.nodes = [SimulatedNode(path / f"{n}.db", n, blocks, seed) for n in ("x", "y", "zed")]
        self.hit = dict.fromkeys(
            ("lost", "unknown", "late", "crash", "bad", "moved", "held", "overtook", "dropped"), 0
        )

    def run(self, steps: int) -> None:
        for _ in range(steps):
            node = self.random.choice(self.nodes)
            match self.random.randrange(20):
                case 0:
                    node.crash()
                    node.open.clear()
                    self.hit["crash"] += 1
                case 1 | 2 | 3:
                    self.send(node)
                case 4 | 5:
                    self.follow(node)
                case 6 if self.random.random() < 0.2:
                    self.journal.entries.append(self.random.choice([None, b"garbage"]))
                    self.hit["bad"] += 1
                case _:
                    node.act()
                    if self.random.random() < 0.3:
                        self.hit["dropped"] += node.drop_deleted()

    def follow(self, node: SimulatedNode) -> None:
        """See the next entry, whoever made it: that settles ours as well."""
        head = node.replica.pending.head().seq
        if head == len(self.journal.entries):
            return
        body = self.journal.entries[head]
        flight = node.replica.pending.in_flight()
        if flight is not None and body == flight.unsigned:
            node.replica.pending.mark_committed(flight.seq, self.journal.hash(flight.seq))
            self.hit["late"] += 1
            return
        if flight is not None:
            self.hit["lost"] += 1
        touched = self.journal.pull_one(node)
        for old, new in touched.moved.items():
            self.hit["moved"] += 1
            if old in node.open:
                node.open.remove(old)
                node.open.add(new)

    def send(self, node: SimulatedNode) -> None:
        """Try to commit; at each step the node may crash, and the reply may get lost."""
        if node.replica.pending.in_flight() is None:
            node.pack_tails()
            oldest = node.oldest()
            batch = node.replica.pending.next_batch(node.shipping)
            if batch is None:
                self.hit["held"] += 1
                return
            self.hit["overtook"] += (node.oldest() or 0) < (oldest or 0)
            assert set(batch.needs) <= node.shipping.here
            assert node.unstaged.isdisjoint(node.replica.pending.blocks_waited_for())
            node.replica.pending.set_in_flight(batch, batch.changeset)
        flight = node.replica.pending.in_flight()
        assert flight is not None
        reached = self.random.random() < 0.8
        if reached:
            self.journal.create(flight.seq, flight.unsigned)
        if self.random.random() < 0.3:
            self.hit["unknown"] += 1
            return
        self.follow(node)

    def finish(self) -> None:
        """Let the network heal, and assert what must be true then."""
        for node in self.nodes:
            for ino in sorted(node.open):
                node.replica.apply(Forget(ino))
            node.open.clear()
        while any(node.replica.pending.has_work() for node in self.nodes):
            for node in self.nodes:
                while node.replica.pending.head().seq < len(self.journal.entries):
                    self.follow(node)
                self.send(node)
        for node in self.nodes:
            while node.replica.pending.head().seq < len(self.journal.entries):
                self.follow(node)
        first, *others = self.nodes
        for node in self.nodes:
            node.check()
            assert node.replica.tails.loose() == []
        for node in others:
            assert node.rows() == first.rows()
            assert node.tree() == first.tree()
            assert node.replica.pending.head() == first.replica.pending.head()

    def close(self) -> None:
        for node in self.nodes:
            node.close()


@pytest.mark.parametrize("part", range(8))
def test_replicas_converge_whatever_happens(tmp_path: Path, part: int) -> None:
    hit: dict[str, int] = {}
    for seed in range(part * SEEDS_IN_A_TEST, (part + 1) * SEEDS_IN_A_TEST):
        directory = tmp_path / str(seed)
        directory.mkdir()
        simulation = Simulation(directory, seed)
        simulation.run(100)
        simulation.finish()
        simulation.close()
        hit = {fault: hit.get(fault, 0) + count for fault, count in simulation.hit.items()}
    assert all(hit.values()), f"some fault never happened: {hit}"


@pytest.mark.parametrize("seed", range(20))
def test_nothing_that_was_written_is_lost(tmp_path: Path, seed: int) -> None:
    """Nobody deletes or overwrites on purpose here, so every content must be somewhere."""
    simulation = Simulation(tmp_path, seed)
    expected: set[bytes] = set()
    number = 0
    for _ in range(150):
        node = simulation.random.choice(simulation.nodes)
        match simulation.random.randrange(8):
            case 0 | 1:
                simulation.send(node)
            case 2:
                simulation.follow(node)
            case 3 if simulation.random.random() < 0.3:
                node.crash()
            case _:
                directory = node.random.choice(node.directories())
                name = node.random.choice(NAMES)
                found = node.replica.tree.lookup(directory, name)
                number += 1
                data = b"%s wrote this as number %d" % (node.name.encode(), number)
                now = node.time()
                if found is None:
                    ino = node.replica.new_ino()
                    kind = Kind.DIRECTORY if number % 7 == 0 else Kind.FILE
                    node.replica.apply(Create(directory, name, ino, kind, 0o755, 1, 1, now))
                elif found.is_directory or number % 2:
                    # Renames between names nobody has leave every content where it was.
                    fresh = b"moved-%d-%s" % (number, node.name.encode())
                    other = node.random.choice(node.directories())
                    with contextlib.suppress(FileError):
                        node.replica.apply(Rename(directory, name, other, fresh, now))
                    continue
                else:
                    kind, ino = found.kind, found.ino
                    expected.discard(node.read(ino))
                if kind is Kind.FILE:
                    node.write(ino, data)
                    node.truncate(ino, len(data))
                    expected.add(data)
    simulation.finish()
    found_contents = {
        content for content in simulation.nodes[0].tree().values() if isinstance(content, bytes)
    }
    assert expected <= found_contents
    simulation.close()
