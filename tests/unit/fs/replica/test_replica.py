"""The replica as a file system on one node: Linux semantics, slices, what it counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from replica_fixture import Blocks, Node

from lucidnode.fs.errors import (
    Cycle,
    FileError,
    FileMissing,
    Invalid,
    IsDirectory,
    NameTaken,
    NameTooLong,
    NoAttribute,
    NotDirectory,
    NotEmpty,
    NotPermitted,
    ReadOnly,
    Unreadable,
)
from lucidnode.fs.replica.inode import ROOT, InodeNo, Kind
from lucidnode.fs.replica.intents import (
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    XATTR_CREATE,
    XATTR_REPLACE,
    Forget,
    Link,
    NewExtent,
    RemoveXattr,
    Rename,
    Rmdir,
    SetAttributes,
    SetXattr,
    Write,
)
from lucidnode.fs.replica.tree.extent_table import SLICE_EXTENTS
from lucidnode.fs.replica.tree.queries import EXTENTS_AT_ONCE, START, Place


def rename(node: Node, name: bytes, new_name: bytes, flags: int = 0, **at: InodeNo) -> None:
    parent, new_parent = at.get("parent", ROOT), at.get("new_parent", ROOT)
    node.replica.apply(Rename(parent, name, new_parent, new_name, node.time(), flags))


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [b"caf\xc3\xa9", b"cafe\xcc\x81", b"\xff\xfe", b"a\nb", b"x" * 255, b"...", "日本".encode()],
)
def test_names_are_bytes_and_come_back_unchanged(node: Node, name: bytes) -> None:
    node.create(name)
    assert node.names() == [name]


def test_unicode_twins_are_two_names(node: Node) -> None:
    composed, decomposed = node.create(b"caf\xc3\xa9"), node.create(b"cafe\xcc\x81")
    assert composed != decomposed
    assert len(node.names()) == 2


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (b"x" * 256, NameTooLong),
        *((name, Invalid) for name in (b"", b".", b"..", b"a/b", b"a\0b")),
    ],
)
def test_what_cannot_be_a_name_is_refused_and_changes_nothing(
    node: Node, name: bytes, error: type[FileError]
) -> None:
    before = node.rows()
    with pytest.raises(error):
        node.create(name)
    assert node.rows() == before
    assert node.replica.pending.count() == 0


def test_a_taken_name_is_not_created_again(node: Node) -> None:
    node.create(b"a")
    with pytest.raises(NameTaken):
        node.create(b"a")
    with pytest.raises(NameTaken):
        node.mkdir(b"a")


def test_a_file_is_no_directory(node: Node) -> None:
    file = node.create(b"a")
    with pytest.raises(NotDirectory):
        node.create(b"b", parent=file)
    with pytest.raises(NotDirectory):
        node.unlink(b"b", parent=file)
    with pytest.raises(FileMissing):
        node.create(b"b", parent=InodeNo(12345))


def test_directories_count_their_subdirectories(node: Node) -> None:
    outer = node.mkdir(b"outer")
    node.mkdir(b"inner", outer)
    node.create(b"file", outer)
    assert node.found(b"outer").nlink == 3
    node.replica.apply(Rmdir(outer, b"inner", node.time()))
    assert node.found(b"outer").nlink == 2
    assert node.replica.tree.parent_of(outer) == ROOT
    assert node.replica.tree.parent_of(ROOT) is None


def test_a_full_directory_is_not_removed(node: Node) -> None:
    outer = node.mkdir(b"outer")
    node.create(b"file", outer)
    with pytest.raises(NotEmpty):
        node.replica.apply(Rmdir(ROOT, b"outer", node.time()))
    with pytest.raises(IsDirectory):
        node.unlink(b"outer")
    with pytest.raises(NotDirectory):
        node.replica.apply(Rmdir(outer, b"file", node.time()))


def test_listing_goes_on_after_any_name_in_byte_order(node: Node) -> None:
    for number in range(50):
        node.create(b"%02d" % number)
    listed: list[bytes] = []
    while page := node.replica.tree.list_names(ROOT, listed[-1] if listed else None, 7):
        listed += [name for name, _ in page]
    assert listed == sorted(node.names())
    assert len(listed) == 50


def test_a_file_lives_as_long_as_one_of_its_names(node: Node) -> None:
    file = node.create(b"one")
    node.write(file, b"bytes")
    node.replica.apply(Link(file, ROOT, b"two", node.time()))
    assert node.found(b"two").nlink == 2
    node.unlink(b"one")
    assert node.content(b"two") == b"bytes"
    node.unlink(b"two")
    assert node.replica.tree.attributes(file) is None


def test_a_directory_has_one_name_only(node: Node) -> None:
    directory = node.mkdir(b"d")
    with pytest.raises(NotPermitted):
        node.replica.apply(Link(directory, ROOT, b"e", node.time()))


def test_a_symbolic_link_keeps_its_target(node: Node) -> None:
    link = node.create(b"link", kind=Kind.SYMLINK, target=b"../else/where")
    assert node.replica.tree.readlink(link) == b"../else/where"
    assert node.found(b"link").size == len(b"../else/where")
    with pytest.raises(NameTooLong):
        node.create(b"long", kind=Kind.SYMLINK, target=b"x" * 4096)


# -- rename --------------------------------------------------------------------------------------


def test_rename_replaces_a_file_at_once(node: Node) -> None:
    old, new = node.create(b"target"), node.create(b"source")
    node.write(new, b"new")
    rename(node, b"source", b"target")
    assert node.names() == [b"target"]
    assert node.found(b"target").ino == new
    assert node.replica.tree.attributes(old) is None


def test_rename_without_replacing_refuses(node: Node) -> None:
    node.create(b"a")
    node.create(b"b")
    with pytest.raises(NameTaken):
        rename(node, b"a", b"b", RENAME_NOREPLACE)
    rename(node, b"a", b"c", RENAME_NOREPLACE)
    assert node.names() == [b"b", b"c"]


def test_exchange_swaps_a_file_and_a_directory(node: Node) -> None:
    inside = node.mkdir(b"inside")
    file, directory = node.create(b"file", inside), node.mkdir(b"directory")
    rename(node, b"file", b"directory", RENAME_EXCHANGE, parent=inside)
    assert node.found(b"directory").ino == file
    assert node.found(b"file", inside).ino == directory
    with pytest.raises(FileMissing):
        rename(node, b"directory", b"nothing", RENAME_EXCHANGE)


def test_a_directory_does_not_move_below_itself(node: Node) -> None:
    outer = node.mkdir(b"outer")
    inner = node.mkdir(b"inner", outer)
    node.mkdir(b"deep", inner)
    for flags in (0, RENAME_EXCHANGE):
        with pytest.raises(Cycle):
            rename(node, b"outer", b"deep", flags, new_parent=inner)
    with pytest.raises(Cycle):
        rename(node, b"deep", b"outer", RENAME_EXCHANGE, parent=inner)


def test_rename_keeps_files_and_directories_apart(node: Node) -> None:
    node.create(b"file")
    full = node.mkdir(b"full")
    node.create(b"x", full)
    node.mkdir(b"empty")
    with pytest.raises(IsDirectory):
        rename(node, b"file", b"empty")
    with pytest.raises(NotDirectory):
        rename(node, b"empty", b"file")
    with pytest.raises(NotEmpty):
        rename(node, b"empty", b"full")
    rename(node, b"full", b"empty")
    assert node.names() == [b"empty", b"file"]


def test_rename_between_names_of_one_file_does_nothing(node: Node) -> None:
    file = node.create(b"one")
    node.replica.apply(Link(file, ROOT, b"two", node.time()))
    rename(node, b"one", b"two")
    assert node.names() == [b"one", b"two"]


def test_a_moved_directory_is_counted_where_it_is(node: Node) -> None:
    one, two = node.mkdir(b"one"), node.mkdir(b"two")
    node.mkdir(b"child", one)
    rename(node, b"child", b"child", parent=one, new_parent=two)
    assert node.found(b"one").nlink == 2
    assert node.found(b"two").nlink == 3


# -- content -------------------------------------------------------------------------------------


def test_overwriting_cuts_what_lies_below(node: Node) -> None:
    file = node.create(b"f")
    node.write(file, b"a" * 100)
    node.write(file, b"b" * 20, offset=40)
    node.write(file, b"c" * 20, offset=90)
    assert node.read(file) == b"a" * 40 + b"b" * 20 + b"a" * 30 + b"c" * 20


def test_a_hole_reads_as_absent_and_shrinking_makes_one(node: Node) -> None:
    file = node.create(b"f")
    node.write(file, b"x" * 100, offset=1000)
    assert node.replica.tree.extents(file, 0, 1000) == []
    node.truncate(file, 1050)
    node.truncate(file, 1100)
    assert node.read(file) == bytes(1000) + b"x" * 50 + bytes(50)


def test_extents_are_cut_to_what_was_asked(node: Node) -> None:
    file = node.create(b"f")
    node.write(file, b"x" * 100, offset=10)
    (extent,) = node.replica.tree.extents(file, 50, 20)
    assert (extent.offset, extent.length, extent.block_offset) == (50, 20, 40)


def test_a_version_names_one_content(node: Node) -> None:
    file = node.create(b"f")
    versions = {node.found(b"f").version}
    for number in range(5):
        node.write(file, b"%d" % number)
        versions.add(node.found(b"f").version)
    node.replica.apply(SetAttributes(file, node.time(), mode=0o600))
    versions.add(node.found(b"f").version)
    assert len(versions) == 6


def test_time_zero_leaves_the_times_of_the_file_alone(node: Node) -> None:
    file = node.create(b"f")
    node.replica.apply(SetAttributes(file, time_ns=77, mtime_ns=55, atime_ns=44))
    block = node.blocks.seal(b"late")
    node.replica.apply(Write(file, [NewExtent(0, 4, block.id, 0)], [block], time_ns=0))
    found = node.found(b"f")
    assert (found.mtime_ns, found.ctime_ns, found.atime_ns) == (55, 77, 44)


def test_content_belongs_to_files(node: Node) -> None:
    directory = node.mkdir(b"d")
    with pytest.raises(IsDirectory):
        node.truncate(directory, 5)
    with pytest.raises(Invalid):
        node.write(node.create(b"pipe", kind=Kind.FIFO), b"x")
    with pytest.raises(FileMissing):
        node.truncate(InodeNo(99), 5)
    with pytest.raises(Invalid):
        node.truncate(node.create(b"f"), -1)


def test_an_extent_of_an_unknown_block_is_no_hole(node: Node) -> None:
    file = node.create(b"f")
    node.write(file, b"x")
    database = node.replica._database
    block = database.rows("SELECT * FROM block")[0]
    database.change("DELETE FROM block")
    with pytest.raises(Unreadable):
        node.replica.tree.extents(file, 0, 1)
    database.change("INSERT INTO block VALUES (?, ?, ?, ?)", block)


def test_extended_attributes_obey_their_flags(node: Node) -> None:
    file = node.create(b"f")
    with pytest.raises(NoAttribute):
        node.replica.apply(SetXattr(file, b"user.a", b"1", node.time(), XATTR_REPLACE))
    node.set_xattr(file, b"user.a", b"1")
    with pytest.raises(NameTaken):
        node.replica.apply(SetXattr(file, b"user.a", b"2", node.time(), XATTR_CREATE))
    node.set_xattr(file, b"user.a", b"3")
    node.set_xattr(file, b"user.b", b"")
    assert node.replica.tree.xattr(file, b"user.a") == b"3"
    assert node.replica.tree.xattr_names(file) == [b"user.a", b"user.b"]
    node.replica.apply(RemoveXattr(file, b"user.a", node.time()))
    for missing in (
        lambda: node.replica.tree.xattr(file, b"user.a"),
        lambda: node.replica.apply(RemoveXattr(file, b"user.a", node.time())),
    ):
        with pytest.raises(NoAttribute):
            missing()


# -- unlinked while open -------------------------------------------------------------------------


def test_a_kept_file_outlives_its_name_until_it_is_forgotten(node: Node) -> None:
    file = node.create(b"f")
    node.write(file, b"still here")
    node.unlink(b"f", keep=True)
    assert node.names() == []
    assert node.read(file) == b"still here"
    node.write(file, b"written", offset=0)
    node.replica.apply(Forget(file))
    assert node.replica.tree.attributes(file) is None


def test_a_file_with_a_name_is_not_forgotten(node: Node) -> None:
    file = node.create(b"f")
    node.replica.apply(Forget(file))
    assert node.found(b"f").ino == file


def test_a_crash_forgets_what_was_kept(node: Node) -> None:
    file = node.create(b"f")
    node.unlink(b"f", keep=True)
    node.crash()
    assert node.replica.tree.attributes(file) is None


# -- large files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["unlink", "kept", "replace", "truncate"])
def test_a_huge_file_goes_in_steps_that_each_fit_an_entry(node: Node, how: str) -> None:
    file = node.create(b"huge")
    block = node.blocks.seal(b"x")
    count = 2 * SLICE_EXTENTS + 100
    for start in range(0, count, SLICE_EXTENTS):
        extents = [
            NewExtent(2 * place, 1, block.id, 0)
            for place in range(start, min(start + SLICE_EXTENTS, count))
        ]
        node.replica.apply(Write(file, extents, [block], node.time()))
    before = node.replica.pending.newest()
    match how:
        case "unlink":
            node.unlink(b"huge")
        case "kept":
            node.unlink(b"huge", keep=True)
            node.replica.apply(Forget(file))
        case "replace":
            node.create(b"new")
            rename(node, b"new", b"huge")
        case _:
            node.truncate(file, 3)
            assert node.read(file) == b"x\0x"
    assert node.replica.pending.newest() - before >= 3
    left = node.rows()["extent"]
    assert len(left) == (2 if how == "truncate" else 0)
    assert all(
        len(item.changes) <= SLICE_EXTENTS + 8
        for item in node.replica.pending._ground.journal.waiting()
    )


# -- flights, stops, counts ----------------------------------------------------------------------


def test_a_crash_keeps_what_is_in_flight_and_the_marks_go_on(node: Node) -> None:
    node.create(b"f")
    batch = node.replica.pending.next_batch(None)
    assert batch is not None
    flight = node.replica.pending.set_in_flight(batch, b"sealed")
    node.create(b"g")
    newest = node.replica.pending.newest()
    node.crash()
    assert node.replica.pending.in_flight() == flight
    assert node.replica.pending.newest() == newest
    node.replica.pending.mark_committed(batch.seq, b"h" * 32)
    assert node.replica.pending.in_flight() is None
    assert node.replica.pending.is_committed(batch.last, None)
    assert not node.replica.pending.is_committed(newest, None)


def test_a_stopped_replica_answers_and_changes_nothing(node: Node) -> None:
    file = node.create(b"f")
    node.replica.stop("the history forked")
    with pytest.raises(ReadOnly, match="forked"):
        node.create(b"g")
    with pytest.raises(ReadOnly):
        node.replica.tails.put(file, 0, b"x", 0)
    assert node.names() == [b"f"]


def test_usage_follows_every_change(node: Node) -> None:
    assert node.replica.tree.usage() == (0, 1)
    file = node.create(b"f")
    node.write(file, b"x" * 100)
    assert node.replica.tree.usage() == (100, 2)
    node.truncate(file, 10)
    assert node.replica.tree.usage() == (10, 2)
    node.unlink(b"f")
    assert node.replica.tree.usage() == (0, 1)


def test_a_block_is_named_as_long_as_a_file_with_a_name_lies_in_it(tmp_path: Path) -> None:
    node = Node(tmp_path / "replica.db", "desk", Blocks())
    crowd, shared = node.create(b"crowd"), node.blocks.seal(b"x")
    for start in range(0, EXTENTS_AT_ONCE, SLICE_EXTENTS):
        places = range(start, start + SLICE_EXTENTS)
        extents = [NewExtent(2 * place, 1, shared.id, 0) for place in places]
        node.replica.apply(Write(crowd, extents, [shared], node.time()))
    ino = ROOT
    for number in range(5):
        ino = node.create(b"f%d" % number)
        for at in range(3):
            node.write(ino, b"%d" % number * 10, at * 10)
    block = node.replica.tree.extents(ino, 0, 10)[0].block

    def is_named() -> bool:
        place: Place | None = START
        named, steps = False, 0
        while place is not None and not named:
            named, place = node.replica.tree.is_named(block.id, place)
            steps += 1
        assert named or steps > 1, "all of them are looked at, some at a time"
        return named

    assert node.replica.tree.block(block.id) == block
    assert is_named()
    node.write(ino, b"other" * 4)
    assert is_named(), "its last bytes lie there"
    node.unlink(b"f4")
    assert not is_named()
    node.close()
