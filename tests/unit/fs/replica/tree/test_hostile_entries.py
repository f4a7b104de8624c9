"""What one member's entry cannot do to others, and how our own entries stay within the rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hostile_member import Tables, difference, tables_of
from raw_changeset import RawChange, encoded, raw_changes
from replica_fixture import Blocks, Journal, Node

from lucidnode.fs.errors import (
    FileTooBig,
    NameTooLong,
    NoRoomForAttribute,
    NoSpace,
    ReplicaCorrupt,
)
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import (
    MAX_DEPTH,
    MAX_FILE_SIZE,
    MAX_XATTR_BYTES,
    MAX_XATTRS,
    ROOT,
    Kind,
)
from lucidnode.fs.replica.intents import NewExtent, Rename, SetXattr, Truncate, Write
from lucidnode.fs.replica.sqlite.changesets import changes_in
from lucidnode.fs.replica.tree.extent_table import SLICE_EXTENTS
from lucidnode.fs.replica.tree.row_rules import MAX_ROWS
from lucidnode.node.client.ids import BlockId

NONCE = bytes(32)
Edit = Callable[[Tables], None]


class Office:
    """Nobody works at `idle`; `busy` has work of its own waiting; somebody else is hostile."""

    def __init__(self, path: Path) -> None:
        self.blocks = Blocks()
        self.idle = Node(path / "idle.db", "idle", self.blocks)
        self.busy = Node(path / "busy.db", "busy", self.blocks)
        self.journal = Journal()
        self.shots = self.idle.mkdir(b"shots")
        self.cut = self.idle.create(b"cut", self.shots)
        self.idle.write(self.cut, b"first")
        self.journal.settle(self.idle, self.busy)

    def hostile(self, edit: Edit) -> tuple[Touched, Touched]:
        """Have the rows changed as *edit* does; return what came of it at `idle` and at `busy`."""
        base = tables_of(self.idle.rows())
        tables: Tables = {table: dict(rows) for table, rows in base.items()}
        edit(tables)
        return self.entry(encoded(raw_changes(difference(base, tables))))

    def entry(self, changeset: bytes) -> tuple[Touched, Touched]:
        self.journal.entries.append(changeset)
        return self.journal.pull_one(self.idle), self.journal.pull_one(self.busy)

    def refuses(self, edit: Edit) -> None:
        """Assert that both refuse *edit*, alike, and that the work of `busy` stands."""
        waiting = self.busy.replica.pending.count()
        idle, busy = self.hostile(edit)
        assert idle.refused is not None
        assert busy.refused == idle.refused
        assert self.busy.replica.pending.count() == waiting
        self.agree()

    def agree(self) -> None:
        self.journal.settle(self.busy, self.idle)
        self.journal.settle(self.idle, self.busy)
        assert self.idle.rows() == self.busy.rows()
        assert self.idle.replica.pending.head() == self.busy.replica.pending.head()
        self.idle.check()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.idle.close()
    office.busy.close()


def put(tables: Tables, table: str, *row: Any) -> None:
    keys = {"inode": 1, "name": 2, "extent": 2, "block": 1, "xattr": 2}
    tables[table][row[: keys[table]]] = row


def inode(ino: int, kind: Kind = Kind.FILE, size: int = 0, links: int = 1) -> tuple[Any, ...]:
    return (ino, kind.value, 0o644, 0, 0, size, links, 1, 1, 1, 0, b"", 0)


# -- the attacks ---------------------------------------------------------------------------------


def test_an_extent_past_every_number_leaves_our_work_on_that_file_alone(office: Office) -> None:
    office.busy.write(office.cut, b"ours, and acknowledged")
    block = office.blocks.seal(b"first")
    office.refuses(lambda now: put(now, "extent", office.cut, 2**63 - 2, 4096, block.id, 0))
    office.busy.crash()
    assert office.busy.read(office.cut) == b"ours, and acknowledged"
    assert office.idle.read(office.cut) == b"ours, and acknowledged"


@pytest.mark.parametrize("kind", [None, Kind.FILE, Kind.SYMLINK])
def test_the_root_is_a_directory_and_stays(office: Office, kind: Kind | None) -> None:
    def edit(now: Tables) -> None:
        row = now["inode"].pop((ROOT,))
        if kind is not None:
            put(now, "inode", ROOT, kind.value, *row[2:])

    office.busy.create(b"ours")
    office.refuses(edit)
    assert office.busy.names() == [b"ours", b"shots"]


def test_files_that_claim_every_size_leave_the_usage_a_number(office: Office) -> None:
    def edit(now: Tables) -> None:
        for number in range(1024, 2048):
            put(now, "inode", *inode(number, size=MAX_FILE_SIZE))
            put(now, "name", ROOT, b"%d" % number, number)

    for node in (office.idle, office.busy):
        assert node.replica.tree.usage()[0] < 2**20
    assert {one.refused for one in office.hostile(edit)} == {None}
    assert office.idle.replica.tree.usage() == (1024 * MAX_FILE_SIZE + 5, 1024 + 3)
    office.idle.replica.apply(Truncate(office.cut, MAX_FILE_SIZE, 1))
    for node in (office.idle, office.busy):
        node.crash()
    office.agree()
    assert office.busy.replica.tree.usage() == (2**63 - 1, 1024 + 3)


def test_a_file_ends_where_numbers_are_still_exact_everywhere(office: Office) -> None:
    replica = office.busy.replica
    block = office.blocks.seal(b"tail")
    extent = NewExtent(MAX_FILE_SIZE - 3, 4, block.id, 0)
    with pytest.raises(FileTooBig):
        replica.apply(Truncate(office.cut, MAX_FILE_SIZE + 1, 1))
    with pytest.raises(FileTooBig):
        replica.apply(Write(office.cut, [extent], [block], 1))
    with pytest.raises(FileTooBig):
        replica.tails.put(office.cut, MAX_FILE_SIZE - 3, b"tail", 1)
    assert replica.pending.count() == 0
    office.busy.write(office.cut, b"end", MAX_FILE_SIZE - 3)
    office.agree()


def test_no_more_rows_are_looked_at_than_an_entry_may_have(office: Office) -> None:
    rows = [RawChange("xattr", (ino, b"n", b""), None) for ino in range(1, 60_000)]
    changeset = encoded(rows)
    office.busy.create(b"ours")
    took_s = []
    for _ in range(5):  # the garbage of other tests may be collected in one of them
        begun = time.thread_time()
        idle, busy = office.entry(changeset)
        took_s.append(time.thread_time() - begun)
        assert idle.refused == busy.refused == f"more than {MAX_ROWS} rows"
    assert min(took_s) < 0.2
    assert office.busy.names() == [b"ours", b"shots"]
    office.agree()


def test_a_directory_cannot_be_put_into_itself_by_anybody(office: Office) -> None:
    inner = office.idle.mkdir(b"inner", office.shots)
    office.journal.settle(office.idle, office.busy)
    office.busy.create(b"ours", inner)

    def edit(now: Tables) -> None:
        del now["name"][ROOT, b"shots"]
        put(now, "name", inner, b"shots", office.shots)
        root, below = now["inode"][ROOT,], now["inode"][inner,]
        put(now, "inode", *root[:6], root[6] - 1, *root[7:])
        put(now, "inode", *below[:6], below[6] + 1, *below[7:])

    office.refuses(edit)


# -- one verdict, whatever waits -----------------------------------------------------------------


def test_a_block_that_only_our_waiting_work_made_is_unknown_to_others_entries(
    office: Office,
) -> None:
    office.busy.write(office.busy.create(b"ours"), b"ours alone")
    block = office.blocks.seal(b"ours alone")

    def edit(now: Tables) -> None:
        put(now, "inode", *inode(777, size=4))
        put(now, "name", ROOT, b"theirs", 777)
        put(now, "extent", 777, 0, 4, block.id, 0)

    office.refuses(edit)


def test_a_file_that_we_kept_without_a_name_and_got_one_from_others_can_be_removed(
    office: Office,
) -> None:
    """Nothing of it is left that is looked for when another moves something."""

    def names_it(now: Tables) -> None:
        row = now["inode"][(office.cut,)]
        put(now, "inode", *row[:6], 1, *row[7:])
        put(now, "name", ROOT, b"again", office.cut)

    def moves_another(now: Tables) -> None:
        now["name"].pop((ROOT, b"old"))
        put(now, "name", ROOT, b"new", other)

    other = office.idle.create(b"old")
    office.journal.settle(office.idle, office.busy)
    office.busy.unlink(b"cut", office.shots, keep=True)
    office.journal.settle(office.busy, office.idle)
    assert {one.refused for one in office.hostile(names_it)} == {None}
    office.busy.unlink(b"again")
    office.busy.create(b"new")  # so that our work is run again
    assert {one.refused for one in office.hostile(moves_another)} == {None}
    office.agree()
    assert b"again" not in office.busy.names()


def test_a_directory_that_only_our_waiting_work_made_is_unknown_to_others_entries(
    office: Office,
) -> None:
    ours = office.busy.mkdir(b"ours")

    def edit(now: Tables) -> None:
        put(now, "inode", *inode(777))
        put(now, "name", ours, b"theirs", 777)

    office.refuses(edit)


def test_two_moves_in_one_tick_of_the_clock_make_no_cycle(office: Office) -> None:
    # Each below a directory of its own, so that the two moves have no row in common.
    one, other = (
        office.idle.mkdir(b"d", office.idle.mkdir(name)) for name in (b"one's", b"other's")
    )
    in_one, in_other = (office.idle.mkdir(b"in", directory) for directory in (one, other))
    office.journal.settle(office.idle, office.busy)
    for node, child, parent in ((office.busy, one, in_other), (office.idle, other, in_one)):
        found, place = node.replica.tree.attributes(child), node.replica.tree.parent_of(child)
        assert found is not None
        assert place is not None
        # At the very time of the last change: no trace of it in the row of the directory.
        node.replica.apply(Rename(place, b"d", parent, b"d", found.ctime_ns))
    assert office.journal.commit(office.idle) is None
    assert office.journal.commit(office.busy) is not None
    office.agree()


# -- our own entries -----------------------------------------------------------------------------


def batches(office: Office, node: Node) -> list[int]:
    """Commit all that waits at *node*; return the rows of each entry, none of them refused."""
    rows = []
    while node.replica.pending.has_work():
        assert office.journal.commit(node) is None
        rows.append(len(changes_in(office.journal.entries[-1] or b"", MAX_ROWS)))
    other = office.idle if node is office.busy else office.busy
    assert {touched.refused for touched in office.journal.pull(other)} == {None}
    assert other.rows() == node.rows()
    return rows


def test_what_waits_for_long_is_cut_into_entries_that_others_take(office: Office) -> None:
    for number in range(MAX_ROWS):
        office.busy.create(b"%d" % number)
    rows = batches(office, office.busy)
    assert max(rows) <= MAX_ROWS
    assert len(rows) == 3  # two rows for each, and one for the directory


def test_a_write_of_any_number_of_extents_fits_its_entries(office: Office) -> None:
    block = office.blocks.seal(bytes(range(256)) * 16)
    pieces = [
        NewExtent(number * 7, 1, block.id, number % 4096) for number in range(5 * SLICE_EXTENTS)
    ]
    office.busy.replica.apply(Write(office.cut, pieces, [block], 1))
    assert max(batches(office, office.busy)) <= MAX_ROWS
    # And now one piece over all of them, which leaves only itself.
    office.busy.write(office.cut, b"x" * (5 * SLICE_EXTENTS * 7))
    assert max(batches(office, office.busy)) <= MAX_ROWS
    assert office.idle.content(b"cut", office.shots) == b"x" * (5 * SLICE_EXTENTS * 7)
    assert {row[3] for row in office.idle.rows()["extent"]} == {
        office.blocks.seal(b"x" * (5 * SLICE_EXTENTS * 7)).id
    }


def test_a_file_of_any_number_of_extents_is_cut_and_deleted_within_the_limits(
    office: Office,
) -> None:
    block = office.blocks.seal(b"x")
    pieces = [NewExtent(number * 2, 1, block.id, 0) for number in range(7 * SLICE_EXTENTS)]
    office.busy.replica.apply(Write(office.cut, pieces, [block], 1))
    batches(office, office.busy)
    office.busy.truncate(office.cut, 2 * SLICE_EXTENTS)
    assert max(batches(office, office.busy)) <= MAX_ROWS
    office.busy.unlink(b"cut", office.shots)
    assert max(batches(office, office.busy)) <= MAX_ROWS
    assert office.idle.rows()["extent"] == []


def test_attributes_of_one_file_are_limited_so_that_it_can_be_deleted(office: Office) -> None:
    replica = office.busy.replica
    for number in range(MAX_XATTRS):
        replica.apply(SetXattr(office.cut, b"user.%d" % number, b"", 1))
    with pytest.raises(NoRoomForAttribute):
        replica.apply(SetXattr(office.cut, b"user.more", b"", 1))
    replica.apply(SetXattr(office.cut, b"user.0", b"another value", 1))
    most = MAX_XATTR_BYTES // 65536
    for number in range(1, most):
        replica.apply(SetXattr(office.cut, b"user.%d" % number, bytes(65536), 1))
    with pytest.raises(NoRoomForAttribute):
        replica.apply(SetXattr(office.cut, b"user.0", bytes(65536), 1))
    office.busy.unlink(b"cut", office.shots)
    batches(office, office.busy)


def test_a_file_that_others_made_too_heavy_is_not_deleted_and_stops_nothing(
    office: Office,
) -> None:
    def burden(now: Tables, part: int) -> None:
        for number in range(50):
            put(now, "xattr", office.cut, b"user.%d.%d" % (part, number), bytes(65536))

    for part in range(2):
        touched = office.hostile(partial(burden, part=part))
        assert {one.refused for one in touched} == {None}
    with pytest.raises(FileTooBig):
        office.busy.unlink(b"cut", office.shots)
    office.busy.write(office.cut, b"ours")
    office.busy.create(b"goes on")

    # And if it comes back as a conflict copy, with as many attributes as we give a file.
    def edit(now: Tables) -> None:
        row = now["inode"][office.cut,]
        put(now, "inode", *row[:12], 4711)

    assert {touched.refused for touched in office.hostile(edit)} == {None}
    office.agree()
    assert b"goes on" in office.idle.names()


def test_moves_of_directories_are_spread_over_entries(office: Office) -> None:
    for number in range(100):
        office.busy.mkdir(b"%d" % number)
    batches(office, office.busy)
    for number in range(100):
        now = office.busy.time()
        office.busy.replica.apply(Rename(ROOT, b"%d" % number, office.shots, b"%d" % number, now))
    assert len(batches(office, office.busy)) == 4


def test_a_directory_is_not_moved_deeper_than_an_entry_could_show(office: Office) -> None:
    here = office.shots
    for _ in range(MAX_DEPTH):
        here = office.busy.mkdir(b"d", here)
    office.busy.mkdir(b"moved")
    with pytest.raises(NameTooLong):
        office.busy.replica.apply(Rename(ROOT, b"moved", here, b"moved", office.busy.time()))
    parent = office.busy.replica.tree.parent_of(office.busy.replica.tree.parent_of(here) or ROOT)
    assert parent is not None
    office.busy.replica.apply(Rename(ROOT, b"moved", parent, b"moved", office.busy.time()))
    batches(office, office.busy)


def test_changes_of_ours_that_break_the_format_are_never_committed(office: Office) -> None:
    block = BlockName(BlockId(bytes(32)), 1, NONCE, 5)  # not a whole page
    extent = NewExtent(0, 5, block.id, 0)
    office.busy.replica.apply(Write(office.cut, [extent], [block], office.busy.time()))
    with pytest.raises(ReplicaCorrupt, match="block"):
        office.busy.replica.pending.next_batch(None)


# -- full disks ----------------------------------------------------------------------------------


def test_a_disk_that_fills_up_in_a_rebase_drops_nothing(office: Office) -> None:
    office.busy.write(office.cut, b"ours")
    for number in range(200):
        office.busy.create(b"ours %d" % number)
    office.idle.write(office.cut, b"theirs")
    for number in range(60):
        office.idle.create(b"%d" % number + b"x" * 250)
    office.idle.create(b"ours 7")
    assert office.journal.commit(office.idle) is None
    database = office.busy.replica._database
    before, waiting = office.busy.rows(), office.busy.replica.pending.count()
    ((pages,),) = database.rows("PRAGMA page_count")
    for more in range(60):
        database.rows(f"PRAGMA max_page_count = {pages + more}")
        try:
            office.journal.pull_one(office.busy)
        except NoSpace:
            assert office.busy.rows() == before
            assert office.busy.replica.pending.count() == waiting
        else:
            break
    assert more, "the disk was never full"
    database.rows("PRAGMA max_page_count = 1000000")
    office.journal.pull(office.busy)
    office.agree()
    names = office.idle.names()
    assert sum(name.startswith(b"ours") for name in names) == 201
