"""A file that is in use here stays readable here, whatever other nodes do with its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from replica_fixture import Blocks, Journal, Node

from lucidnode.fs.errors import NoAttribute
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import Forget, Link, NewExtent, Rename, Rmdir, Write
from lucidnode.fs.replica.tree.extent_table import SLICE_EXTENTS


class Office:
    """Node `a` deletes; node `b` has files in use."""

    def __init__(self, path: Path) -> None:
        blocks = Blocks()
        self.a = Node(path / "a.db", "a", blocks)
        self.b = Node(path / "b.db", "b", blocks)
        self.used: set[InodeNo] = set()
        self.b.replica.former.keep(lambda ino: ino in self.used)
        self.journal = Journal()

    def share(self) -> None:
        """Bring both to one state."""
        self.journal.settle(self.a, self.b)
        assert self.a.rows() == self.b.rows()

    def shared_file(self, name: bytes = b"file", data: bytes = b"as it was") -> InodeNo:
        """Return a file that both have, and that is in use on b."""
        ino = self.a.create(name)
        self.a.write(ino, data)
        self.a.set_xattr(ino, b"user.label", b"rushes")
        self.share()
        self.used.add(ino)
        return ino

    def replace(self, name: bytes = b"file", data: bytes = b"another") -> InodeNo:
        """Save by rename on a."""
        new = self.a.create(b"next")
        self.a.write(new, data)
        self.a.replica.apply(Rename(ROOT, b"next", ROOT, name, self.a.time()))
        return new


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.a.close()
    office.b.close()


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_what_is_in_use_stays_as_it_was(office: Office, how: str) -> None:
    ino = office.shared_file()
    before = office.b.replica.tree.attributes(ino)
    assert before is not None
    if how == "deleted":
        office.a.unlink(b"file")
    else:
        office.replace()
    office.share()
    found = office.b.replica.tree.attributes(ino)
    assert found is not None
    assert (found.nlink, found.size, found.mtime_ns) == (0, before.size, before.mtime_ns)
    assert office.b.read(ino) == b"as it was"
    assert office.b.replica.tree.xattr(ino, b"user.label") == b"rushes"
    assert office.b.replica.tree.xattr_names(ino) == [b"user.label"]
    with pytest.raises(NoAttribute):
        office.b.replica.tree.xattr(ino, b"user.other")
    assert office.b.names() == ([] if how == "deleted" else [b"file"])
    assert office.b.replica.pending.count() == 0
    office.b.replica.former.let_go(ino)
    assert office.b.replica.tree.attributes(ino) is None


def test_what_nobody_uses_is_not_kept(office: Office) -> None:
    ino = office.shared_file()
    office.used.clear()
    office.a.unlink(b"file")
    office.share()
    assert office.b.replica.tree.attributes(ino) is None


def test_a_file_with_another_name_left_is_still_the_file(office: Office) -> None:
    ino = office.shared_file()
    office.a.replica.apply(Rename(ROOT, b"file", ROOT, b"moved", office.a.time()))
    office.share()
    office.a.write(ino, b"new content")
    office.share()
    assert office.b.read(ino) == b"new content"


def test_a_large_file_that_goes_in_slices_is_whole_to_the_end(office: Office) -> None:
    ino = office.a.create(b"large")
    pieces = [b"%08d" % number for number in range(2 * SLICE_EXTENTS + 5)]
    blocks = [office.a.blocks.seal(piece) for piece in pieces]
    extents = [NewExtent(8 * at, 8, block.id, 0) for at, block in enumerate(blocks)]
    office.a.replica.apply(Write(ino, extents, blocks, office.a.time()))
    office.share()
    office.used.add(ino)
    office.a.unlink(b"large")
    office.share()
    assert office.b.read(ino) == b"".join(pieces)
    [part] = office.b.replica.tree.extents(ino, 8 * SLICE_EXTENTS + 3, 2)
    assert (part.offset, part.length, part.block_offset) == (8 * SLICE_EXTENTS + 3, 2, 3)


def test_a_file_that_both_have_open_outlives_who_deleted_it(office: Office) -> None:
    ino = office.shared_file()
    office.a.unlink(b"file", keep=True)
    office.share()
    assert office.b.read(ino) == b"as it was"
    office.a.write(ino, b"nobody else sees this")
    office.a.replica.apply(Forget(ino))
    office.share()
    assert office.b.read(ino) == b"as it was"


def test_our_own_deleted_file_outlives_the_last_handle_elsewhere(office: Office) -> None:
    ino = office.shared_file()
    office.b.unlink(b"file", keep=True)
    office.share()
    office.a.replica.apply(Forget(ino))
    office.share()
    assert office.b.read(ino) == b"as it was"


def test_who_goes_on_writing_finds_the_file_under_its_name_if_that_is_free(office: Office) -> None:
    ino = office.shared_file()
    office.a.unlink(b"file")
    office.share()
    touched = office.b.replica.former.bring_back(ino, office.b.time())
    assert not touched.moved
    assert not touched.conflicts
    assert (ROOT, b"file") in touched.names
    assert office.b.found(b"file").ino == ino
    office.b.write(ino, b"goes on", 3)
    office.share()
    assert office.a.content(b"file") == office.b.content(b"file") == b"as goes on"
    assert office.a.replica.tree.xattr(ino, b"user.label") == b"rushes"


def test_who_goes_on_writing_to_a_replaced_file_gets_a_conflict_copy(office: Office) -> None:
    ino = office.shared_file()
    office.replace()
    office.share()
    touched = office.b.replica.former.bring_back(ino, office.b.time())
    [(parent, copy)] = touched.conflicts
    assert parent == ROOT
    assert b"(conflict, b, " in copy
    office.share()
    for node in (office.a, office.b):
        assert node.content(b"file") == b"another"
        assert node.content(copy) == b"as it was"


def test_what_comes_back_without_a_directory_comes_into_the_root(office: Office) -> None:
    directory = office.a.mkdir(b"dir")
    ino = office.a.create(b"file", directory)
    office.a.write(ino, b"as it was")
    office.share()
    office.used.add(ino)
    office.a.unlink(b"file", directory)
    office.share()
    office.a.replica.apply(Rmdir(ROOT, b"dir", office.a.time()))
    office.share()
    [(parent, copy)] = office.b.replica.former.bring_back(ino, office.b.time()).conflicts
    assert parent == ROOT
    office.share()
    assert office.a.content(copy) == b"as it was"


def test_what_comes_back_is_another_file_while_others_have_the_old_one_open(office: Office) -> None:
    ino = office.shared_file()
    office.a.unlink(b"file", keep=True)
    office.share()
    touched = office.b.replica.former.bring_back(ino, office.b.time())
    assert list(touched.moved) == [ino]
    office.share()
    assert office.a.content(b"file") == b"as it was"
    assert office.a.found(b"file").ino == touched.moved[ino]
    assert office.b.read(ino) == b"as it was"


def test_a_file_that_another_node_brings_back_is_a_file_again(office: Office) -> None:
    ino = office.shared_file()
    office.a.replica.former.keep(lambda _: True)
    office.b.unlink(b"file")
    office.share()
    office.a.replica.former.bring_back(ino, office.a.time())
    office.a.write(ino, b"and more", 9)
    office.share()
    assert office.b.read(ino) == b"as it wasand more"
    assert office.b.found(b"file").nlink == 1


def test_what_is_replaced_here_can_be_opened_by_who_has_just_found_it(office: Office) -> None:
    ino = office.a.create(b"file")
    office.a.write(ino, b"extents ")
    office.a.replica.tails.put(ino, 8, b"and a tail", 0)
    office.used.add(ino)
    office.a.replica.former.keep(lambda ino: ino in office.used)
    new = office.replace()
    found = office.a.replica.tree.attributes(ino)
    assert found is not None
    assert (found.nlink, found.size) == (0, 18)
    assert office.a.read(ino) == b"extents and a tail"
    assert office.a.content(b"file") == b"another"
    assert office.a.found(b"file").ino == new
    office.a.replica.former.let_go(ino)
    assert office.a.replica.tree.attributes(ino) is None
    office.share()


def test_a_large_file_that_is_replaced_here_is_whole_for_who_has_just_found_it(
    office: Office,
) -> None:
    ino = office.a.create(b"file")
    pieces = [b"%08d" % number for number in range(2 * SLICE_EXTENTS + 5)]
    blocks = [office.a.blocks.seal(piece) for piece in pieces]
    extents = [NewExtent(8 * at, 8, block.id, 0) for at, block in enumerate(blocks)]
    office.a.replica.apply(Write(ino, extents, blocks, office.a.time()))
    office.used.add(ino)
    office.a.replica.former.keep(lambda ino: ino in office.used)
    office.replace()
    assert office.a.read(ino) == b"".join(pieces)
    office.share()


def test_what_has_another_name_left_is_replaced_under_one_only(office: Office) -> None:
    ino = office.shared_file()
    office.a.replica.former.keep(lambda _: True)
    office.a.replica.apply(Link(ino, ROOT, b"second", office.a.time()))
    office.replace()
    assert not office.a.replica.former.is_kept(ino)
    office.a.write(ino, b"AS")
    assert office.a.content(b"second") == b"AS it was"
