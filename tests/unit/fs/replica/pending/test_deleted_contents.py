"""Contents of files that are gone before they were uploaded: they go, and nothing else changes."""

from __future__ import annotations

from slow_pair import Pair

from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import Forget, Link, Rename
from lucidnode.node.client.ids import BlockId


def block_of(pair: Pair, data: bytes) -> BlockId:
    return pair.a.blocks.seal(data).id


def drop(pair: Pair) -> list[BlockId]:
    """Drop what can go, and return the blocks that are let go; the tree stays as it is."""
    before = pair.a.rows()
    pair.a.replica.deleted.drop(pair.uplink.has_arrived)
    after = pair.a.rows()
    assert {**before, "block": []} == {**after, "block": []}
    pair.a.check()
    return pair.a.replica.deleted.blocks()


def waits_for(pair: Pair) -> set[BlockId]:
    return set(pair.a.replica.pending.blocks_waited_for())


def save_over(pair: Pair, name: bytes, content: bytes) -> None:
    """Save as editors do: beside it, and renamed over it."""
    pair.a.write(pair.a.create(name + b".tmp"), content)
    rename(pair, name + b".tmp", name)


def rename(pair: Pair, old: bytes, new: bytes) -> None:
    pair.a.replica.apply(Rename(ROOT, old, ROOT, new, pair.a.time()))


def test_a_deleted_file_is_not_waited_for(pair: Pair) -> None:
    pair.a.write(pair.a.create(b"scratch"), b"gigabytes")
    pair.a.unlink(b"scratch")
    assert drop(pair) == [block_of(pair, b"gigabytes")]
    assert waits_for(pair) == set()
    pair.commit_all()
    assert not pair.a.replica.pending.has_work()
    pair.agree()


def test_what_was_done_before_and_after_it_stands(pair: Pair) -> None:
    folder = pair.a.mkdir(b"folder")
    pair.a.write(pair.a.create(b"before", folder), b"1")
    pair.a.write(pair.a.create(b"scratch", folder), b"gigabytes")
    pair.a.unlink(b"scratch", folder)
    pair.a.write(pair.a.create(b"after", folder), b"2")
    drop(pair)
    assert waits_for(pair) == {block_of(pair, b"1"), block_of(pair, b"2")}
    pair.commit_all(b"1", b"2")
    assert pair.b.names(folder) == [b"after", b"before"]
    pair.agree()


def test_a_file_that_is_open_or_has_another_name_is_uploaded(pair: Pair) -> None:
    is_open = pair.a.create(b"open")
    pair.a.write(is_open, b"of a program")
    pair.a.unlink(b"open", keep=True)
    linked = pair.a.create(b"one")
    pair.a.write(linked, b"of two names")
    pair.a.replica.apply(Link(linked, ROOT, b"two", pair.a.time()))
    pair.a.unlink(b"one")
    assert drop(pair) == []
    assert pair.a.content(b"two") == b"of two names"
    pair.a.replica.apply(Forget(is_open))
    assert drop(pair) == [block_of(pair, b"of a program")]


def test_a_file_that_somebody_may_be_about_to_open_is_kept(pair: Pair) -> None:
    used: set[InodeNo] = set()
    pair.a.replica.former.keep(used.__contains__)
    save_over(pair, b"doc", b"first")
    save_over(pair, b"doc", b"second")
    used.add(pair.a.found(b"doc").ino)
    save_over(pair, b"doc", b"third")
    assert drop(pair) == []
    for ino in list(used):
        pair.a.replica.former.let_go(ino)
    assert drop(pair) == [block_of(pair, b"second")]


def test_a_replaced_file_that_a_program_goes_on_with_is_uploaded(pair: Pair) -> None:
    used: set[InodeNo] = set()
    pair.a.replica.former.keep(used.__contains__)
    save_over(pair, b"doc", b"first")
    save_over(pair, b"doc", b"second")
    second = pair.a.found(b"doc").ino
    used.add(second)
    save_over(pair, b"doc", b"third")
    assert pair.a.replica.former.bring_back(second, pair.a.time()).moved == {}
    assert drop(pair) == []
    assert pair.a.read(second) == b"second"


def test_a_block_that_another_file_holds_stays(pair: Pair) -> None:
    pair.a.write(pair.a.create(b"scratch"), b"the same")
    pair.a.write(pair.a.create(b"kept"), b"the same")
    pair.a.unlink(b"scratch")
    assert drop(pair) == []
    assert waits_for(pair) == {block_of(pair, b"the same")}
    pair.commit_all(b"the same")
    assert pair.b.content(b"kept") == b"the same"


def test_a_block_that_is_written_again_afterwards_is_needed(pair: Pair) -> None:
    pair.a.write(pair.a.create(b"scratch"), b"the same")
    pair.a.unlink(b"scratch")
    [block] = drop(pair)
    assert pair.a.replica.deleted.needed([block]) == set()
    pair.a.write(pair.a.create(b"kept"), b"the same")
    assert pair.a.replica.deleted.needed([block]) == {block}


def test_what_an_entry_in_flight_carries_stays(pair: Pair) -> None:
    file = pair.a.create(b"scratch")
    pair.a.write(file, b"sent")
    batch = pair.a.replica.pending.next_batch(None)
    assert batch is not None
    pair.a.replica.pending.set_in_flight(batch, b"sealed")
    pair.a.write(file, b"not sent", 100)
    pair.a.unlink(b"scratch")
    assert drop(pair) == [block_of(pair, b"not sent")]
    assert block_of(pair, b"sent") in waits_for(pair)


def test_of_saves_that_replace_each_other_the_oldest_and_the_newest_are_seen(pair: Pair) -> None:
    """Who saves faster than the bucket takes it is seen to get on, and pays for no other."""
    for content in (b"first", b"second", b"third", b"fourth"):
        save_over(pair, b"doc", content)
    assert set(drop(pair)) == {block_of(pair, b"second"), block_of(pair, b"third")}
    assert waits_for(pair) == {block_of(pair, b"first"), block_of(pair, b"fourth")}
    pair.commit_all(b"first")
    assert pair.b.content(b"doc") == b"first", "nobody sees a save without its bytes"
    pair.commit_all(b"fourth")
    assert pair.b.content(b"doc") == b"fourth"
    pair.agree()


def test_saves_of_a_file_that_is_deleted_in_the_end_all_go(pair: Pair) -> None:
    for content in (b"first", b"second"):
        save_over(pair, b"doc", content)
    pair.a.unlink(b"doc")
    assert set(drop(pair)) == {block_of(pair, b"first"), block_of(pair, b"second")}


def test_nobody_sees_an_old_file_replaced_by_one_without_its_bytes(pair: Pair) -> None:
    """What removes it has to wait for something else."""
    pair.old_doc()
    pair.a.write(pair.a.create(b"film"), b"reel")
    rename(pair, b"film", b"archive")
    rename(pair, b"archive", b"film")
    save_over(pair, b"doc", b"new")
    rename(pair, b"doc", b"archive")
    pair.a.unlink(b"archive")
    assert drop(pair) == [block_of(pair, b"new")]
    pair.commit_all()
    assert pair.b.content(b"doc") == b"old"
    pair.commit_all(b"reel")
    assert pair.b.names() == [b"film"]
    pair.agree()


def test_a_pack_of_which_every_file_is_gone_goes_whole(pair: Pair) -> None:
    for name in (b"one", b"two"):
        pair.a.replica.tails.put(pair.a.create(name), 0, name, pair.a.time())
    pack = pair.a.pack_tails_unsent()
    assert pack is not None
    pair.a.unlink(b"one")
    assert drop(pair) == [], "the other file is there"
    pair.a.unlink(b"two")
    assert drop(pair) == [], "the pack is on its way into staging"
    pair.a.replica.tails.release_pack(pack)
    assert pack in waits_for(pair)


def test_a_staged_pack_of_which_every_file_is_gone_is_let_go(pair: Pair) -> None:
    for name in (b"one", b"two"):
        pair.a.replica.tails.put(pair.a.create(name), 0, name, pair.a.time())
    pack = pair.a.pack_tails_unsent()
    assert pack is not None
    pair.a.replica.tails.release_pack(pack)
    pair.a.unlink(b"one")
    pair.a.unlink(b"two")
    assert drop(pair) == [pack]
    assert waits_for(pair) == set()


def test_who_waits_for_a_deleted_file_is_answered(pair: Pair) -> None:
    pending = pair.a.replica.pending
    file = pair.a.create(b"scratch")
    pair.a.write(file, b"gigabytes")
    pair.a.unlink(b"scratch")
    mark = pending.newest()
    assert not pending.is_committed(mark, file)
    drop(pair)
    pair.commit_all()
    assert pending.is_committed(mark, file)
    assert pending.is_committed(mark, None)


def test_directories_keep_their_times_where_others_have_overtaken(pair: Pair) -> None:
    pair.a.write(pair.a.create(b"film"), b"reel")
    pair.a.write(pair.a.create(b"scratch"), b"gigabytes")
    pair.a.unlink(b"scratch")
    pair.a.write(pair.a.create(b"note"), b"text")
    pair.arrive(b"text")
    batch = pair.a.replica.pending.next_batch(pair.uplink)
    assert batch is not None
    assert drop(pair) == [block_of(pair, b"gigabytes")]
    pair.arrive(b"reel")
    pair.agree()


def test_a_crash_leaves_all_of_it_or_nothing(pair: Pair) -> None:
    pair.a.write(pair.a.create(b"scratch"), b"gigabytes")
    pair.a.unlink(b"scratch")
    [block] = drop(pair)
    pair.a.crash()
    assert pair.a.replica.deleted.blocks() == [block]
    assert waits_for(pair) == set()
    pair.a.replica.deleted.forget([block])
    assert pair.a.replica.deleted.blocks() == []


def test_what_a_power_cut_may_take_back_is_not_let_go(pair: Pair) -> None:
    file = pair.a.create(b"scratch")
    pair.a.write_loosely(file, b"gigabytes")
    pair.a.unlink(b"scratch")
    assert drop(pair) == []
    pair.a.replica.unsynced.synced(pair.a.replica.unsynced.newest())
    assert drop(pair) == [block_of(pair, b"gigabytes")]


def test_what_did_nothing_may_stand_ahead_of_what_it_speaks_of(pair: Pair) -> None:
    """A rename to the same name touches nothing, and overtakes what waits: it is not run again."""
    pair.uplink.new.add(kept := pair.a.create(b"kept"))
    pair.a.write(kept, b"on its way")
    rename(pair, b"kept", b"kept")
    pair.a.create(b"other")
    pair.commit_all()
    pair.a.write(pair.a.create(b"scratch"), b"gigabytes")
    pair.a.unlink(b"scratch")
    rename(pair, b"kept", b"kept")
    pair.a.replica.pending.next_batch(pair.uplink)
    assert drop(pair) == [block_of(pair, b"gigabytes")]
    pair.agree()
