"""What differs between two states is told once for each path, and nothing else is."""

from __future__ import annotations

from pathlib import Path

from past_fixture import Chronicle

from lucidnode.fs.history.differences import differences
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import Rename, Rmdir, SetAttributes
from lucidnode.node.client.ids import Seq


async def test_every_kind_of_change_both_ways(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    old = node.mkdir(b"old name")
    for name in (b"changed", b"moded", b"gone", b"saved", b"moved", b"same"):
        node.write(node.create(name, old), b"1234")
    first = await chronicle.commit()
    node.write(node.found(b"changed", old).ino, b"123456")
    node.replica.apply(SetAttributes(node.found(b"moded", old).ino, node.time(), mode=0o600))
    node.unlink(b"gone", old)
    node.write(node.create(b"saved~"), b"12")
    node.replica.apply(Rename(ROOT, b"saved~", old, b"saved", node.time()))
    node.replica.apply(Rename(old, b"moved", ROOT, b"moved away", node.time()))
    node.replica.apply(Rename(ROOT, b"old name", ROOT, b"new name", node.time()))
    node.write(node.create(b"added"), b"1")
    node.create(b"came and went")
    await chronicle.commit()
    node.unlink(b"came and went")
    last = await chronicle.commit()
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        forth, back = differences(past, first, last), differences(past, last, first)
        assert differences(past, last, last) == []
    assert [(e.change, b"/".join(e.path), e.old_size, e.size) for e in forth] == [
        ("added", b"added", None, 1),
        ("renamed", b"moved away", 4, 4),
        ("renamed", b"new name", None, None),
        ("changed", b"new name/changed", 4, 6),
        ("attributes", b"new name/moded", 4, 4),
        ("changed", b"new name/saved", 4, 2),
        ("deleted", b"old name/gone", 4, None),
    ]  # fmt: skip
    assert [(e.change, b"/".join(e.path)) for e in back] == [
        ("deleted", b"added"),
        ("renamed", b"old name"),
        ("changed", b"old name/changed"),
        ("added", b"old name/gone"),
        ("attributes", b"old name/moded"),
        ("renamed", b"old name/moved"),
        ("changed", b"old name/saved"),
    ]


async def test_what_went_and_came_back_is_no_difference(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    for _ in range(2):
        directory = node.mkdir(b"d")
        node.write(node.create(b"f", directory), b"1234")
        node.write(node.create(b"g", directory), b"12%d" % node.now)
        await chronicle.commit()
        for name in (b"f", b"g") if chronicle.head < 2 else ():
            node.unlink(name, directory)
        if chronicle.head < 2:
            node.replica.apply(Rmdir(ROOT, b"d", node.time()))
            await chronicle.commit()
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        found = differences(past, Seq(1), chronicle.head)
    assert [(each.change, each.path) for each in found] == [("changed", (b"d", b"g"))]
