"""Conflict copies by name: the same on every node, and gone when a person has settled them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from replica_fixture import Blocks, Journal, Node

from lucidnode.fs.files.conflicts import Conflicts
from lucidnode.fs.replica.inode import ROOT, Kind
from lucidnode.fs.replica.intents import Rename


class Office:
    """Two nodes that both made a file `scenes/cut.mov`; b lost the race for the name."""

    def __init__(self, path: Path) -> None:
        blocks, self.journal = Blocks(), Journal()
        self.a, self.b = Node(path / "a.db", "a", blocks), Node(path / "b.db", "b", blocks)
        self.nodes = (self.a, self.b)
        scenes = self.a.create(b"scenes", kind=Kind.DIRECTORY)
        self.journal.settle(*self.nodes)
        self.seen = Conflicts(self.a.replica.tree), Conflicts(self.b.replica.tree)
        for node in self.nodes:
            node.create(b"cut.mov", scenes)
        self.journal.commit(self.a)
        touched = self.journal.commit(self.b)
        assert touched is not None
        self.seen[1].names_changed((*touched.conflicts, *touched.names))
        self.journal.commit(self.b)
        for touched in self.journal.pull(self.a):
            self.seen[0].names_changed((*touched.conflicts, *touched.names))
        self.scenes = scenes
        [self.copy] = [name for name in self.b.names(scenes) if name != b"cut.mov"]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    for node in office.nodes:
        node.close()


def test_every_node_names_a_conflict_by_its_path(office: Office) -> None:
    for seen in office.seen:
        assert seen.count() == 1
        assert seen.paths() == [f"scenes/{office.copy.decode()}"]


def test_conflicts_are_known_again_after_the_next_mount(office: Office) -> None:
    for node, seen in zip(office.nodes, office.seen, strict=True):
        assert Conflicts(node.replica.tree).paths() == seen.paths() != []


def test_a_conflict_is_over_everywhere_when_its_file_is_removed(office: Office) -> None:
    office.a.unlink(office.copy, office.scenes)
    office.journal.settle(*office.nodes)
    assert [seen.count() for seen in office.seen] == [0, 0]


def test_a_conflict_is_over_when_its_file_gets_a_name_of_its_own(office: Office) -> None:
    move = Rename(office.scenes, office.copy, ROOT, b"mine.mov", office.b.time())
    office.b.replica.apply(move)
    office.journal.settle(*office.nodes)
    assert [seen.count() for seen in office.seen] == [0, 0]
    assert Conflicts(office.a.replica.tree).paths() == []


def test_a_name_that_only_resembles_is_no_conflict(office: Office) -> None:
    office.a.unlink(office.copy, office.scenes)
    office.a.create(b"notes (conflict, of interest).txt")
    office.seen[0].names_changed([(ROOT, b"notes (conflict, of interest).txt")])
    assert office.seen[0].count() == 0
    assert Conflicts(office.a.replica.tree).count() == 0


def test_a_conflict_goes_on_when_its_file_is_moved_with_its_name(office: Office) -> None:
    move = Rename(office.scenes, office.copy, ROOT, office.copy, office.b.time())
    office.b.replica.apply(move)
    assert office.seen[1].paths() == [office.copy.decode()]
    assert Conflicts(office.b.replica.tree).paths() == office.seen[1].paths()
