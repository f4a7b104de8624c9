"""A content that no single entry can carry is seen as a whole all the same: the old one, or the new."""

from __future__ import annotations

import pytest
from replica_fixture import Node
from slow_pair import Pair

from lucidnode.fs.replica import pending_operations
from lucidnode.fs.replica.inode import ROOT, InodeNo, is_partial
from lucidnode.fs.replica.intents import Link, NewExtent, Rename, SetAttributes, Write
from lucidnode.fs.replica.pending import pending_journal
from lucidnode.fs.replica.tree.row_rules import MAX_ROWS

BLOCKS = 2000
"""Blocks of a content that takes three entries."""

MORE_BLOCKS = 3000


def _content(what: str, blocks: int = BLOCKS) -> bytes:
    return b"".join(b"%s %8d" % (what.encode(), number) for number in range(blocks))


def _write(node: Node, ino: InodeNo, what: str, blocks: int = BLOCKS) -> None:
    """Write a content in which every 12 bytes are a block of their own."""
    data = _content(what, blocks)
    pieces = [data[at : at + 12] for at in range(0, len(data), 12)]
    names = [node.blocks.seal(piece) for piece in pieces]
    extents = [NewExtent(12 * at, 12, block.id, 0) for at, block in enumerate(names)]
    node.replica.apply(Write(ino, extents, names, node.time()))


def _everything_arrives(pair: Pair) -> None:
    pair.uplink.here |= set(pair.a.replica.pending.blocks_waited_for())


def _shared(pair: Pair, blocks: int = 10) -> InodeNo:
    ino = pair.a.create(b"film")
    _write(pair.a, ino, "old", blocks)
    pair.agree()
    return ino


def _save(pair: Pair, ino: InodeNo) -> None:
    """Save another content over *ino*, as a program that empties it first."""
    pair.a.truncate(ino, 0)
    _write(pair.a, ino, "new")
    _everything_arrives(pair)


def test_a_new_file_is_empty_until_its_last_block_is_there(pair: Pair) -> None:
    ino = pair.a.create(b"film")
    _write(pair.a, ino, "new", MORE_BLOCKS)
    _everything_arrives(pair)
    entries = 0
    while pair.commit():
        entries += 1
        whole = not pair.a.replica.pending.has_work()
        assert pair.b.content(b"film") == (_content("new", MORE_BLOCKS) if whole else b"")
        found = pair.b.found(b"film")
        assert pair.b.replica.tree.stored_bytes(found) == (12 * MORE_BLOCKS if whole else 0)
        [(_, listed)] = pair.b.replica.tree.list_names(ROOT, None, 1000)
        assert listed == pair.b.replica.tree.attributes(ino) == found
    assert entries > 2 * MORE_BLOCKS / MAX_ROWS
    pair.agree()


def test_a_file_written_anew_is_seen_old_or_new(pair: Pair) -> None:
    ino = _shared(pair, blocks=BLOCKS)
    before = pair.b.found(b"film")
    as_before = before.size, before.mtime_ns, before.version
    _save(pair, ino)
    seen = []
    while pair.commit():
        seen.append(pair.b.content(b"film"))
        if pair.a.replica.pending.has_work():
            found = pair.b.found(b"film")
            assert (found.size, found.mtime_ns, found.version) == as_before
            assert pair.b.replica.tree.stored_bytes(before) == 12 * BLOCKS
    assert set(seen[:-1]) == {_content("old")}
    assert seen[-1] == _content("new")
    assert not is_partial(pair.b.found(b"film").version)
    pair.agree()


def test_what_is_written_in_the_middle_of_a_large_file_comes_at_once(pair: Pair) -> None:
    ino = _shared(pair, blocks=BLOCKS + 100)
    _write(pair.a, ino, "new")
    _everything_arrives(pair)
    rest = _content("old", BLOCKS + 100)[12 * BLOCKS :]
    seen = []
    while pair.commit():
        seen.append(pair.b.content(b"film"))
    assert set(seen[:-1]) == {_content("old", BLOCKS + 100)}
    assert seen[-1] == _content("new") + rest


def test_what_a_file_was_takes_as_much_as_is_changed_of_it_however_large_it_is(pair: Pair) -> None:
    large = BLOCKS + 500
    ino = _shared(pair, blocks=large)
    _write(pair.a, ino, "new")
    _everything_arrives(pair)
    seen = []
    while pair.commit():
        found = pair.b.found(b"film")
        seen.append(found.version)
        assert pair.b.replica.tree.stored_bytes(found) == 12 * large
        for node, kept in ((pair.a, "replaced"), (pair.b, "earlier")):
            assert _rows(node, f"{kept}_extent") <= BLOCKS
            assert _rows(node, f"{kept}_since") == 0
    assert len(seen) > 2
    assert len(set(seen[:-1])) == 1
    assert _rows(pair.b, "earlier_extent") == 0


def test_what_was_appended_here_meanwhile_is_no_part_of_what_a_file_was(pair: Pair) -> None:
    """As bytes in memory that follow the end of the file when an entry moves it."""
    ino = _shared(pair, blocks=100)
    _write(pair.a, ino, "new")
    _everything_arrives(pair)
    assert pair.commit()
    line = pair.b.blocks.seal(b"a line")
    end = 12 * BLOCKS
    extents = [NewExtent(end, 6, line.id, 0)]
    pair.b.replica.apply(Write(ino, extents, [line], pair.b.time(), appended=True))
    assert pair.b.content(b"film") == _content("old", 100)
    extent = pair.b.replica.tree.extents(ino, 0, 1 << 40)
    assert sum(each.length for each in extent) == 12 * 100


def _rows(node: Node, table: str) -> int:
    [(count,)] = node.replica._database.rows(f"SELECT count(*) FROM {table}")  # ours
    return int(count)


def test_a_mount_that_ends_in_between_goes_on_to_show_the_old_content(pair: Pair) -> None:
    ino = _shared(pair)
    _save(pair, ino)
    assert pair.commit()
    pair.b.crash()
    assert pair.b.content(b"film") == _content("old", 10)
    assert pair.commit()
    assert pair.b.content(b"film") == _content("old", 10)
    pair.commit_all()
    assert pair.b.content(b"film") == _content("new")


def test_a_writer_that_crashes_in_between_goes_on(pair: Pair) -> None:
    ino = _shared(pair)
    _save(pair, ino)
    assert pair.commit()
    pair.a.crash()
    assert pair.a.content(b"film") == _content("new")
    assert pair.b.content(b"film") == _content("old", 10)
    pair.agree()
    assert pair.b.content(b"film") == _content("new")


def test_what_others_commit_in_between_parts_nothing(pair: Pair) -> None:
    ino = _shared(pair)
    _save(pair, ino)
    number = 0
    while pair.commit():
        number += 1
        pair.b.write(pair.b.create(b"note %d" % number), b"text")
        pair.b.replica.apply(SetAttributes(ino, pair.b.time(), mode=0o600 + number))
        assert pair.journal.commit(pair.b) is None
        batch = pair.a.replica.pending.next_batch(pair.uplink)
        if batch is not None:
            pair.a.replica.pending.set_in_flight(batch, batch.changeset)
        pair.journal.pull(pair.a)
        if pair.a.replica.pending.has_work():
            assert pair.b.content(b"film") == _content("old", 10)
    pair.agree()
    assert pair.b.content(b"film") == _content("new")
    assert pair.b.found(b"film").mode == 0o600 + number > 0o601


def test_later_changes_do_not_hold_the_content_back(pair: Pair) -> None:
    """A recorder that goes on while its first hour is committed."""
    ino = pair.a.create(b"film")
    _write(pair.a, ino, "new")
    _everything_arrives(pair)
    assert pair.commit()
    pair.a.write(ino, b"later", 12 * BLOCKS)
    pair.uplink.busy.add(ino)
    pair.commit_all()
    assert pair.b.content(b"film") == _content("new")
    pair.agree()


def test_a_save_by_rename_replaces_the_whole_with_the_whole(pair: Pair) -> None:
    _shared(pair)
    new = pair.a.create(b"film.part")
    _write(pair.a, new, "new")
    pair.a.replica.apply(Rename(ROOT, b"film.part", ROOT, b"film", pair.a.time()))
    _everything_arrives(pair)
    seen = []
    while pair.commit():
        seen.append(pair.b.content(b"film"))
    assert set(seen) == {_content("old", 10), _content("new")}


def test_a_file_deleted_before_its_last_part_stays_as_it_was_for_who_has_it_open(
    pair: Pair,
) -> None:
    ino = _shared(pair)
    pair.b.replica.former.keep(lambda used: used == ino)
    _save(pair, ino)
    assert pair.commit()
    pair.a.unlink(b"film")
    pair.agree()
    assert pair.b.names() == []
    assert pair.b.read(ino) == _content("old", 10)


def test_who_writes_to_a_file_that_is_arriving_gets_a_copy_of_what_he_saw(pair: Pair) -> None:
    ino = _shared(pair)
    _save(pair, ino)
    assert pair.commit()
    assert pair.b.replica.former.is_former(ino)
    touched = pair.b.replica.former.bring_back(ino, pair.b.time())
    copy = touched.moved[ino]
    pair.b.write(copy, b"ours", 4)
    [(parent, name)] = touched.conflicts
    while pair.b.replica.pending.has_work():
        pair.journal.commit(pair.b)
    pair.journal.pull(pair.a)
    pair.agree()
    assert not pair.b.replica.former.is_former(ino)
    for node in (pair.a, pair.b):
        assert node.content(b"film") == _content("new")
        old = _content("old", 10)
        assert node.content(name, parent) == old[:4] + b"ours" + old[8:]


@pytest.mark.parametrize("appended", [False, True])
def test_what_we_wrote_before_the_first_part_came_becomes_a_conflict_copy(
    pair: Pair, *, appended: bool
) -> None:
    """Even an append: it would be laid at an end that is none."""
    ino = _shared(pair)
    _save(pair, ino)
    block = pair.b.blocks.seal(b"ours")
    extents = [NewExtent(120, 4, block.id, 0)]
    pair.b.replica.apply(Write(ino, extents, [block], pair.b.time(), appended=appended))
    assert pair.commit()
    assert pair.b.content(b"film") == _content("old", 10)
    [copy] = set(pair.b.names()) - {b"film"}
    assert pair.b.content(copy) == _content("old", 10) + b"ours"
    while pair.b.replica.pending.has_work():
        pair.journal.commit(pair.b)
    pair.journal.pull(pair.a)
    pair.agree()
    assert pair.a.content(b"film") == _content("new")
    assert pair.a.content(copy) == _content("old", 10) + b"ours"


def test_a_file_with_two_names_is_old_or_new_under_both(pair: Pair) -> None:
    ino = _shared(pair)
    _save(pair, ino)
    assert pair.commit()
    pair.b.replica.apply(Link(ino, ROOT, b"linked", pair.b.time()))
    assert pair.b.content(b"linked") == _content("old", 10)
    while pair.b.replica.pending.has_work():
        pair.journal.commit(pair.b)
    pair.journal.pull(pair.a)
    pair.agree()
    assert pair.b.content(b"linked") == _content("new")


def test_of_a_mount_that_ends_entries_carry_contents_in_parts_as_well(pair: Pair) -> None:
    """Then they are made of all that waits, in its order, whatever has arrived."""
    ino = _shared(pair)
    _save(pair, ino)
    seen = []
    while pair.a.replica.pending.has_work():
        assert pair.journal.commit(pair.a) is None
        pair.journal.pull(pair.b)
        seen.append(pair.b.content(b"film"))
    assert len(seen) > 1
    assert set(seen[:-1]) == {_content("old", 10)}
    assert seen[-1] == _content("new")


def test_what_a_power_cut_takes_back_comes_again_in_parts(pair: Pair) -> None:
    """At durability `relaxed` an entry of others may have come behind work that is lost."""
    ino = _shared(pair)
    block = pair.b.blocks.seal(b"lost")
    note = pair.b.create(b"note")
    extents = [NewExtent(0, 4, block.id, 0)]
    pair.b.replica.apply(Write(note, extents, [block], pair.b.time()), loose=[block.id])
    _save(pair, ino)
    assert pair.commit()
    pair.b.crash()
    assert pair.b.content(b"film") == _content("old", 10)
    assert "note" in pair.b.replica.unsynced.take_back([block.id])
    assert not pair.b.replica.former.is_former(ino)
    pair.journal.pull(pair.b)
    assert pair.b.replica.former.is_former(ino)
    assert pair.b.content(b"film") == _content("old", 10)
    pair.commit_all()
    assert pair.b.content(b"film") == _content("new")


def test_a_conflict_copy_of_several_entries_is_whole_and_the_same_everywhere(pair: Pair) -> None:
    """All that makes it gives the same version, so most of it leaves the row of the file alone."""
    ino = _shared(pair)
    _write(pair.b, ino, "our")
    pair.a.write(ino, b"theirs")
    _everything_arrives(pair)
    pair.commit_all()
    [copy] = set(pair.b.names()) - {b"film"}
    seen = []
    while pair.b.replica.pending.has_work():
        assert pair.journal.commit(pair.b) is None
        pair.journal.pull(pair.a)
        seen.append(pair.a.content(copy))
    assert len(seen) > 1
    assert set(seen[:-1]) == {b""}
    assert seen[-1] == _content("our")
    assert pair.a.rows() == pair.b.rows()


def test_who_moved_a_file_that_is_removed_as_it_arrives_keeps_what_he_saw(pair: Pair) -> None:
    ino = _shared(pair)
    _save(pair, ino)
    assert pair.commit()
    pair.b.replica.apply(Rename(ROOT, b"film", ROOT, b"kept", pair.b.time()))
    pair.a.unlink(b"film")
    while pair.commit():
        assert pair.b.content(b"kept") == _content("old", 10)
    while pair.b.replica.pending.has_work():
        pair.journal.commit(pair.b)
    pair.journal.pull(pair.a)
    assert pair.a.rows() == pair.b.rows()
    for node in (pair.a, pair.b):
        assert node.content(b"kept") == _content("old", 10)
        assert not is_partial(node.found(b"kept").version)


# -- a block is lost when the first part is sent ---------------------------------------------------


def _lose_the_last_block(pair: Pair) -> tuple[str, ...]:
    lost = {pair.a.blocks.seal(_content("new")[-12:]).id}
    return pair.a.replica.give_up(lost, pair.a.time()).files


def _send(pair: Pair) -> None:
    """Have the next entry under way: nobody knows yet whether it is committed."""
    batch = pair.a.replica.pending.next_batch(pair.uplink)
    assert batch is not None
    flight = pair.a.replica.pending.set_in_flight(batch, batch.changeset)
    pair.journal.create(flight.seq, flight.unsigned)


def _hear(pair: Pair) -> None:
    """Learn that the entry under way is committed."""
    flight = pair.a.replica.pending.in_flight()
    assert flight is not None
    pair.a.replica.pending.mark_committed(flight.seq, pair.journal.hash(flight.seq))
    pair.journal.pull_one(pair.b)


@pytest.mark.parametrize(("way", "crash"), [("emptied first", False), ("in place", True)])
def test_a_file_is_as_it_was_when_the_rest_of_its_content_is_lost(
    pair: Pair, way: str, *, crash: bool
) -> None:
    ino = _shared(pair, blocks=BLOCKS + 100)
    if way == "emptied first":
        _save(pair, ino)
    else:
        _write(pair.a, ino, "new")
        _everything_arrives(pair)
    assert pair.commit()
    if crash:
        pair.a.crash()
    assert _lose_the_last_block(pair) == ("film",)
    before = pair.b.found(b"film").mtime_ns
    seen = set[bytes]()
    while pair.commit():
        seen.add(pair.b.content(b"film"))
    assert seen == {_content("old", BLOCKS + 100)} == {pair.a.content(b"film")}
    assert pair.a.found(b"film").mtime_ns == before == pair.b.found(b"film").mtime_ns
    pair.agree()
    assert not is_partial(pair.b.found(b"film").version)
    _write(pair.a, ino, "fix", 10)
    pair.agree()
    assert pair.b.content(b"film") == pair.a.content(b"film")


def test_a_new_file_goes_when_the_rest_of_its_content_is_lost(pair: Pair) -> None:
    _write(pair.a, pair.a.create(b"film"), "new")
    _everything_arrives(pair)
    assert pair.commit()
    assert _lose_the_last_block(pair) == ("film",)
    pair.agree()
    assert pair.a.names() == pair.b.names() == []


def test_a_part_that_is_under_way_stays_when_the_rest_is_lost(pair: Pair) -> None:
    """It may be committed: we cannot have done otherwise than it says."""
    ino = _shared(pair)
    _save(pair, ino)
    _send(pair)
    assert _lose_the_last_block(pair) == ("film",)
    assert pair.a.content(b"film") == _content("old", 10)
    _hear(pair)
    pair.agree()
    assert pair.b.content(b"film") == _content("old", 10)


def test_of_a_content_that_came_to_its_end_nothing_is_remembered(pair: Pair) -> None:
    ino = _shared(pair)
    _save(pair, ino)
    while pair.commit():
        pass
    for table in ("replaced", "replaced_extent", "replaced_since"):
        assert _rows(pair.a, table) == 0
    for table in ("earlier", "earlier_extent", "earlier_since"):
        assert _rows(pair.b, table) == 0


def test_a_huge_file_that_was_emptied_in_part_is_as_it_was_when_its_new_content_is_lost(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry ends within the steps that empty it."""
    _shared(pair, blocks=BLOCKS)
    for module in (pending_journal, pending_operations):
        monkeypatch.setattr(module, "MAX_ROWS", 500)
    pair.a.truncate(pair.a.found(b"film").ino, 0)
    pair.a.write(pair.a.found(b"film").ino, b"new")
    _everything_arrives(pair)
    assert pair.commit()
    assert pair.b.content(b"film") == _content("old")
    assert pair.a.replica.give_up({pair.a.blocks.seal(b"new").id}, pair.a.time()).files == ("film",)
    pair.agree()
    assert pair.a.content(b"film") == pair.b.content(b"film") == _content("old")


def test_the_next_save_of_a_huge_file_stands_when_the_one_before_it_is_lost(pair: Pair) -> None:
    """No entry could carry all that empties the file, if that ran again in one step."""
    ino = _shared(pair, blocks=MAX_ROWS + 100)
    for what, blocks in (("sv1", MAX_ROWS + 100), ("sv2", 10)):
        pair.a.truncate(ino, 0)
        _write(pair.a, ino, what, blocks)
    lost = {pair.a.blocks.seal(_content("sv1", 10)[-12:]).id}
    assert pair.a.replica.give_up(lost, pair.a.time()).files == ("film",)
    pair.agree()
    assert pair.b.content(b"film") == _content("sv2", 10)
