"""Work that waits when the disk of its blocks is lost: one content goes, all else goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from replica_fixture import Blocks, Node

from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import Mark, Rename
from lucidnode.node.client.ids import BlockId, Seq


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "a.db", "a", Blocks())
    yield node
    node.close()


def commit(node: Node) -> None:
    """Have all that waits committed."""
    while (batch := node.replica.pending.next_batch(None)) is not None:
        node.replica.pending.set_in_flight(batch, b"sealed")
        node.replica.pending.mark_committed(Seq(batch.seq), bytes([batch.seq]) * 32)


def block_of(node: Node, data: bytes) -> BlockId:
    return node.blocks.seal(data).id


def give_up(node: Node, *contents: bytes) -> tuple[str, ...]:
    lost = {block_of(node, content) for content in contents}
    return node.replica.give_up(lost, node.time()).files


def rename(node: Node, old: bytes, new: bytes) -> None:
    node.replica.apply(Rename(ROOT, old, ROOT, new, node.time()))


def saved_over(node: Node, name: bytes, content: bytes) -> InodeNo:
    """Save as editors do: beside it, and renamed over it."""
    ino = node.create(name + b".tmp")
    node.write(ino, content)
    rename(node, name + b".tmp", name)
    return ino


def test_an_overwritten_file_is_as_it_was_before(node: Node) -> None:
    ino = node.create(b"song")
    node.write(ino, b"first")
    commit(node)
    node.truncate(ino, 0)
    node.write(ino, b"second version")
    assert give_up(node, b"second version") == ("song",)
    assert node.read(ino) == b"first"
    assert not node.replica.pending.has_work()


def test_a_new_file_whose_content_is_lost_is_not_there(node: Node) -> None:
    node.write(node.create(b"film"), b"lost")
    node.write(node.create(b"other"), b"kept")
    assert give_up(node, b"lost") == ("film",)
    assert node.names() == [b"other"]
    assert node.read(node.found(b"other").ino) == b"kept"


def test_a_save_by_rename_leaves_the_old_file_in_its_place(node: Node) -> None:
    old = saved_over(node, b"project", b"first")
    commit(node)
    saved_over(node, b"project", b"second")
    assert give_up(node, b"second") == ("project",)
    assert node.names() == [b"project"]
    assert node.found(b"project").ino == old
    assert node.read(old) == b"first"


def test_a_whole_save_after_the_lost_one_stands(node: Node) -> None:
    ino = node.create(b"song")
    node.write(ino, b"lost")
    node.truncate(ino, 0)
    node.write(ino, b"third")
    assert give_up(node, b"lost") == ("song",)
    assert node.read(ino) == b"third"
    commit(node)
    assert node.read(ino) == b"third"


def test_no_part_of_a_lost_content_is_left(node: Node) -> None:
    ino = node.create(b"db")
    node.write(ino, b"0123456789")
    commit(node)
    node.write(ino, b"AB", 0)
    node.write(ino, b"CD", 8)
    node.replica.tails.put(ino, 4, b"tail", node.time())
    give_up(node, b"AB")
    assert node.read(ino) == b"0123456789"


def test_what_does_not_need_it_stays_in_its_order(node: Node) -> None:
    folder = node.mkdir(b"folder")
    node.write(node.create(b"lost", folder), b"lost")
    node.write(node.create(b"kept", folder), b"kept")
    rename(node, b"folder", b"moved")
    give_up(node, b"lost")
    assert node.names() == [b"moved"]
    assert node.names(folder) == [b"kept"]
    commit(node)
    assert node.names(folder) == [b"kept"]


def test_who_removed_the_file_already_hears_nothing_of_it(node: Node) -> None:
    ino = node.create(b"film")
    commit(node)
    node.write(ino, b"lost")
    node.unlink(b"film")
    node.create(b"later")
    assert give_up(node, b"lost") == ()
    assert node.names() == [b"later"]
    assert node.replica.pending.next_batch(None) is not None


def test_a_name_that_others_saw_without_its_content_goes(node: Node) -> None:
    ino = node.create(b"film")
    node.replica.apply(Mark(ino, b"on its way"))
    commit(node)
    node.write(ino, b"lost")
    assert give_up(node, b"lost") == ("film",)
    assert node.names() == []
    batch = node.replica.pending.next_batch(None)
    assert batch is not None, "the others do not hear of it"


def test_an_empty_file_that_was_one_stays(node: Node) -> None:
    ino = node.create(b"lock")
    commit(node)
    node.write(ino, b"lost")
    give_up(node, b"lost")
    assert node.names() == [b"lock"]
    assert node.read(ino) == b""


def test_an_entry_in_flight_that_needs_it_is_forgotten(node: Node) -> None:
    node.write(node.create(b"film"), b"lost")
    node.create(b"other")
    batch = node.replica.pending.next_batch(None)
    assert batch is not None
    node.replica.pending.set_in_flight(batch, b"sealed")
    give_up(node, b"lost")
    assert node.replica.pending.in_flight() is None
    again = node.replica.pending.next_batch(None)
    assert again is not None
    assert again.needs == ()


def test_an_entry_in_flight_that_does_not_need_it_stays(node: Node) -> None:
    node.create(b"other")
    batch = node.replica.pending.next_batch(None)
    assert batch is not None
    flight = node.replica.pending.set_in_flight(batch, b"sealed")
    node.write(node.create(b"film"), b"lost")
    give_up(node, b"lost")
    assert node.replica.pending.in_flight() == flight


def test_a_lost_pack_takes_all_files_in_it_and_no_other(node: Node) -> None:
    for name in (b"one", b"two"):
        node.replica.tails.put(node.create(name), 0, name, node.time())
    pack = node.pack_tails_unsent()
    assert pack is not None
    node.replica.tails.release_pack(pack)
    node.write(node.create(b"other"), b"kept")
    given_up = node.replica.give_up({pack}, node.time())
    assert sorted(given_up.files) == ["one", "two"]
    assert node.names() == [b"other"]
    assert all(
        pack not in (block.id for block in item.recorded.intent.blocks)
        for item in node.replica.pending._ground.journal.waiting()
        if isinstance(item.recorded.intent, intents.NameBlocks)
    )


def test_a_crash_leaves_all_of_it_or_nothing(node: Node) -> None:
    node.write(node.create(b"film"), b"lost")
    give_up(node, b"lost")
    node.crash()
    assert node.names() == []
    assert not node.replica.pending.has_work()


def test_what_was_given_up_before_a_power_cut_can_be_given_up_again(node: Node) -> None:
    """The cut takes back that it was given up, with what was saved loosely before."""
    node.write(node.create(b"song"), b"lost")
    other = node.create(b"film")
    node.write_loosely(other, b"not on the disk")
    node.create(b"later")
    assert give_up(node, b"lost") == ("song",)
    assert node.names() == [b"film", b"later"]
    node.crash()
    torn = block_of(node, b"not on the disk")
    assert node.replica.unsynced.take_back([torn]) == ["film"]
    node.check()
    assert node.names() == [b"film", b"song"]
    assert node.read(other) == b""
    assert give_up(node, b"lost") == ("song",)
    assert node.names() == [b"film"]
    commit(node)
    node.check()


def test_a_power_cut_names_only_files_that_have_another_content_now(node: Node) -> None:
    """Not those of which bytes were packed, or whose work ran again, in what is taken back."""
    packed = node.create(b"packed")
    node.replica.tails.put(packed, 0, b"few bytes", node.time())
    kept = node.create(b"kept")
    node.write(node.create(b"scratch"), b"gigabytes")
    node.write(kept, b"of before")
    node.write_loosely(node.create(b"torn"), b"not on the disk")
    node.pack_tails()
    node.unlink(b"scratch")
    assert node.replica.deleted.drop(lambda _: False)
    node.write(node.create(b"new"), b"of after")
    assert node.replica.unsynced.take_back([block_of(node, b"not on the disk")]) == [
        "new",
        "scratch",
        "torn",
    ]
    node.check()
    assert node.read(packed) == b"few bytes"
    assert node.read(kept) == b"of before"
