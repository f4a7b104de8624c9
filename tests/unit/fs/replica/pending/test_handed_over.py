"""A lease that is given away goes with what was done under it, or behind it, and never before."""

from __future__ import annotations

import pytest
from slow_pair import Pair

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import LOCKS_LEASE, NAMES_LEASE, Lease, Link


def give(pair: Pair, ino: InodeNo, name: bytes = LOCKS_LEASE) -> None:
    pair.a.replica.apply(Lease(ino, None, b"given", claims=True, name=name, behind=True))


def is_given(pair: Pair, ino: InodeNo, name: bytes = LOCKS_LEASE) -> bool:
    """Tell what the other node knows."""
    return pair.b.replica.tree.lease(ino, name) is not None


@pytest.mark.parametrize("saved", [b"doc", b"journal"], ids=["the file", "one beside it"])
def test_the_locks_of_a_file_wait_for_what_was_saved_under_them_and_go_in_its_entry(
    pair: Pair, saved: bytes
) -> None:
    doc = pair.old_doc()
    ino = doc if saved == b"doc" else pair.a.create(saved)
    pair.commit_all()
    pair.a.write(ino, b"saved")
    pair.a.pack_tails()
    give(pair, doc)
    pair.commit_all()
    assert not is_given(pair, doc)
    pair.arrive(b"saved")
    assert pair.commit()
    assert is_given(pair, doc), "one entry has both"
    assert pair.b.content(saved) == b"saved"
    pair.agree()


def test_nobodys_locks_wait_for_what_a_program_is_in_the_middle_of_nor_for_other_directories(
    pair: Pair,
) -> None:
    doc = pair.old_doc()
    film = pair.a.create(b"film")
    elsewhere = pair.a.create(b"reel", pair.a.mkdir(b"elsewhere"))
    pair.commit_all()
    pair.a.write(film, b"half")
    pair.a.write(elsewhere, b"whole")
    pair.a.pack_tails()
    pair.uplink.busy.add(film)
    give(pair, doc)
    pair.commit_all()
    assert is_given(pair, doc)
    pair.agree()


def test_a_directory_waits_for_the_names_that_were_made_in_it_as_long_as_it_may(pair: Pair) -> None:
    bins = pair.a.mkdir(b"bins")
    film = pair.a.create(b"film.part")
    pair.commit_all()
    pair.a.write(film, b"reel")
    pair.a.pack_tails()
    pair.a.replica.apply(Link(film, bins, b"film.mov", 1))
    give(pair, bins, NAMES_LEASE)
    pair.commit_all()
    assert not is_given(pair, bins, NAMES_LEASE)
    pair.uplink.due.add(bins)
    pair.commit_all()
    assert is_given(pair, bins, NAMES_LEASE)
    assert pair.b.names(bins) == []
    pair.agree()


def test_a_directory_and_the_names_made_in_it_go_in_one_entry(pair: Pair) -> None:
    bins = pair.a.mkdir(b"bins")
    pair.commit_all()
    lock = pair.a.create(b"cut.lock", bins)
    pair.uplink.new.add(lock)
    pair.a.write(lock, b"ana")
    pair.a.pack_tails()
    give(pair, bins, NAMES_LEASE)
    pair.commit_all()
    assert not is_given(pair, bins, NAMES_LEASE)
    pair.arrive(b"ana")
    assert pair.commit()
    assert is_given(pair, bins, NAMES_LEASE)
    assert pair.b.names(bins) == [b"cut.lock"]
    pair.agree()


def test_what_is_for_no_lease_waits_for_nothing(pair: Pair) -> None:
    """Who renews, or asks, says nothing of what he did."""
    doc = pair.old_doc()
    pair.a.write(doc, b"saved")
    pair.a.pack_tails()
    pair.a.replica.apply(Lease(doc, None, b"renewed"))
    pair.commit_all()
    assert is_given(pair, doc)
    pair.agree()
