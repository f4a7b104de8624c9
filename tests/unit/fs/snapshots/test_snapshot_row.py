"""A snapshot is a name for an entry, and nothing that a member writes there is more than that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from past_fixture import Chronicle
from replica_fixture import Node

from lucidnode.fs.errors import Invalid
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import XATTR_CREATE, SetXattr
from lucidnode.fs.snapshots.snapshot_row import (
    NamedRow,
    SnapshotRow,
    attribute,
    attribute_of,
    decoded_snapshot,
    snapshots_of,
)
from lucidnode.node.client.ids import Seq


def named(node: Node, name: str, seq: int) -> SnapshotRow:
    row = SnapshotRow(seq=Seq(seq), wall_ns=node.time())
    node.replica.apply(SetXattr(ROOT, attribute(name), row.encoded(), row.wall_ns, XATTR_CREATE))
    return row


@given(st.binary(max_size=220), st.binary(max_size=60))
def test_whatever_is_written_there_is_a_snapshot_or_nothing(name: bytes, value: bytes) -> None:
    found = decoded_snapshot(b"user.lucid.snapshot." + name, value)
    assert found is None or (attribute_of(found), found.row.encoded()) == (
        b"user.lucid.snapshot." + name,
        value,
    )


@given(st.text(max_size=100))
def test_every_name_that_can_be_typed_is_read_back(name: str) -> None:
    try:
        key = attribute(name)
    except Invalid:
        return
    row = SnapshotRow(seq=Seq(7), wall_ns=1)
    found = decoded_snapshot(key, row.encoded())
    assert found is not None
    assert attribute_of(found) == key


def test_a_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(Invalid):
        attribute("a" * 201)


async def test_points_that_are_kept_are_those_that_have_names_whatever_else_is_there(
    tmp_path: Path,
) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    await chronicle.commit()
    late, early = named(node, "late", 9), named(node, "early", 4)
    named(node, "also late", 9)
    node.replica.apply(SetXattr(ROOT, b"user.lucid.snapshot.bad", b"x", node.time()))
    node.set_xattr(ROOT, b"user.colour", b"red")
    assert [(each.name, each.row.seq) for each in snapshots_of(node.replica.tree)] == [
        ("early", 4), ("also late", 9), ("late", 9),
    ]  # fmt: skip
    assert NamedRow("late", late) in snapshots_of(node.replica.tree)
    assert NamedRow("early", early) in snapshots_of(node.replica.tree)
    assert node.replica.tree.xattr_names(ROOT) == [b"user.colour"], "no program is shown them"


async def test_of_two_who_give_one_name_at_once_the_first_has_it(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    other = chronicle.another()
    await chronicle.commit()
    rows = [named(chronicle.node, "cut", 1), named(other.node, "cut", 2)]
    async with asyncio.TaskGroup() as group:
        loops = [group.create_task(desk.committer.run()) for desk in (chronicle.desk, other)]

        def settled() -> bool:
            heads = {desk.node.replica.pending.head() for desk in (chronicle.desk, other)}
            return chronicle.desk.caught_up() and other.caught_up() and len(heads) == 1

        await chronicle.clock.until(settled)
        for loop in loops:
            loop.cancel()
    ours, theirs = (snapshots_of(desk.node.replica.tree) for desk in (chronicle.desk, other))
    assert ours == theirs
    assert [each.row for each in ours] in ([rows[0]], [rows[1]])
