"""Entries of others go under our pending work without undoing it, and nobody can tell."""

from __future__ import annotations

import cProfile
import pstats
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure can be repeated
from typing import NoReturn

import pytest
from replica_fixture import Blocks, Journal, Node
from simulated_node import SimulatedNode

from lucidnode.fs.errors import NoSpace
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import Rename, Rmdir, SetAttributes
from lucidnode.fs.replica.pending.fast_forward import fast_forward
from lucidnode.fs.replica.pending.pending_journal import PendingJournal as JournalTables
from lucidnode.fs.replica.pending.rebase import PendingOperation, Rebase
from lucidnode.fs.replica.tail_table import TailTable

FAST_FORWARD = "lucidnode.fs.replica.remote_entries.fast_forward"


class Office:
    """Node `a` commits, and `b` has work of its own waiting."""

    def __init__(self, path: Path) -> None:
        blocks = Blocks()
        self.a = Node(path / "a.db", "a", blocks)
        self.b = Node(path / "b.db", "b", blocks)
        self.b.now += 500
        self.journal = Journal()
        self.shots = self.a.mkdir(b"shots")
        self.plates = self.a.mkdir(b"plates")
        self.a.write(self.a.create(b"cut", self.shots), b"first")
        self.journal.settle(self.a, self.b)

    def agree(self) -> None:
        """Let both commit all they have; they must end in the same state."""
        self.journal.settle(self.a, self.b)
        self.journal.settle(self.a)
        assert self.a.rows() == self.b.rows()
        self.a.check()

    def render(self, count: int = 20) -> None:
        """Have work of b wait in the directory `shots`."""
        for number in range(count):
            self.b.write(self.b.create(b"frame.%d" % number, self.shots), b"%d" % number)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.a.close()
    office.b.close()


@pytest.fixture
def nothing_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        pytest.fail("our work was undone and run again")

    monkeypatch.setattr(Rebase, "run", fail)


@pytest.fixture
def undone(monkeypatch: pytest.MonkeyPatch) -> list[Rebase]:
    """Return a list to which every rebase is added that runs."""
    run, ran = Rebase.run, []

    def noted(self: Rebase, *arguments: object) -> object:
        ran.append(self)
        return run(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Rebase, "run", noted)
    return ran


@pytest.mark.usefixtures("nothing_is_undone")
def test_files_of_others_in_a_directory_where_we_render(office: Office) -> None:
    office.render()
    for number in range(3):  # each on top of what the one before left
        office.a.write(office.a.create(b"note.%d" % number, office.shots), b"note")
        assert office.journal.commit(office.a) is None
        touched = office.journal.pull_one(office.b)
        assert (office.shots, b"note.%d" % number) in touched.names
        assert office.b.content(b"note.%d" % number, office.shots) == b"note"
        assert office.b.replica.pending.count() == 40
    ours = office.b.replica.tree.attributes(office.shots)
    assert ours is not None
    assert ours.mtime_ns == office.b.now - 10**9, "the time of our last file"
    office.agree()


@pytest.mark.usefixtures("nothing_is_undone")
def test_an_entry_into_a_directory_of_ours_costs_the_same_however_much_waits_there(
    office: Office,
) -> None:
    calls = []
    for number, more in enumerate((20, 400)):
        for frame in range(more):
            office.b.create(b"%d.%d" % (number, frame), office.shots)
        office.a.create(b"note.%d" % number, office.shots)
        assert office.journal.commit(office.a) is None
        profile = cProfile.Profile()
        profile.runcall(office.journal.pull_one, office.b)
        calls.append(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]
    assert calls[1] < 1.2 * calls[0]


@pytest.mark.usefixtures("nothing_is_undone")
def test_directories_of_others_in_a_directory_where_we_render_and_make_some(office: Office) -> None:
    for name in (b"old", b"older"):
        office.a.mkdir(name, office.shots)
    office.agree()
    office.b.mkdir(b"ours", office.shots)
    office.render(3)
    office.b.replica.apply(Rmdir(office.shots, b"old", office.b.time()))
    office.b.mkdir(b"ours too", office.shots)
    for entry in range(3):  # each on top of what the one before left
        for number in range(2):
            office.a.mkdir(b"theirs.%d.%d" % (entry, number), office.shots)
        if entry == 1:
            office.a.replica.apply(Rmdir(office.shots, b"older", office.a.time()))
        assert office.journal.commit(office.a) is None
        office.journal.pull_one(office.b)
        office.b.check()
        office.b.crash()
    assert office.b.found(b"shots").nlink == 2 + 2 + 6
    assert office.b.found(b"shots").mtime_ns == office.b.now, "the time of our last one"
    office.agree()


def test_a_directory_that_comes_to_where_we_render_has_our_work_run_again(
    office: Office, undone: list[Rebase]
) -> None:
    office.render(2)
    office.a.replica.apply(Rename(ROOT, b"plates", office.shots, b"plates", office.a.time()))
    assert office.journal.commit(office.a) is None
    office.journal.pull_one(office.b)
    assert undone
    office.agree()


@pytest.mark.usefixtures("nothing_is_undone")
def test_our_first_operation_is_the_first_in_two_directories(office: Office) -> None:
    cut = Rename(office.shots, b"cut", office.plates, b"cut", office.b.time())
    office.b.replica.apply(cut)
    for directory in (office.shots, office.plates):
        office.a.create(b"new", directory)
    assert office.journal.commit(office.a) is None
    office.journal.pull_one(office.b)
    office.agree()


@pytest.mark.usefixtures("nothing_is_undone")
def test_it_survives_a_crash(office: Office) -> None:
    office.render()
    office.a.create(b"note", office.shots)
    assert office.journal.commit(office.a) is None
    office.journal.pull_one(office.b)
    office.b.crash()
    office.a.create(b"another", office.shots)
    assert office.journal.commit(office.a) is None
    office.journal.pull_one(office.b)
    office.agree()


@pytest.mark.usefixtures("nothing_is_undone")
def test_what_is_committed_is_in_nobody_s_way(office: Office) -> None:
    office.b.write(office.b.found(b"cut", office.shots).ino, b"second")
    assert office.journal.commit(office.b) is None
    office.journal.pull(office.a)
    office.a.write(office.a.found(b"cut", office.shots).ino, b"third!")
    assert office.journal.commit(office.a) is None
    office.render()
    office.journal.pull_one(office.b)
    assert office.b.content(b"cut", office.shots) == b"third!"
    office.agree()


def test_what_shows_is_undone_and_run_again(office: Office, undone: list[Rebase]) -> None:
    """Each of these changes more than the times and links of a directory where we are at work."""

    def same_name() -> None:
        office.a.create(b"frame.0", office.shots)

    def same_file() -> None:
        office.a.write(office.a.found(b"cut", office.shots).ino, b"theirs")

    def mode_of_the_directory() -> None:
        office.a.replica.apply(SetAttributes(office.shots, office.a.time(), mode=0o700))

    for their_change in (same_name, same_file, mode_of_the_directory):
        office.render(2)
        office.b.write(office.b.found(b"cut", office.shots).ino, b"ours")
        their_change()
        assert office.journal.commit(office.a) is None
        before = len(undone)
        office.journal.pull_one(office.b)
        assert len(undone) == before + 1, their_change.__name__
        office.agree()
        for name in office.b.names(office.shots):
            if name.startswith(b"frame"):
                office.b.unlink(name, office.shots)
        office.agree()


def test_a_directory_that_goes_is_not_slid_under_what_we_put_there(
    office: Office, undone: list[Rebase]
) -> None:
    office.b.create(b"ours", office.plates)
    office.a.replica.apply(Rmdir(ROOT, b"plates", office.a.time()))
    assert office.journal.commit(office.a) is None
    office.journal.pull_one(office.b)
    assert undone
    office.agree()
    assert office.b.names(office.plates) == [b"ours"]


def test_a_directory_that_moves_is_not_fast_forwarded_under_what_we_remove_in_it(
    office: Office, undone: list[Rebase]
) -> None:
    inner = office.a.mkdir(b"inner", office.plates)
    office.a.create(b"cut", inner)
    office.agree()
    office.b.unlink(b"cut", inner)
    office.a.replica.apply(Rename(ROOT, b"plates", ROOT, b"kept", office.a.time()))
    assert office.journal.commit(office.a) is None
    office.journal.pull_one(office.b)
    assert undone
    office.agree()
    assert office.b.names(inner) == [b"cut"]


def test_an_operation_that_failed_to_be_recorded_is_in_nobody_s_way(
    office: Office, undone: list[Rebase], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> NoReturn:
        raise NoSpace("the disk that holds the replica is full")

    with monkeypatch.context() as patch:
        patch.setattr(TailTable, "cover", full)
        office.b.replica.tails.put(office.b.found(b"cut", office.shots).ino, 0, b"tail", 0)
        with pytest.raises(NoSpace):
            office.b.create(b"not to be", office.shots)
    office.b.pack_tails()
    office.render(2)
    office.a.create(b"note", office.shots)
    assert office.journal.commit(office.a) is None
    office.journal.pull_one(office.b)
    assert not undone
    office.agree()


def test_a_disk_that_fills_up_meanwhile_leaves_all_as_it_was(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> NoReturn:
        raise NoSpace("the disk that holds the replica is full")

    office.render(2)
    office.a.create(b"note", office.shots)
    assert office.journal.commit(office.a) is None
    before, head = office.b.rows(), office.b.replica.pending.head()
    with monkeypatch.context() as patch:
        patch.setattr(JournalTables, "set_changes_of", full)
        with pytest.raises(NoSpace):
            office.journal.pull_one(office.b)
    assert (office.b.rows(), office.b.replica.pending.head()) == (before, head)
    office.journal.pull_one(office.b)
    assert office.b.content(b"note", office.shots) == b""
    office.agree()


@pytest.mark.parametrize("seed", range(40))
def test_sliding_ends_where_a_rebase_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random = Random(seed)
    blocks, journal, how = Blocks(), Journal(), Counter[bool]()
    nodes = [SimulatedNode(tmp_path / f"{name}.db", name, blocks, seed) for name in ("x", "yy")]

    def noted(*arguments: object) -> bool:
        how[done := fast_forward(*arguments)] += 1  # type: ignore[arg-type]
        return done

    for _ in range(30):
        winner, other = random.sample(nodes, 2)
        for _ in range(random.randrange(1, 4)):
            winner.act()
            other.act()
        while other.replica.pending.head().seq < len(journal.entries):
            journal.pull_one(other)
        while winner.replica.pending.head().seq < len(journal.entries):
            journal.pull_one(winner)
        if journal.commit(winner) is not None or other.replica.tails.loose():
            continue
        if other.replica.pending.head().seq == len(journal.entries):
            continue
        other.crash()  # what is only open is gone in a copy
        other.open.clear()
        copy = twin(other, tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(FAST_FORWARD, lambda *_: False)
            journal.pull_one(copy)
        before = how[True]
        with monkeypatch.context() as patch:
            patch.setattr(FAST_FORWARD, noted)
            journal.pull_one(other)
        if how[True] > before:
            assert other.rows() == copy.rows()
            assert waiting(other) == waiting(copy)
        copy.close()
    assert how[True] > 0
    for node in nodes:
        node.close()


def waiting(node: Node) -> list[PendingOperation]:
    """Return all that *node* has to commit, with the rows that it changed."""
    return [item for item in JournalTables(node.replica._database).waiting() if item.changes]


def twin(node: Node, path: Path) -> Node:
    """Return another node on a copy of what *node* has on disk."""
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{node.path}{suffix}", path / f"twin.db{suffix}")
    return Node(path / "twin.db", node.name, node.blocks)


def test_two_names_for_one_directory_are_told_apart(office: Office, undone: list[Rebase]) -> None:
    """We move a directory: theirs can make a cycle with it that no row shows."""
    office.b.replica.apply(Rename(ROOT, b"plates", office.shots, b"plates", office.b.time()))
    office.a.create(b"elsewhere", InodeNo(office.a.mkdir(b"other")))
    assert office.journal.commit(office.a) is None
    office.journal.pull_one(office.b)
    assert undone
    office.agree()
