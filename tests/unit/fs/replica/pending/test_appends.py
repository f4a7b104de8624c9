"""What is appended on two nodes at once ends in one file, and every byte of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure can be repeated

import pytest
from replica_fixture import Blocks, Journal, Node

from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import NewExtent, Rename, Write


class Office:
    """Node `a` wins the races, `b` loses them, `c` only looks; all share one log."""

    def __init__(self, path: Path) -> None:
        blocks = Blocks()
        self.nodes = [Node(path / f"{name}.db", name, blocks) for name in "abc"]
        self.a, self.b, self.c = self.nodes
        self.journal = Journal()
        self.log = self.a.create(b"log")
        self.a.write(self.log, b"begin\n")
        self.journal.settle(*self.nodes)

    def race(self) -> Touched:
        assert self.journal.commit(self.a) is None
        [touched] = self.journal.pull(self.b)
        return touched

    def settle(self) -> bytes:
        """Let all come to rest; return what is in the log then."""
        self.journal.settle(*self.nodes)
        self.journal.settle(*self.nodes)
        for node in self.nodes:
            node.check()
            assert node.rows() == self.a.rows()
        return self.c.read(self.log)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.settle()
    for node in office.nodes:
        node.close()


def append(node: Node, ino: InodeNo, line: bytes, *, late: bool = False) -> None:
    """Append *line* to the file as *node* knows it; *late*, it waits as a tail."""
    found = node.replica.tree.attributes(ino)
    assert found is not None
    if late:
        node.replica.tails.put(ino, found.size, line, node.time(), appended=True)
    else:
        block = node.blocks.seal(line)
        extent = NewExtent(found.size, len(line), block.id, 0)
        node.replica.apply(Write(ino, [extent], [block], node.time(), appended=True))


@pytest.mark.parametrize("late", [False, True])
def test_an_append_that_loses_a_race_is_laid_at_the_new_end(office: Office, late: bool) -> None:
    append(office.a, office.log, b"a was first\n", late=late)
    append(office.b, office.log, b"b one\n", late=late)
    append(office.b, office.log, b"b two\n", late=not late)
    touched = office.race()
    assert touched.shifted == {office.log: len(b"a was first\n")}
    assert touched.conflicts == ()
    assert office.b.read(office.log) == b"begin\na was first\nb one\nb two\n"
    assert office.settle() == b"begin\na was first\nb one\nb two\n"
    assert office.b.names() == [b"log"]


def test_equal_lines_of_two_nodes_are_two_lines(office: Office) -> None:
    append(office.a, office.log, b"done\n")
    append(office.b, office.log, b"done\n")
    office.race()
    assert office.settle() == b"begin\ndone\ndone\n"


def test_a_log_that_was_cut_meanwhile_gets_our_lines_at_its_new_end(office: Office) -> None:
    append(office.b, office.log, b"ours\n")
    office.a.truncate(office.log, 0)
    touched = office.race()
    assert touched.shifted == {office.log: -len(b"begin\n")}
    assert office.settle() == b"ours\n"


def test_a_log_that_was_rotated_keeps_our_lines_in_the_old_one(office: Office) -> None:
    append(office.b, office.log, b"ours\n")
    office.a.replica.apply(Rename(ROOT, b"log", ROOT, b"log.1", office.a.time()))
    office.a.create(b"log")
    office.race()
    office.settle()
    assert office.c.content(b"log.1") == b"begin\nours\n"
    assert office.c.names() == [b"log", b"log.1"]


def test_a_log_that_was_removed_is_there_again_with_our_lines(office: Office) -> None:
    append(office.b, office.log, b"ours\n")
    office.a.unlink(b"log")
    office.race()
    assert office.settle() == b"begin\nours\n"


@pytest.mark.parametrize("late", [False, True])
def test_who_wrote_somewhere_else_as_well_gets_a_copy(office: Office, late: bool) -> None:
    append(office.a, office.log, b"theirs\n")
    append(office.b, office.log, b"ours\n", late=late)
    if late:
        office.b.replica.tails.put(office.log, 0, b"BEGIN", office.b.time())
    else:
        office.b.write(office.log, b"BEGIN")
    touched = office.race()
    [(_, copy)] = touched.conflicts
    assert touched.shifted == {}
    assert office.settle() == b"begin\ntheirs\n"
    assert office.c.content(copy) == b"BEGIN\nours\n"


def test_what_is_in_memory_only_is_told_to_move(office: Office) -> None:
    office.b.replica.entries.set_dirty_source(lambda: {office.log: True})
    append(office.a, office.log, b"theirs\n")
    assert office.race().shifted == {office.log: len(b"theirs\n")}
    office.b.replica.entries.set_dirty_source(lambda: {office.log: False})
    append(office.a, office.log, b"more\n")
    assert office.log in office.race().moved


def test_bytes_that_move_keep_their_blocks(office: Office) -> None:
    append(office.a, office.log, b"theirs\n")
    append(office.b, office.log, b"ours\n")
    office.race()
    batch = office.b.replica.pending.next_batch(None)
    assert batch is not None
    assert batch.needs == (office.b.blocks.seal(b"ours\n").id,)


@pytest.mark.parametrize("seed", range(6))
def test_all_lines_of_all_nodes_are_in_one_file_in_their_order(office: Office, seed: int) -> None:
    random = Random(seed)
    expected: list[bytes] = []
    for number in range(60):
        node = random.choice(office.nodes)
        line = b"%s %d %s\n" % (node.name.encode(), number, b"." * random.randrange(20))
        append(node, office.log, line, late=random.random() < 0.5)
        expected.append(line)
        match random.randrange(6):
            case 0 | 1:
                office.journal.commit(random.choice(office.nodes))
            case 2:
                office.journal.pull(random.choice(office.nodes))
            case 3:
                node.crash()
            case _:
                pass
    lines = office.settle().splitlines(keepends=True)[1:]
    assert sorted(lines) == sorted(expected)
    for name in (b"a", b"b", b"c"):
        ours = [line for line in lines if line.startswith(name)]
        assert ours == [line for line in expected if line.startswith(name)]
    assert office.c.names() == [b"log"]
