"""Two nodes, one slot: what becomes of the loser's work, rule by rule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from replica_fixture import Blocks, Journal, Node

from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import ROOT, InodeNo, Kind
from lucidnode.fs.replica.intents import (
    RENAME_EXCHANGE,
    Create,
    Forget,
    Link,
    NewExtent,
    Rename,
    Rmdir,
    SetAttributes,
    Write,
)
from lucidnode.fs.replica.tree.extent_table import SLICE_EXTENTS
from lucidnode.node.client.ids import Seq


class Office:
    """Node `a` wins every race; node `b` loses it and is looked at."""

    def __init__(self, path: Path) -> None:
        blocks = Blocks()
        self.a = Node(path / "a.db", "a", blocks)
        self.b = Node(path / "b.db", "b", blocks)
        self.journal = Journal()

    def share(self) -> None:
        """Bring both to one state."""
        self.journal.settle(self.a, self.b)
        self.check()

    def race(self) -> Touched:
        """Have both try for the next slot; return what the loser was told."""
        assert self.journal.commit(self.a) is None
        touched = self.journal.commit(self.b)
        assert touched is not None, "there was no race"
        self.b.check()
        return touched

    def check(self) -> None:
        assert self.a.rows() == self.b.rows()
        self.a.check()
        self.b.check()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.share()
    office.a.close()
    office.b.close()


def conflicts(node: Node, parent: InodeNo = ROOT) -> list[bytes]:
    return [name for name in node.names(parent) if b"(conflict, b, " in name]


def shared_file(office: Office, name: bytes = b"f", content: bytes = b"base") -> InodeNo:
    file = office.a.create(name)
    office.a.write(file, content)
    office.share()
    return file


def rename(node: Node, name: bytes, new_name: bytes, flags: int = 0, **at: InodeNo) -> None:
    parent, new_parent = at.get("parent", ROOT), at.get("new_parent", ROOT)
    node.replica.apply(Rename(parent, name, new_parent, new_name, node.time(), flags))


# -- create and link -----------------------------------------------------------------------------


def test_independent_creates_both_stand_under_their_names(office: Office) -> None:
    office.a.create(b"one")
    office.b.create(b"two")
    touched = office.race()
    assert office.b.names() == [b"one", b"two"]
    assert touched.names == {(ROOT, b"one")}
    assert touched.conflicts == ()


def test_a_name_taken_meanwhile_gives_ours_a_conflict_name(office: Office) -> None:
    theirs, ours = office.a.create(b"cut.mov"), office.b.create(b"cut.mov")
    office.b.write(ours, b"our cut")
    touched = office.race()
    (name,) = conflicts(office.b)
    assert name.startswith(b"cut (conflict, b, ")
    assert name.endswith(b").mov")
    assert office.b.found(b"cut.mov").ino == theirs
    assert office.b.content(name) == b"our cut"
    assert touched.conflicts == ((ROOT, name),)
    assert touched.names == {(ROOT, b"cut.mov"), (ROOT, name)}
    office.share()
    assert office.a.content(name) == b"our cut"


def test_what_follows_on_a_conflict_name_means_our_file(office: Office) -> None:
    theirs, ours = office.a.create(b"f"), office.b.create(b"f")
    rename(office.b, b"f", b"g")
    office.b.create(b"f")
    office.b.unlink(b"f")
    office.race()
    assert office.b.names() == [b"f", b"g"]
    assert office.b.found(b"f").ino == theirs
    assert office.b.found(b"g").ino == ours


def test_a_conflict_name_survives_the_next_lost_race(office: Office) -> None:
    office.a.create(b"f")
    office.b.create(b"f")
    office.race()
    (name,) = conflicts(office.b)
    office.a.create(b"another")
    office.race()
    assert conflicts(office.b) == [name]


def test_the_same_conflict_name_twice_is_numbered(office: Office) -> None:
    office.b.now = 10**18
    office.a.create(b"f")
    office.b.create(b"f")
    office.race()
    (name,) = conflicts(office.b)
    office.share()
    office.a.unlink(b"f")
    office.share()
    office.b.now = 10**18
    office.a.create(b"f")
    office.b.create(b"f")
    office.race()
    assert len(conflicts(office.b)) == 2
    assert name.removesuffix(b")") + b", 2)" in office.b.names()


def test_one_directory_made_twice_becomes_one(office: Office) -> None:
    theirs, ours = office.a.mkdir(b"shots"), office.b.mkdir(b"shots")
    office.a.create(b"theirs", theirs)
    file = office.b.create(b"ours", ours)
    deeper = office.b.mkdir(b"deeper", ours)
    office.b.create(b"x", deeper)
    touched = office.race()
    assert office.b.names() == [b"shots"]
    assert office.b.names(theirs) == [b"deeper", b"ours", b"theirs"]
    assert touched.moved == {ours: theirs}
    assert touched.conflicts == ()
    # A kernel that still knows the old number gets the same directory.
    assert office.b.names(ours) == office.b.names(theirs)
    found = office.b.replica.tree.lookup(ours, b"ours")
    assert found is not None
    assert found.ino == file
    office.b.create(b"later", ours)
    assert b"later" in office.b.names(theirs)


def test_a_directory_does_not_merge_with_a_file(office: Office) -> None:
    office.a.create(b"shots")
    ours = office.b.mkdir(b"shots")
    office.b.create(b"x", ours)
    office.race()
    (name,) = conflicts(office.b)
    assert office.b.found(name).ino == ours
    assert office.b.names(ours) == [b"x"]


def test_a_directory_that_we_put_something_into_is_there_again(office: Office) -> None:
    directory = office.a.mkdir(b"d")
    office.share()
    office.a.replica.apply(Rmdir(ROOT, b"d", office.a.time()))
    file = office.b.create(b"f.txt", directory)
    office.b.write(file, b"kept")
    inner = office.b.mkdir(b"sub", directory)
    office.b.create(b"x", inner)
    touched = office.race()
    assert office.b.tree() == {
        b"/d": "directory",
        b"/d/f.txt": b"kept",
        b"/d/sub": "directory",
        b"/d/sub/x": b"",
    }
    assert office.b.found(b"d").ino == directory
    assert touched.conflicts == ()


@pytest.mark.parametrize("winner_removes", [True, False])
def test_a_time_that_stands_still_hides_no_dependency(office: Office, winner_removes: bool) -> None:
    """The directory's own row does not change: it has the time of the create already."""
    directory = office.a.mkdir(b"d")
    office.share()
    now = office.a.found(b"d").mtime_ns
    remover, maker = (office.a, office.b) if winner_removes else (office.b, office.a)
    remover.replica.apply(Rmdir(ROOT, b"d", remover.time()))
    ino = maker.replica.new_ino()
    maker.replica.apply(Create(directory, b"f", ino, Kind.FILE, 0o644, 1, 1, now))
    office.race()
    assert office.b.replica.tree.names_of(ino) != []


def test_a_link_to_a_taken_name_gets_a_conflict_name(office: Office) -> None:
    file = shared_file(office)
    office.a.create(b"link")
    office.b.replica.apply(Link(file, ROOT, b"link", office.b.time()))
    office.race()
    (name,) = conflicts(office.b)
    assert office.b.found(name).ino == file
    assert office.b.found(b"f").nlink == 2


def test_the_same_link_made_twice_is_one_link(office: Office) -> None:
    file = shared_file(office)
    for node in (office.a, office.b):
        node.replica.apply(Link(file, ROOT, b"link", node.time()))
    office.race()
    assert office.b.names() == [b"f", b"link"]
    assert office.b.found(b"f").nlink == 2


# -- content -------------------------------------------------------------------------------------


def test_a_file_written_by_both_exists_twice(office: Office) -> None:
    file = shared_file(office)
    office.a.write(file, b"theirs")
    office.b.write(file, b"ours!!", offset=2)
    office.b.set_xattr(file, b"user.note", b"mine")
    touched = office.race()
    (name,) = conflicts(office.b)
    assert office.b.content(b"f") == b"theirs"
    assert office.b.content(name) == b"baours!!"
    copy = office.b.found(name).ino
    assert touched.moved == {file: copy}
    assert office.b.replica.tree.xattr(copy, b"user.note") == b"mine"
    assert file in touched.content
    office.share()
    assert office.a.content(name) == b"baours!!"


def test_what_we_write_after_the_race_goes_where_it_is_sent(office: Office) -> None:
    file = shared_file(office)
    office.a.write(file, b"theirs")
    office.b.write(file, b"ours")
    copy = office.race().moved[file]
    office.b.write(copy, b"more", offset=4)
    office.a.write(file, b"again")
    office.race()
    (name,) = conflicts(office.b)
    assert office.b.content(name) == b"oursmore"
    assert office.b.content(b"f") == b"agains"


def test_a_tail_counts_as_a_write_of_ours(office: Office) -> None:
    file = shared_file(office)
    office.a.write(file, b"theirs")
    office.b.replica.tails.put(file, 4, b" and tail", 0)
    assert office.journal.commit(office.a) is None
    (touched,) = office.journal.pull(office.b)
    (name,) = conflicts(office.b)
    assert office.b.content(b"f") == b"theirs"
    assert office.b.content(name) == b"base and tail"
    assert [tail.ino for tail in office.b.replica.tails.loose()] == [touched.moved[file]]


def test_both_wrote_the_same_and_nobody_conflicts(office: Office) -> None:
    file = shared_file(office)
    office.a.write(file, b"rendered")
    office.b.write(file, b"rendered")
    touched = office.race()
    assert office.b.names() == [b"f"]
    assert touched.moved == {}


def test_attributes_of_a_file_the_other_wrote_are_set_on_it(office: Office) -> None:
    file = shared_file(office)
    office.a.write(file, b"theirs")
    office.b.replica.apply(SetAttributes(file, office.b.time(), mode=0o600))
    office.b.set_xattr(file, b"user.a", b"1")
    office.race()
    assert office.b.names() == [b"f"]
    assert office.b.found(b"f").mode == 0o600
    assert office.b.content(b"f") == b"theirs"


def test_a_file_we_wrote_and_they_deleted_comes_back_as_itself(office: Office) -> None:
    file = shared_file(office)
    office.a.unlink(b"f")
    office.b.write(file, b"still editing")
    touched = office.race()
    assert office.b.names() == [b"f"]
    assert office.b.found(b"f").ino == file
    assert office.b.content(b"f") == b"still editing"
    assert touched.moved == {}


def test_a_file_we_wrote_and_they_replaced_stands_beside_theirs(office: Office) -> None:
    file = shared_file(office)
    theirs = office.a.create(b".tmp")
    office.a.write(theirs, b"saved by them")
    rename(office.a, b".tmp", b"f")
    office.b.write(file, b"edited by us")
    office.race()
    (name,) = conflicts(office.b)
    assert office.b.content(b"f") == b"saved by them"
    assert office.b.content(name) == b"edited by us"
    assert office.b.found(name).ino == file


def test_a_huge_version_of_ours_is_restored_in_slices(office: Office) -> None:
    file = shared_file(office)
    block = office.b.blocks.seal(b"x")
    for start in (0, SLICE_EXTENTS):
        extents = [NewExtent(2 * (start + at), 1, block.id, 0) for at in range(SLICE_EXTENTS)]
        office.b.replica.apply(Write(file, extents, [block], office.b.time()))
    office.a.write(file, b"theirs")
    expected = office.b.read(file)
    copy = office.race().moved[file]
    assert office.b.read(copy) == expected
    assert all(
        len(item.changes) <= SLICE_EXTENTS + 8
        for item in office.b.replica.pending._ground.journal.waiting()
    )


# -- unlink and rmdir ----------------------------------------------------------------------------


def test_what_the_other_wrote_is_not_deleted(office: Office) -> None:
    file = shared_file(office)
    office.a.write(file, b"saved just in time")
    office.b.unlink(b"f")
    office.race()
    assert office.b.content(b"f") == b"saved just in time"


def test_what_we_wrote_and_then_deleted_does_not_touch_theirs(office: Office) -> None:
    file = shared_file(office)
    office.a.write(file, b"theirs")
    office.b.write(file, b"ours, thrown away")
    office.b.unlink(b"f")
    office.race()
    assert office.b.names() == [b"f"]
    assert office.b.content(b"f") == b"theirs"


def test_an_open_file_without_a_name_never_becomes_theirs(office: Office) -> None:
    file = shared_file(office)
    office.a.write(file, b"theirs")
    office.b.write(file, b"scratch")
    office.b.unlink(b"f", keep=True)
    copy = office.race().moved[file]
    assert office.b.content(b"f") == b"theirs"
    assert office.b.read(copy) == b"scratch"
    assert office.b.replica.tree.names_of(copy) == []
    office.b.replica.apply(Forget(copy))
    assert office.b.replica.tree.attributes(copy) is None


def test_a_link_without_a_name_is_not_copied(office: Office) -> None:
    """It is no file, so there is no content that anybody could go on with."""
    link = office.a.create(b"l", kind=Kind.SYMLINK, target=b"t")
    office.share()
    office.a.unlink(b"l", keep=True)
    office.b.unlink(b"l", keep=True)
    office.race()
    for node in (office.a, office.b):
        node.replica.apply(Forget(link))
    office.share()
    assert office.b.replica.tree.attributes(link) is None


def test_a_name_that_means_another_file_now_is_not_unlinked(office: Office) -> None:
    shared_file(office)
    office.a.unlink(b"f")
    theirs = office.a.create(b"f")
    office.b.unlink(b"f")
    office.race()
    assert office.b.found(b"f").ino == theirs


def test_unlinking_twice_is_unlinking(office: Office) -> None:
    shared_file(office)
    office.a.unlink(b"f")
    office.b.unlink(b"f")
    office.race()
    assert office.b.names() == []
    assert not office.b.replica.pending.has_work()


def test_a_directory_that_got_a_name_is_not_removed(office: Office) -> None:
    directory = office.a.mkdir(b"d")
    office.share()
    office.a.create(b"new", directory)
    office.b.replica.apply(Rmdir(ROOT, b"d", office.b.time()))
    office.race()
    assert office.b.names(directory) == [b"new"]


# -- rename --------------------------------------------------------------------------------------


def test_a_file_the_other_moved_stays_where_it_was_moved(office: Office) -> None:
    file = shared_file(office)
    rename(office.a, b"f", b"theirs")
    rename(office.b, b"f", b"ours")
    office.race()
    assert office.b.names() == [b"theirs"]
    assert office.b.found(b"theirs").ino == file


def test_renaming_onto_a_name_taken_meanwhile_gives_a_conflict_name(office: Office) -> None:
    file = shared_file(office)
    office.a.write(office.a.create(b"target"), b"theirs")
    rename(office.b, b"f", b"target")
    office.race()
    (name,) = conflicts(office.b)
    assert office.b.content(b"target") == b"theirs"
    assert office.b.found(name).ino == file


def test_a_save_by_rename_does_not_destroy_what_the_other_wrote(office: Office) -> None:
    file = shared_file(office)
    office.a.write(file, b"theirs")
    ours = office.b.create(b".f.tmp")
    office.b.write(ours, b"ours")
    rename(office.b, b".f.tmp", b"f")
    office.race()
    (name,) = conflicts(office.b)
    assert office.b.content(b"f") == b"theirs"
    assert office.b.content(name) == b"ours"


@pytest.mark.parametrize("as_tail", [False, True])
def test_of_saves_by_rename_only_the_last_becomes_a_conflict_copy(
    office: Office, as_tail: bool
) -> None:
    """Who saves again has thrown away what came before, whether or not it got a block meanwhile."""
    shared_file(office)
    office.a.write(office.a.create(b"tmp.a"), b"of a")
    office.a.replica.apply(Rename(ROOT, b"tmp.a", ROOT, b"f", office.a.time()))
    for number in range(3):
        saved = office.b.create(b"tmp.b")
        if as_tail:
            office.b.replica.tails.put(saved, 0, b"of b %d" % number, office.b.time())
        else:
            office.b.write(saved, b"of b %d" % number)
        office.b.replica.apply(Rename(ROOT, b"tmp.b", ROOT, b"f", office.b.time()))
    office.race()
    [copy] = conflicts(office.b)
    assert office.b.content(copy) == b"of b 2"
    assert office.b.content(b"f") == b"of a"


def test_a_save_by_rename_replaces_what_it_meant_to(office: Office) -> None:
    shared_file(office)
    office.a.create(b"elsewhere")
    ours = office.b.create(b".f.tmp")
    office.b.write(ours, b"ours")
    rename(office.b, b".f.tmp", b"f")
    office.race()
    assert office.b.names() == [b"elsewhere", b"f"]
    assert office.b.content(b"f") == b"ours"


def test_two_moves_that_would_make_a_cycle_leave_one(office: Office) -> None:
    # In homes of their own, so that no row is changed by both moves.
    homes = [office.a.mkdir(b"p"), office.a.mkdir(b"q")]
    one, two = office.a.mkdir(b"one", homes[0]), office.a.mkdir(b"two", homes[1])
    deep_one, deep_two = office.a.mkdir(b"deep", one), office.a.mkdir(b"deep", two)
    office.share()
    rename(office.a, b"one", b"moved", parent=homes[0], new_parent=deep_two)
    rename(office.b, b"two", b"moved", parent=homes[1], new_parent=deep_one)
    office.race()
    assert office.b.names(homes[0]) == []
    assert office.b.names(homes[1]) == [b"two"]
    assert office.b.names(deep_two) == [b"moved"]


def test_a_move_that_would_make_a_circle_claims_nothing(office: Office, tmp_path: Path) -> None:
    one, two = office.a.mkdir(b"one"), office.a.mkdir(b"two")
    office.a.create(b"x", one)
    office.share()
    third = Node(tmp_path / "c.db", "c", office.a.blocks)
    office.journal.pull(third)
    third.unlink(b"x", one)
    rename(office.a, b"two", b"n", new_parent=one)
    rename(office.b, b"one", b"n", new_parent=two)
    office.race()
    office.journal.settle(office.a, office.b, third)
    assert office.b.tree() == {b"/one": "directory", b"/one/n": "directory"}
    third.close()


def test_a_directory_that_a_third_brings_back_is_itself_again(
    office: Office, tmp_path: Path
) -> None:
    """It was another one's for a while, for whoever had put something into it."""
    office.a.mkdir(b"d")
    emptied = office.a.mkdir(b"e")
    office.share()
    third = Node(tmp_path / "c.db", "c", office.a.blocks)
    office.journal.pull(third)
    rename(third, b"d", b"e", RENAME_EXCHANGE)
    office.b.mkdir(b"n", emptied)
    rename(office.a, b"d", b"e")
    office.race()
    assert office.b.names() == [b"e"]
    assert office.b.names(emptied) == [b"n"]
    office.journal.settle(office.a, office.b, third)
    assert office.b.found(b"d").ino == emptied
    assert office.b.names(emptied) == []
    assert office.b.tree() == office.a.tree() == third.tree()
    third.close()


def test_a_conflict_name_that_is_taken_away_and_stands_after_all_is_told(office: Office) -> None:
    """We moved a file out over another, and removed it there; the others changed both."""
    directory = office.a.mkdir(b"d")
    file = office.a.create(b"x", directory)
    office.a.create(b"f")
    office.a.create(b"g")
    office.share()
    rename(office.a, b"f", b"g", RENAME_EXCHANGE)
    rename(office.b, b"x", b"f", parent=directory)
    office.b.unlink(b"f")
    assert office.race().conflicts == ()
    assert conflicts(office.b) == []
    rename(office.a, b"d", b"e")
    told = office.race().conflicts
    assert [(ROOT, name) for name in conflicts(office.b)] == list(told)
    assert office.b.found(told[0][1]).ino == file


def test_a_file_moved_through_a_directory_that_is_gone_arrives(office: Office) -> None:
    file = shared_file(office)
    directory = office.a.mkdir(b"d")
    office.share()
    office.a.replica.apply(Rmdir(ROOT, b"d", office.a.time()))
    rename(office.b, b"f", b"g", new_parent=directory)
    rename(office.b, b"g", b"h", parent=directory)
    office.race()
    assert office.b.names() == [b"h"]
    assert office.b.found(b"h").ino == file


def test_an_exchange_claims_both_sides(office: Office) -> None:
    file = shared_file(office)
    other = office.a.create(b"other")
    office.share()
    office.a.unlink(b"other")
    rename(office.b, b"f", b"other", RENAME_EXCHANGE)
    office.race()
    assert office.b.names() == [b"f", b"other"]
    assert (office.b.found(b"f").ino, office.b.found(b"other").ino) == (other, file)


def test_a_directory_replaces_no_directory_that_got_a_name(office: Office) -> None:
    empty, ours = office.a.mkdir(b"empty"), office.a.mkdir(b"ours")
    office.share()
    office.a.create(b"new", empty)
    rename(office.b, b"ours", b"empty")
    office.race()
    (name,) = conflicts(office.b)
    assert office.b.found(name).ino == ours
    assert office.b.names(empty) == [b"new"]


# -- entries of all kinds ------------------------------------------------------------------------


def test_an_entry_touches_what_it_changed_and_nothing_of_ours(office: Office) -> None:
    directory = office.a.mkdir(b"d")
    file = office.a.create(b"f", directory)
    office.share()
    for number in range(20):
        office.b.create(b"%d" % number)
    office.a.write(file, b"new")
    rename(office.a, b"f", b"g", parent=directory, new_parent=directory)
    touched = office.race()
    assert touched.names == {(directory, b"f"), (directory, b"g")}
    assert touched.inodes == {directory, file}
    assert touched.content == {file}


def test_what_cancels_out_needs_no_entry(office: Office) -> None:
    file = shared_file(office)
    ctime = office.b.found(b"f").ctime_ns
    office.b.replica.apply(SetAttributes(file, time_ns=ctime, mode=0o600))
    office.b.replica.apply(SetAttributes(file, time_ns=ctime, mode=0o644))
    assert office.b.replica.pending.has_work()
    assert office.b.replica.pending.next_batch(None) is None
    assert not office.b.replica.pending.has_work()


def test_a_batch_needs_the_blocks_it_names_first(office: Office) -> None:
    file = office.b.create(b"f")
    office.b.write(file, b"one")
    batch = office.b.replica.pending.next_batch(None)
    assert batch is not None
    assert batch.needs == (office.b.blocks.seal(b"one").id,)
    office.share()
    office.b.write(file, b"two")
    office.b.write(file, b"one", offset=3)
    batch = office.b.replica.pending.next_batch(None)
    assert batch is not None
    assert batch.needs == (office.b.blocks.seal(b"two").id,)


def test_a_long_line_becomes_several_entries(office: Office) -> None:
    for number in range(1200):
        office.b.write(office.b.create(b"%d" % number), b"%d" % number)
    batch = office.b.replica.pending.next_batch(None)
    assert batch is not None
    assert len(batch.needs) <= 512
    assert batch.last < office.b.replica.pending.newest()


def foreign_changeset(sql: str) -> bytes:
    """Return the changeset of *sql* on tables that look nearly like ours."""
    connection = apsw.Connection(":memory:")
    connection.execute(
        "CREATE TABLE head (one INTEGER PRIMARY KEY, seq, hash, seen);"
        "CREATE TABLE name (parent, name, ino, PRIMARY KEY (parent, name)) WITHOUT ROWID;"
        "CREATE TABLE xattr (ino, name, PRIMARY KEY (ino, name)) WITHOUT ROWID;"
        "CREATE TABLE inode (ino INTEGER PRIMARY KEY, kind, mode, uid, gid, size, nlink,"
        " atime_ns, mtime_ns, ctime_ns, rdev, target, version)"
    )
    session = apsw.Session(connection, "main")
    session.attach()
    connection.execute(sql)
    return session.changeset()


FILE = "INSERT INTO inode VALUES ({}, {}, {}, 0, 0, 0, 1, 0, 0, 0, 0, x'', 0)"


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "pending"])
def test_an_entry_that_changes_one_row_twice_counts_as_empty(office: Office, busy: bool) -> None:
    """SQLite takes it. No Lucidnode makes one."""
    if busy:
        office.b.create(b"ours")
    database = office.a.replica._database
    before = office.a.rows()
    [root] = database.rows("SELECT * FROM inode WHERE ino = 1")
    later, latest = ((*root[:9], root[9] + n, *root[10:]) for n in (1, 2))
    steps = ((root, later), (later, latest))
    twice = b"".join(database.changeset([("inode", old, new)]) for old, new in steps)
    office.journal.entries.append(twice)
    for node in (office.a, office.b):
        assert office.journal.pull_one(node).refused
    assert office.a.rows() == before
    office.share()


@pytest.mark.parametrize(
    "changeset",
    [
        b"not a changeset",
        foreign_changeset("INSERT INTO head VALUES (1, 99, x'00', 99)"),
        foreign_changeset("INSERT INTO xattr VALUES (1, x'61')"),
        foreign_changeset("INSERT INTO name VALUES (1, x'612f62', 5)"),
        foreign_changeset("INSERT INTO name VALUES (1, x'2e2e', 5)"),
        foreign_changeset("INSERT INTO name VALUES (1, 'text', 5)"),
        foreign_changeset("INSERT INTO name VALUES (1, x'61', NULL)"),
        foreign_changeset(FILE.format(1, 4, 511)),
        foreign_changeset(FILE.format(77, 3, 511)),
        foreign_changeset(FILE.format(77, 8, 99999)),
        foreign_changeset(FILE.format(77, 8, "'rwx'")),
        # SQLite would make of these what fits.
        foreign_changeset("INSERT INTO name VALUES ('1', x'61', 5)"),
        foreign_changeset("INSERT INTO name VALUES (1, x'61', 5.0)"),
        foreign_changeset("INSERT INTO name VALUES (1, x'61', 5)").replace(b"name", b"n\xcame"),
    ],
)
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "pending"])
def test_an_entry_that_does_not_fit_counts_as_empty(
    office: Office, changeset: bytes, busy: bool
) -> None:
    shared_file(office)
    if busy:
        office.b.create(b"ours")
        office.b.replica.tails.put(office.b.create(b"tail"), 0, b"bytes", 0)
    before, pending = office.b.rows(), office.b.replica.pending.count()
    office.journal.entries.append(changeset)
    for node in (office.a, office.b):
        (touched,) = office.journal.pull(node)
        assert touched.refused
        assert touched.inodes == frozenset()
    assert office.b.rows() == before
    assert office.b.replica.pending.count() == pending


def test_a_failed_entry_counts_as_empty_and_the_work_goes_on(office: Office) -> None:
    office.b.create(b"ours")
    office.journal.entries.append(None)
    office.share()
    assert office.a.names() == [b"ours"]


def test_entries_are_applied_in_order(office: Office) -> None:
    office.a.create(b"f")
    office.share()
    with pytest.raises(AssertionError):
        office.b.replica.entries.apply_entry(Seq(7), bytes(32), None)


def test_a_replica_restored_from_an_old_copy_does_not_do_its_work_twice(office: Office) -> None:
    file = office.b.create(b"f", kind=Kind.FILE)
    office.b.write(file, b"content")
    batch = office.b.replica.pending.next_batch(None)
    assert batch is not None
    assert office.journal.create(batch.seq, batch.changeset)
    # The old copy knows of no entry in flight, and meets its own as if it were another's.
    office.share()
    assert office.b.names() == [b"f"]
    assert office.b.content(b"f") == b"content"
