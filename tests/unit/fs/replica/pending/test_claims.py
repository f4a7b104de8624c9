"""A name that somebody gave a file is a claim on it: it outlives what others remove meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from replica_fixture import Blocks, Journal, Node

from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import Forget, Link, Rename, Rmdir


class Office:
    """Three nodes. Who commits first wins."""

    def __init__(self, path: Path) -> None:
        blocks = Blocks()
        self.a, self.b, self.c = (Node(path / f"{n}.db", n, blocks) for n in "abc")
        self.nodes = (self.a, self.b, self.c)
        self.journal = Journal()
        self.d = self.a.mkdir(b"d")
        self.f = self.a.create(b"f", self.d)
        self.a.write(self.f, b"content")
        self.share()

    def share(self) -> None:
        self.journal.settle(*self.nodes)
        for node in self.nodes:
            self.journal.pull(node)
            node.check()
            assert node.rows() == self.a.rows()

    def commit(self, node: Node) -> list[Touched]:
        """Have *node* commit all it has; return what it was told on the way."""
        told = self.journal.pull(node)
        while node.replica.pending.has_work():
            if (touched := self.journal.commit(node)) is not None:
                told.append(touched)
        return told


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.share()
    for node in office.nodes:
        node.close()


def rename(node: Node, at: InodeNo, name: bytes, to: InodeNo, new_name: bytes) -> None:
    node.replica.apply(Rename(at, name, to, new_name, node.time()))


def remove_directory(node: Node, name: bytes) -> None:
    directory = node.found(name).ino
    for below in node.names(directory):
        node.unlink(below, directory)
    node.replica.apply(Rmdir(ROOT, name, node.time()))


def test_a_file_moved_out_of_a_removed_directory_leaves_nothing_else(office: Office) -> None:
    remove_directory(office.b, b"d")
    office.commit(office.b)
    rename(office.a, office.d, b"f", ROOT, b"kept")
    (touched,) = office.commit(office.a)
    assert office.a.tree() == {b"/kept": b"content"}
    assert touched.conflicts == ()
    assert office.a.found(b"kept").ino == office.f


def test_a_file_moved_into_a_removed_directory_is_there(office: Office) -> None:
    office.a.write(office.a.create(b"g"), b"other")
    office.share()
    remove_directory(office.b, b"d")
    office.commit(office.b)
    rename(office.a, ROOT, b"g", office.d, b"g")
    office.commit(office.a)
    assert office.a.tree() == {b"/d": "directory", b"/d/g": b"other"}


def test_a_link_lives_and_the_removed_name_stays_removed(office: Office) -> None:
    office.b.unlink(b"f", office.d)
    office.commit(office.b)
    office.a.replica.apply(Link(office.f, ROOT, b"link", office.a.time()))
    office.commit(office.a)
    assert office.a.tree() == {b"/d": "directory", b"/link": b"content"}


@pytest.mark.parametrize("is_open", [False, True])
def test_a_link_to_what_was_saved_over_keeps_the_old_version(office: Office, is_open: bool) -> None:
    new = office.b.create(b"tmp", office.d)
    office.b.write(new, b"new")
    now = office.b.time()
    office.b.replica.apply(Rename(office.d, b"tmp", office.d, b"f", now, keep=is_open))
    office.commit(office.b)
    office.a.replica.apply(Link(office.f, ROOT, b"link", office.a.time()))
    touched = office.commit(office.a)
    assert office.a.tree() == {b"/d": "directory", b"/d/f": b"new", b"/link": b"content"}
    assert not any(told.conflicts for told in touched)
    if is_open:
        office.b.replica.apply(Forget(office.f))
        office.share()
        assert office.b.content(b"link") == b"content"


def test_what_we_wrote_to_a_file_that_is_unlinked_but_open_elsewhere_is_not_lost(
    office: Office,
) -> None:
    office.b.unlink(b"f", office.d, keep=True)
    office.commit(office.b)
    office.a.write(office.f, b"newer!!")
    (touched,) = office.commit(office.a)
    assert office.a.content(b"f", office.d) == b"newer!!"
    assert touched.moved == {office.f: office.a.found(b"f", office.d).ino}
    office.b.replica.apply(Forget(office.f))
    office.share()
    assert office.b.content(b"f", office.d) == b"newer!!"


def test_a_moved_directory_keeps_what_is_removed_entry_by_entry(office: Office) -> None:
    for number in range(4):
        office.a.write(office.a.create(b"%d" % number, office.d), b"%d" % number)
    office.share()
    rename(office.a, ROOT, b"d", ROOT, b"moved")
    for name in office.b.names(office.d):
        office.b.unlink(name, office.d)
        office.commit(office.b)
        office.journal.pull(office.a)
    office.b.replica.apply(Rmdir(ROOT, b"d", office.b.time()))
    office.commit(office.b)
    office.commit(office.a)
    contents = {b"/moved/%d" % number: b"%d" % number for number in range(4)}
    assert office.a.tree() == {b"/moved": "directory", b"/moved/f": b"content", **contents}


def test_whoever_removes_a_directory_that_was_moved_removes_nothing(office: Office) -> None:
    rename(office.a, ROOT, b"d", ROOT, b"moved")
    office.commit(office.a)
    remove_directory(office.b, b"d")
    office.commit(office.b)
    assert office.b.tree() == {b"/moved": "directory", b"/moved/f": b"content"}


def test_a_scratch_file_of_ours_in_a_directory_that_was_moved_goes(office: Office) -> None:
    rename(office.a, ROOT, b"d", ROOT, b"moved")
    office.commit(office.a)
    office.b.create(b"scratch", office.d)
    office.b.unlink(b"scratch", office.d)
    office.b.unlink(b"f", office.d)
    office.b.write(office.b.create(b"f", office.d), b"saved")
    office.commit(office.b)
    assert office.b.tree() == {b"/moved": "directory", b"/moved/f": b"saved"}


def test_a_removed_directory_that_somebody_made_anew_takes_what_we_put_there(
    office: Office,
) -> None:
    remove_directory(office.b, b"d")
    office.b.mkdir(b"d")
    office.commit(office.b)
    office.a.write(office.a.create(b"g", office.d), b"ours")
    (touched,) = office.commit(office.a)
    assert office.a.tree() == {b"/d": "directory", b"/d/g": b"ours"}
    assert touched.moved == {office.d: office.a.found(b"d").ino}


def test_a_conflict_copy_of_a_directory_says_where_its_files_come_from(office: Office) -> None:
    remove_directory(office.b, b"d")
    office.b.write(office.b.create(b"d"), b"a file now")
    office.commit(office.b)
    for name in (b"one", b"two"):
        office.a.write(office.a.create(name, office.d), name)
    (touched,) = office.commit(office.a)
    [(parent, name)] = touched.conflicts
    assert parent == ROOT
    assert name.startswith(b"d (conflict, a, ")
    assert office.a.tree() == {
        b"/d": b"a file now",
        b"/" + name: "directory",
        b"/" + name + b"/one": b"one",
        b"/" + name + b"/two": b"two",
    }


@pytest.mark.parametrize("is_open", [False, True])
def test_what_we_wrote_and_threw_away_does_not_reach_a_file_that_was_moved(
    office: Office, is_open: bool
) -> None:
    rename(office.a, office.d, b"f", ROOT, b"kept")
    office.commit(office.a)
    office.b.write(office.f, b"scratch")
    office.b.unlink(b"f", office.d, keep=is_open)
    if is_open:
        office.b.write(office.f, b"more of it")
    (touched,) = office.commit(office.b)
    assert office.b.tree() == {b"/d": "directory", b"/kept": b"content"}
    if is_open:
        assert office.b.read(touched.moved[office.f]) == b"more of it"
        office.b.replica.apply(Forget(touched.moved[office.f]))


def test_what_we_wrote_in_a_removed_directory_is_there_again(office: Office) -> None:
    remove_directory(office.b, b"d")
    office.commit(office.b)
    office.a.write(office.f, b"newer!!")
    (touched,) = office.commit(office.a)
    assert office.a.tree() == {b"/d": "directory", b"/d/f": b"newer!!"}
    assert touched.conflicts == ()


def test_two_operations_of_one_file_both_hold(office: Office) -> None:
    office.b.unlink(b"f", office.d)
    office.commit(office.b)
    office.a.write(office.f, b"edited!")
    rename(office.a, office.d, b"f", ROOT, b"moved")
    office.a.set_xattr(office.f, b"user.note", b"mine")
    office.commit(office.a)
    assert office.a.tree() == {b"/d": "directory", b"/moved": b"edited!"}
    assert office.a.replica.tree.xattr(office.f, b"user.note") == b"mine"


def test_two_who_rescue_one_file_with_different_contents_keep_both(office: Office) -> None:
    office.a.write(office.f, b"by a!!!")
    office.c.write(office.f, b"by c!!!")
    office.b.unlink(b"f", office.d)
    office.commit(office.b)
    office.journal.pull(office.a)
    office.journal.pull(office.c)
    office.commit(office.a)
    office.commit(office.c)
    contents = [content for content in office.c.tree().values() if isinstance(content, bytes)]
    assert sorted(contents) == [b"by a!!!", b"by c!!!"]


def test_two_who_move_one_removed_file_agree_on_a_place(office: Office) -> None:
    rename(office.a, office.d, b"f", ROOT, b"by a")
    rename(office.c, office.d, b"f", ROOT, b"by c")
    remove_directory(office.b, b"d")
    office.commit(office.b)
    office.journal.pull(office.c)
    office.commit(office.a)
    office.commit(office.c)
    assert office.c.tree() == {b"/by a": b"content"}


def test_a_claim_survives_a_crash_before_it_is_committed(office: Office) -> None:
    remove_directory(office.b, b"d")
    office.commit(office.b)
    rename(office.a, office.d, b"f", ROOT, b"kept")
    office.journal.pull(office.a)
    office.a.crash()
    office.c.create(b"unrelated")
    office.commit(office.c)
    office.commit(office.a)
    assert office.a.content(b"kept") == b"content"
    assert office.a.names() == [b"kept", b"unrelated"]


@pytest.mark.parametrize("saves_over", [False, True])
def test_a_link_that_we_gave_up_is_not_the_last_name_of_a_file(
    office: Office, saves_over: bool
) -> None:
    rename(office.a, office.d, b"f", office.d, b"link")
    office.commit(office.a)
    office.b.replica.apply(Link(office.f, office.d, b"link", office.b.time()))
    if saves_over:
        office.b.write(office.b.create(b"g"), b"ours")
        rename(office.b, ROOT, b"g", office.d, b"link")
    else:
        office.b.unlink(b"link", office.d)
    office.commit(office.b)
    assert office.b.content(b"link", office.d) == b"content"
    assert len(office.b.names(office.d)) == (2 if saves_over else 1)


@pytest.mark.parametrize("saves_over", [False, True])
def test_what_we_moved_out_of_a_directory_that_was_moved_is_not_removed(
    office: Office, saves_over: bool
) -> None:
    rename(office.a, ROOT, b"d", ROOT, b"moved")
    office.commit(office.a)
    rename(office.b, office.d, b"f", ROOT, b"out")
    if saves_over:
        office.b.write(office.b.create(b"g"), b"ours")
        rename(office.b, ROOT, b"g", ROOT, b"out")
    else:
        office.b.write(office.f, b"scratch")
        office.b.unlink(b"out")
    office.commit(office.b)
    assert office.b.content(b"out") == b"content"


def test_who_holds_open_what_others_rescue_holds_his_own(office: Office) -> None:
    """The number of a file without a name is never that under which it comes back elsewhere."""
    office.b.unlink(b"f", office.d)
    office.commit(office.b)
    office.a.write(office.f, b"scratch")
    office.a.unlink(b"f", office.d, keep=True)
    office.c.replica.apply(Link(office.f, ROOT, b"kept", office.c.time()))
    (touched,) = office.commit(office.a)
    office.commit(office.c)
    assert office.c.content(b"kept") == b"content"
    office.a.replica.apply(Forget(touched.moved[office.f]))
    office.share()
    assert office.a.content(b"kept") == b"content"
