"""What is ready is committed before what still uploads, and nobody can tell from the outcome."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from slow_pair import Pair

from lucidnode.fs.replica import pending_operations
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import MARK, Link, Mark, Rename, Rmdir, SetAttributes
from lucidnode.fs.replica.pending import batch_selection, pending_journal


def test_a_small_save_overtakes_a_film(pair: Pair) -> None:
    pair.a.write(pair.a.create(b"film"), b"reel")
    pair.a.write(pair.a.create(b"note"), b"text")
    pair.commit_all(b"text")
    assert pair.b.names() == [b"film", b"note"]
    assert (pair.b.content(b"film"), pair.b.content(b"note")) == (b"", b"text")
    pair.commit_all(b"reel")
    assert pair.b.content(b"film") == b"reel"
    pair.agree()


def test_the_name_of_a_young_file_comes_with_its_content(pair: Pair) -> None:
    film = pair.a.create(b"film")
    pair.uplink.new.add(film)
    pair.a.write(film, b"reel")
    pair.a.create(b"empty")
    pair.commit_all()
    assert pair.b.names() == [b"empty"]
    pair.arrive(b"reel")
    assert pair.commit()
    assert pair.b.content(b"film") == b"reel"
    pair.agree()


def test_a_content_of_several_operations_comes_whole(pair: Pair) -> None:
    file = pair.a.create(b"film")
    for number in range(3):
        pair.a.write(file, b"reel %d" % number, 100 * number)
    pair.commit_all(b"reel 0", b"reel 2")
    assert pair.b.content(b"film") == b""
    pair.arrive(b"reel 1")
    assert pair.commit()
    assert pair.b.content(b"film") == pair.a.content(b"film")
    pair.agree()


def test_what_is_written_after_a_content_was_finished_does_not_hold_it_up(pair: Pair) -> None:
    """A file that grows without an end is seen to grow."""
    file = pair.a.create(b"log")
    pair.a.write(file, b"first")
    pair.commit_all()
    pair.a.write(file, b"later", 100)
    pair.uplink.busy.add(file)
    pair.commit_all(b"first")
    assert pair.b.content(b"log") == b"first"
    pair.agree()


def test_a_file_that_is_being_written_is_seen_as_it_was(pair: Pair) -> None:
    file = pair.old_doc()
    pair.uplink.busy.add(file)
    pair.a.truncate(file, 0)
    pair.a.create(b"other")
    pair.commit_all()
    assert pair.b.content(b"doc") == b"old"
    assert b"other" in pair.b.names()
    pair.a.write(file, b"new")
    pair.arrive(b"new")
    pair.uplink.busy.clear()
    assert pair.commit()
    assert pair.b.content(b"doc") == b"new"
    pair.agree()


@pytest.mark.parametrize("as_tail", [False, True])
def test_a_rename_over_a_file_waits_for_the_content_it_brings(pair: Pair, as_tail: bool) -> None:
    pair.old_doc()
    saved = pair.a.create(b"tmp")
    if as_tail:
        pair.a.replica.tails.put(saved, 0, b"new", pair.a.time())
    else:
        pair.a.write(saved, b"new")
    pair.a.replica.apply(Rename(ROOT, b"tmp", ROOT, b"doc", pair.a.time()))
    pair.a.create(b"other")
    pair.commit_all()
    assert pair.b.content(b"doc") == b"old"
    assert b"other" in pair.b.names()
    pair.commit_all(b"new")
    assert pair.b.content(b"doc") == b"new"
    assert b"tmp" not in pair.b.names()
    pair.agree()


def _saved(pair: Pair, text: bytes) -> InodeNo:
    """Save *text* as `doc` by rename, in a tail that is not packed yet."""
    new = pair.a.create(b"tmp")
    pair.a.replica.tails.put(new, 0, text, pair.a.time())
    pair.a.replica.apply(Rename(ROOT, b"tmp", ROOT, b"doc", pair.a.time()))
    return new


@pytest.mark.parametrize("saves", [2, 3, 40])
def test_a_save_that_the_next_one_replaced_before_it_was_packed_is_never_seen(
    pair: Pair, saves: int
) -> None:
    pair.old_doc()
    for number in range(saves):
        _saved(pair, b"save %d" % number)
    pair.a.create(b"other")
    pair.commit_all()
    assert pair.b.content(b"doc") == b"old"
    assert pair.b.names() == [b"doc", b"other"]
    pair.commit_all(b"save %d" % (saves - 1))
    assert pair.b.content(b"doc") == b"save %d" % (saves - 1)
    assert not pair.a.replica.pending.has_work()
    pair.agree()


def test_who_saves_without_a_pause_is_followed(pair: Pair) -> None:
    pair.old_doc()
    for number in range(10):
        for part in range(3):
            _saved(pair, b"save %d.%d" % (number, part))
        pair.commit_all()
        assert pair.b.content(b"doc") == (b"on %d" % (number - 1) if number else b"old")
        _saved(pair, b"on %d" % number)
        pair.commit_all(b"save %d.2" % number)
        assert pair.b.content(b"doc") == b"save %d.2" % number
        pair.arrive(b"on %d" % number)
    pair.agree()


def test_a_save_of_which_only_a_part_was_packed_is_never_seen(pair: Pair) -> None:
    pair.old_doc()
    first = pair.a.create(b"tmp")
    pair.a.write(first, b"a part")
    pair.a.replica.tails.put(first, 6, b" and the rest", pair.a.time())
    pair.a.replica.apply(Rename(ROOT, b"tmp", ROOT, b"doc", pair.a.time()))
    _saved(pair, b"second")
    pair.commit_all(b"a part")
    assert pair.b.content(b"doc") == b"old"
    pair.commit_all(b"second")
    assert pair.b.content(b"doc") == b"second"
    pair.agree()


def test_what_was_made_and_deleted_before_it_was_packed_holds_up_nothing(pair: Pair) -> None:
    gone = pair.a.create(b"tmp")
    pair.a.replica.tails.put(gone, 0, b"never mind", pair.a.time())
    pair.a.unlink(b"tmp")
    pair.a.create(b"other")
    pair.commit_all()
    assert pair.b.names() == [b"other"]
    assert not pair.a.replica.pending.has_work()
    pair.agree()


def test_a_file_that_goes_while_its_first_content_is_on_its_way_holds_up_nothing(
    pair: Pair,
) -> None:
    """What it became after that content was finished can be committed with its removal alone."""
    gone = pair.a.create(b"tmp")
    pair.uplink.new.add(gone)
    pair.a.write(gone, b"first")
    assert not pair.commit()  # the name waits for what was finished by now
    pair.a.truncate(gone, 2)
    pair.a.replica.tails.put(gone, 0, b"never mind", pair.a.time())
    pair.a.unlink(b"tmp")
    pair.a.create(b"other")
    pair.commit_all(b"first")
    assert pair.b.names() == [b"other"]
    assert not pair.a.replica.pending.has_work()
    pair.agree()


def test_times_of_a_tail_wait_for_its_bytes(pair: Pair) -> None:
    file = pair.old_doc()
    before = pair.b.found(b"doc").mtime_ns
    pair.a.replica.tails.put(file, 0, b"new", pair.a.time())
    pair.commit_all()
    assert pair.b.found(b"doc").mtime_ns == before
    pair.agree()


def test_files_that_share_a_pack_do_not_wait_for_each_other(pair: Pair) -> None:
    film, note = pair.a.create(b"film"), pair.a.create(b"note")
    pair.a.write(film, b"reel")
    pair.a.replica.tails.put(film, 100, b"end", pair.a.time())
    pair.a.replica.tails.put(note, 0, b"text", pair.a.time())
    pair.commit_all(b"endtext")
    assert pair.b.content(b"note") == b"text"
    assert pair.b.content(b"film") == b""
    pair.agree()


def test_a_content_waits_for_the_one_that_names_its_block(pair: Pair) -> None:
    """Equal bytes are one block: who has them second does not name it again."""
    film, copy = pair.a.create(b"film"), pair.a.create(b"copy")
    pair.a.write(film, b"reel")
    pair.a.write(film, b"more", 100)
    pair.a.write(copy, b"reel")
    pair.commit_all(b"reel")
    assert pair.b.content(b"copy") == b""
    pair.commit_all(b"more")
    assert pair.b.content(b"copy") == b"reel"
    pair.agree()


def test_what_depends_on_what_waits_keeps_its_place(pair: Pair) -> None:
    """A directory that a held rename empties, a name it frees, a link to what it moves."""
    shots = pair.a.mkdir(b"shots")
    film = pair.a.create(b"film", shots)
    pair.a.write(film, b"old")
    pair.agree()
    pair.a.write(film, b"reel")
    apply, time = pair.a.replica.apply, pair.a.time
    apply(Rename(shots, b"film", ROOT, b"film", time()))
    apply(Rmdir(ROOT, b"shots", time()))
    pair.a.create(b"shots")
    apply(Link(film, ROOT, b"also", time()))
    apply(SetAttributes(film, time(), mode=0o600))
    pair.commit_all()
    assert pair.b.names() == [b"shots"]
    assert pair.b.names(shots) == [b"film"]
    pair.agree()
    assert pair.b.names() == [b"also", b"film", b"shots"]


def test_a_mark_overtakes_the_content_it_speaks_of(pair: Pair) -> None:
    film = pair.a.create(b"film")
    pair.a.write(film, b"reel")
    pair.a.replica.apply(Mark(film, b"uploading at a"))
    pair.commit_all()
    assert pair.b.replica.tree.marks() == [(film, b"uploading at a")]
    assert pair.b.replica.tree.xattr_names(film) == []
    pair.a.replica.apply(Mark(film, None))
    pair.commit_all()
    assert pair.b.replica.tree.mark(film) == b"uploading at a", (
        "taken back before the content is there"
    )
    pair.arrive(b"reel")
    assert pair.commit()
    assert pair.b.replica.tree.mark(film) is None
    assert pair.b.content(b"film") == b"reel"
    assert MARK not in pair.b.replica.tree.xattr_names(film)
    pair.agree()


def test_times_of_a_directory_follow_each_other_in_the_new_order(pair: Pair) -> None:
    """Held renames, and saves that overtake them, in one directory; its time was set back between."""
    shots = pair.a.mkdir(b"shots")
    pair.agree()
    for number in range(4):
        held = pair.a.create(b"tmp.%d" % number, shots)
        pair.a.write(held, b"held %d" % number)
        pair.a.replica.apply(
            Rename(shots, b"tmp.%d" % number, shots, b"film.%d" % number, pair.a.time())
        )
        pair.a.create(b"note.%d" % number, shots)
        if number == 2:
            pair.a.replica.apply(SetAttributes(shots, 5, mtime_ns=5))
        pair.commit_all()
        assert b"note.%d" % number in pair.b.names(shots)
        if number == 1:
            pair.a.crash()
    assert not [name for name in pair.b.names(shots) if name.startswith(b"film")]
    pair.agree()
    assert len(pair.b.names(shots)) == 8


@pytest.mark.parametrize("order", list(permutations(("film", "note", "restore"))), ids="-".join)
def test_no_overtaking_changes_a_time_of_a_directory_where_it_was_set(
    pair: Pair, order: tuple[str, ...]
) -> None:
    """As archives set it back: the last of those that set it in the program's order has the last word."""
    shots = pair.a.mkdir(b"shots")
    pair.agree()
    for act in order:
        match act:
            case "film":
                film = pair.a.create(b"film", shots)
                pair.uplink.new.add(film)
                pair.a.write(film, b"does not arrive yet")
            case "note":
                pair.a.create(b"note", shots)
            case _:
                pair.a.replica.apply(SetAttributes(shots, pair.a.time(), mtime_ns=5))
    shown = pair.a.replica.tree.attributes(shots)
    pair.commit_all()
    assert pair.b.names(shots) == [b"note"]
    assert pair.a.replica.tree.attributes(shots) == shown
    pair.agree()
    assert pair.a.replica.tree.attributes(shots) == shown


def test_whoever_waits_for_a_number_is_never_told_too_early(pair: Pair) -> None:
    film = pair.a.create(b"film")
    pair.commit_all()
    pair.a.write(film, b"reel")
    replica = pair.a.replica
    mark = replica.pending.newest()
    note = pair.a.create(b"note")
    later = replica.pending.newest()
    pair.commit_all()
    assert b"note" in pair.b.names()
    assert not replica.pending.is_committed(mark, None)
    assert not replica.pending.is_committed(later, None)
    assert not replica.pending.is_committed(mark, film)
    assert replica.pending.is_committed(later, note)
    assert replica.pending.is_pending(film)
    assert not replica.pending.is_pending(note)
    pair.agree()
    assert replica.pending.is_committed(later, None)


def test_a_number_never_grows(pair: Pair) -> None:
    first, second = pair.a.create(b"first"), pair.a.create(b"second")
    pair.commit_all()
    pair.a.write(first, b"reel")
    mark = pair.a.replica.pending.newest()
    for number in range(9):
        pair.a.create(b"%d" % number)
    pair.commit_all()
    pair.a.write(second, b"other")
    pair.a.create(b"note")
    pair.arrive(b"reel")
    assert pair.a.replica.pending.next_batch(pair.uplink) is not None
    assert not pair.a.replica.pending.is_committed(mark, None)
    pair.agree()


def test_a_question_between_a_save_and_its_packing_does_not_part_it(pair: Pair) -> None:
    """`status`, and the marks, look at any moment; a save by truncating may be a tail then."""
    file = pair.old_doc()
    pair.a.truncate(file, 0)
    pair.a.replica.tails.put(file, 0, b"new", pair.a.time())
    pair.a.replica.pending.contents(pair.uplink)
    pair.commit_all()
    assert pair.b.content(b"doc") == b"old"
    pair.arrive(b"new")
    assert pair.commit()
    assert pair.b.content(b"doc") == b"new"
    pair.agree()


def test_saves_in_one_tick_of_the_clock_go_into_one_entry(pair: Pair) -> None:
    """A rename then leaves no trace in the row of the file; it is no move of a directory all the same."""
    doc = pair.old_doc()
    now = pair.a.time()
    pair.a.time = lambda: now  # type: ignore[method-assign]
    for number in range(300):
        file = pair.a.create(b"doc.new")
        pair.a.write(file, b"version %d" % number)
        pair.a.replica.apply(Rename(ROOT, b"doc.new", ROOT, b"doc", now))
    pair.commit_all()
    assert pair.a.replica.tree.attributes(doc) is None
    head = pair.b.replica.pending.head().seq
    pair.arrive(*(b"version %d" % number for number in range(300)))
    assert pair.commit()
    assert pair.b.replica.pending.head().seq == head + 1
    assert pair.b.content(b"doc") == b"version 299"
    pair.agree()


def _with_bounds(monkeypatch: pytest.MonkeyPatch, *, window: int, rows: int) -> None:
    monkeypatch.setattr(pending_journal, "WINDOW_OPERATIONS", window)
    monkeypatch.setattr(pending_journal, "MAX_ROWS", rows)
    monkeypatch.setattr(pending_operations, "MAX_ROWS", rows)


@pytest.mark.parametrize("window", [1, 3, 5, 8192])
@pytest.mark.parametrize("rows", [8, 20, 2048])
@pytest.mark.parametrize("as_tail", [False, True])
def test_an_entry_that_is_full_shows_no_save_without_its_content(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, window: int, rows: int, *, as_tail: bool
) -> None:
    """What the entry has no room for is looked at as well, and what is behind the window."""
    pair.old_doc()
    _with_bounds(monkeypatch, window=window, rows=rows)
    versions = [b"save %d" % number for number in range(6)]
    for version in versions:
        if as_tail:
            _saved(pair, version)
        else:
            new = pair.a.create(b"tmp")
            pair.a.write(new, version)
            pair.a.replica.apply(Rename(ROOT, b"tmp", ROOT, b"doc", pair.a.time()))
    pair.arrive(*versions)
    while pair.commit():
        assert pair.b.content(b"doc") in {b"old", *versions}
    assert pair.b.content(b"doc") == versions[-1]
    pair.agree()


@pytest.mark.parametrize("window", [1, 7, 8192])
@pytest.mark.parametrize("rows", [8, 20, 100])
@pytest.mark.parametrize("linked", [False, True])
def test_many_small_files_made_in_an_outage_all_come_and_come_with_their_content(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, window: int, rows: int, *, linked: bool
) -> None:
    """Their contents are packed when it is over, behind all their names."""
    _with_bounds(monkeypatch, window=window, rows=rows)
    for number in range(30):
        file = pair.a.create(b"%d" % number)
        pair.a.replica.tails.put(file, 0, b"small %d" % number, pair.a.time())
        if linked:
            pair.a.replica.apply(Link(file, ROOT, b"%d again" % number, pair.a.time()))
    pair.a.pack_tails_unsent()
    pair.uplink.here |= set(pair.a.replica.pending.blocks_waited_for())
    while pair.commit():
        for name in pair.b.names():
            assert pair.b.content(name) == b"small " + name.removesuffix(b" again")
    assert len(pair.b.names()) == (60 if linked else 30)
    pair.agree()


@pytest.mark.parametrize("window", [1, 5, 8192])
def test_a_content_of_more_operations_than_are_looked_at_is_one_content(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    """As of a database that committed for an hour while the bucket was away."""
    doc = pair.old_doc()
    _with_bounds(monkeypatch, window=window, rows=2048)
    blocks = [b"page %2d" % number for number in range(20)]
    for number, block in enumerate(blocks):
        pair.a.write(doc, block, 7 * number)
        if number % 5 == 0:
            when = pair.a.time()
            pair.a.replica.apply(SetAttributes(doc, when, mode=0o600))
        pair.a.create(b"%d" % number)
    pair.arrive(*blocks)
    while pair.commit():
        assert pair.b.content(b"doc") in {b"old", b"".join(blocks)}
    assert pair.b.content(b"doc") == b"".join(blocks)
    pair.agree()


def test_a_save_is_not_seen_while_its_content_waits_for_another_operation(pair: Pair) -> None:
    """Its bytes are in the bucket, but it got a second name that a film had which uploads."""
    pair.old_doc()
    film = pair.a.create(b"film")
    pair.uplink.new.add(film)
    pair.a.write(film, b"reel")
    pair.a.replica.apply(Rename(ROOT, b"film", ROOT, b"reel", pair.a.time()))
    doc = _saved(pair, b"new")
    pair.a.replica.apply(Link(doc, ROOT, b"film", pair.a.time()))
    pair.commit_all(b"new")
    assert pair.b.content(b"doc") == b"old"
    pair.commit_all(b"reel")
    assert pair.b.content(b"doc") == pair.b.content(b"film") == b"new"
    pair.agree()


def test_an_entry_that_is_full_of_bytes_comes_with_its_content(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How much an entry holds in bytes shows only when it is made."""
    monkeypatch.setattr(pending_journal, "MAX_BYTES", 16 * 1024)
    for number in range(30):
        file = pair.a.create(b"%d" % number)
        pair.a.set_xattr(file, b"user.note", bytes(1024))
        pair.a.replica.tails.put(file, 0, b"small %d" % number, pair.a.time())
    pair.a.pack_tails_unsent()
    pair.uplink.here |= set(pair.a.replica.pending.blocks_waited_for())
    entries = 0
    while pair.commit():
        entries += 1
        for name in pair.b.names():
            assert pair.b.content(name) == b"small " + name
    assert entries > 2
    pair.agree()


def test_a_thousand_small_files_take_two_entries(pair: Pair) -> None:
    """A file is a name, an inode and an extent, and an entry has 2,048 rows."""
    for number in range(1000):
        file = pair.a.create(b"%d" % number)
        pair.a.replica.tails.put(file, 0, b"small %d" % number, pair.a.time())
    pair.a.pack_tails_unsent()
    pair.uplink.here |= set(pair.a.replica.pending.blocks_waited_for())
    assert pair.commit()
    assert pair.commit()
    assert not pair.commit()
    pair.agree()


def test_a_name_goes_ahead_of_a_content_that_waits_far_behind(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_bounds(monkeypatch, window=3, rows=2048)
    film = pair.a.create(b"film")
    for number in range(10):
        pair.a.create(b"%d" % number)
    pair.a.write(film, b"reel")
    assert pair.commit()
    assert b"film" in pair.b.names()
    pair.agree()


def test_a_content_that_no_entry_has_room_for_is_not_overtaken_for_ever(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_bounds(monkeypatch, window=8192, rows=20)
    film = pair.a.create(b"film")
    for number in range(40):
        pair.a.write(film, b"reel %d" % number, 100 * number)
    pair.arrive(*(b"reel %d" % number for number in range(40)))
    for number in range(20):
        pair.a.create(b"%d" % number)
        assert pair.commit()
    assert pair.b.content(b"film") == pair.a.content(b"film")
    pair.agree()


def test_a_long_chain_of_saves_costs_a_few_looks(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def counted(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return _chosen(*arguments)

    _chosen = batch_selection._chosen
    monkeypatch.setattr(batch_selection, "_chosen", counted)
    _with_bounds(monkeypatch, window=100, rows=2048)
    monkeypatch.setattr(pending_journal, "MAX_BYTES", 4096)
    for number in range(200):
        _saved(pair, b"save %d" % number)
    pair.arrive(b"save 199")
    assert pair.commit()
    assert pair.b.content(b"doc") == b"save 199"
    assert looks < 10


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("as_tail", [False, True])
def test_a_lock_file_goes_behind_what_was_saved_beside_it(
    pair: Pair, keep: bool, as_tail: bool
) -> None:
    """Else another node would have the lock, and find what was there before the save.

    A tail becomes a content only when an entry is made, which is after the lock has gone.
    """
    pair.old_doc()
    pair.a.write(pair.a.create(b"lck"), b"ana")
    pair.agree()
    saved = pair.a.create(b"tmp")
    pair.uplink.new.add(saved)
    if as_tail:
        pair.a.replica.tails.put(saved, 0, b"new", pair.a.time())
    else:
        pair.a.write(saved, b"new")
    pair.a.replica.apply(Rename(ROOT, b"tmp", ROOT, b"doc", pair.a.time()))
    pair.a.unlink(b"lck", keep=keep)
    pair.a.create(b"other")
    pair.commit_all()
    assert (pair.b.content(b"doc"), pair.b.names()) == (b"old", [b"doc", b"lck", b"other"])
    pair.commit_all(b"new")
    assert (pair.b.content(b"doc"), pair.b.names()) == (b"new", [b"doc", b"other"])
    pair.agree()


@pytest.mark.parametrize("as_tail", [False, True])
def test_a_lock_file_that_is_made_again_goes_behind_a_save_that_the_next_one_has_replaced(
    pair: Pair, as_tail: bool
) -> None:
    """The first save lies nowhere any more, and the new lock waits for its own bytes."""
    pair.old_doc()
    pair.a.write(pair.a.create(b"lck"), b"ana")
    pair.agree()
    for number in range(2):
        if number:
            lock = pair.a.create(b"lck")
            pair.uplink.new.add(lock)
            pair.a.replica.tails.put(lock, 0, b"ana", pair.a.time())
        if as_tail:
            saved = _saved(pair, b"save %d" % number)
        else:
            saved = pair.a.create(b"tmp")
            pair.a.write(saved, b"save %d" % number)
            pair.a.replica.apply(Rename(ROOT, b"tmp", ROOT, b"doc", pair.a.time()))
        pair.uplink.new.add(saved)
        if not number:
            pair.a.unlink(b"lck")
    pair.a.create(b"other")
    pair.commit_all()
    assert (pair.b.content(b"doc"), pair.b.names()) == (b"old", [b"doc", b"lck", b"other"])
    pair.uplink.here |= set(pair.a.replica.pending.blocks_waited_for())
    pair.commit_all()
    assert (pair.b.content(b"doc"), pair.b.names()) == (b"save 1", [b"doc", b"lck", b"other"])
    pair.agree()


@pytest.mark.parametrize("as_tail", [False, True])
def test_a_lock_file_goes_behind_a_save_whose_name_waits_for_its_directory(
    pair: Pair, as_tail: bool
) -> None:
    """All of it has arrived; another workstation has got the directory, and makes the lock if it can."""
    pair.old_doc()
    pair.a.write(pair.a.create(b"lck"), b"ana")
    pair.agree()
    pair.uplink.others.add(ROOT)
    if as_tail:
        _saved(pair, b"new")
    else:
        pair.a.write(pair.a.create(b"tmp"), b"new")
        pair.a.replica.apply(Rename(ROOT, b"tmp", ROOT, b"doc", pair.a.time()))
    pair.a.unlink(b"lck")
    pair.commit_all(b"new")
    assert (pair.b.content(b"doc"), pair.b.names()) == (b"old", [b"doc", b"lck"])
    pair.uplink.others.clear()
    pair.commit_all(b"new")
    assert (pair.b.content(b"doc"), pair.b.names()) == (b"new", [b"doc"])
    pair.agree()


def test_what_is_deleted_waits_for_no_save_elsewhere_none_that_goes_on_and_if_it_is_big_for_none(
    pair: Pair,
) -> None:
    folder = pair.a.mkdir(b"folder")
    pair.a.write(pair.a.create(b"elsewhere", folder), b"here")
    pair.a.write(pair.a.create(b"small"), b"beside")
    pair.a.write(pair.a.create(b"big"), bytes(5000))
    growing = pair.a.create(b"growing")
    pair.agree()
    pair.uplink.busy.add(growing)
    pair.a.write(growing, b"more")
    pair.a.unlink(b"small")
    pair.a.write(pair.a.create(b"film"), b"reel")
    pair.a.unlink(b"elsewhere", folder)
    pair.a.unlink(b"big")
    pair.commit_all()
    assert pair.b.names() == [b"film", b"folder", b"growing"]
    assert pair.b.content(b"growing") == b""
    assert pair.b.content(b"film") == b""
    assert not pair.b.names(folder)
    pair.agree()
