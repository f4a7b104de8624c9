"""Tails lie over their file until they are packed, and packing changes no byte."""

from __future__ import annotations

from replica_fixture import Journal, Node

from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import (
    Forget,
    NewExtent,
    Rename,
    Write,
)


def test_a_tail_is_part_of_its_file_at_once(node: Node) -> None:
    file = node.create(b"f")
    node.write(file, b"a" * 10)
    node.replica.tails.put(file, 8, b"tail", time_ns=4711)
    found = node.found(b"f")
    assert (found.size, found.mtime_ns) == (12, 4711)
    assert node.replica.tree.list_names(ROOT, None, 1000)[0][1].size == 12
    assert node.read(file) == b"a" * 8 + b"tail"


def test_newer_tails_writes_and_truncations_cut_older_tails(node: Node) -> None:
    file = node.create(b"f")
    node.replica.tails.put(file, 0, b"abcdefghij", 0)
    node.replica.tails.put(file, 2, b"XY", 0)
    assert node.read(file) == b"abXYefghij"
    node.write(file, b"12", offset=5)
    assert node.read(file) == b"abXYe12hij"
    node.truncate(file, 8)
    assert node.read(file) == b"abXYe12h"
    node.pack_tails()
    assert node.read(file) == b"abXYe12h"
    assert node.replica.tails.loose() == []


def test_packing_changes_no_byte_and_survives_a_crash_before_staging(node: Node) -> None:
    one, two = node.create(b"one"), node.create(b"two")
    node.replica.tails.put(one, 0, b"first", 0)
    node.replica.tails.put(two, 3, b"second", 0)
    pack = node.blocks.seal(b"firstsecond")
    tails = node.replica.tails.loose()
    node.replica.tails.packed(
        pack,
        [(tails[0].row, 0), (tails[1].row, 5)],
        [
            Write(one, [NewExtent(0, 5, pack.id, 0)], [pack], 0),
            Write(two, [NewExtent(3, 6, pack.id, 5)], [pack], 0),
        ],
    )
    node.crash()
    assert (node.read(one), node.read(two)) == (b"first", b"\0\0\0second")
    assert node.replica.tails.packs() == {pack.id: b"firstsecond"}
    node.replica.tails.release_pack(pack.id)
    assert node.replica.tails.packs() == {}


def test_two_packs_of_the_same_bytes_are_one_however_their_tails_lie(node: Node) -> None:
    one, two = node.create(b"one"), node.create(b"two")
    pack = node.blocks.seal(b"the same bytes")
    for ino, parts in ((one, [b"the same ", b"bytes"]), (two, [b"the", b" same bytes"])):
        at = 0
        for part in parts:
            node.replica.tails.put(ino, at, part, 0)
            at += len(part)
        places = [(tail.row, tail.offset) for tail in node.replica.tails.loose()]
        write = Write(ino, [NewExtent(0, at, pack.id, 0)], [pack], 0)
        node.replica.tails.packed(pack, places, [write])
    node.crash()
    assert node.replica.tails.packs() == {pack.id: b"the same bytes"}


def test_tails_of_a_deleted_file_go_with_it(node: Node) -> None:
    for name in (b"unlinked", b"replaced", b"kept"):
        node.replica.tails.put(node.create(name), 0, b"bytes", 0)
    kept = node.found(b"kept").ino
    node.unlink(b"unlinked")
    node.create(b"new")
    node.replica.apply(Rename(ROOT, b"new", ROOT, b"replaced", node.time(), 0))
    node.unlink(b"kept", keep=True)
    assert node.read(kept) == b"bytes"
    node.replica.apply(Forget(kept))
    assert node.replica.tails.loose() == []
    assert node.names() == [b"replaced"]


def test_a_tail_counts_as_work(node: Node) -> None:
    file = node.create(b"f")
    Journal().settle(node)
    assert not node.replica.pending.has_work()
    woken: list[int] = []
    node.replica.watch(lambda: woken.append(1))
    node.replica.tails.put(file, 0, b"x", 0)
    assert node.replica.pending.has_work()
    assert woken
