"""Every entry is a point in time: the tree as it was then can be had again."""

from __future__ import annotations

import contextlib
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure can be repeated

import pytest
from past_fixture import KEY, Chronicle, seen
from user_fixture import do_something

from lucidnode.fs.errors import ReplicaBusy
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import NewExtent, Rmdir, Write
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.ids import Seq


@pytest.mark.parametrize("seed", range(3))
async def test_the_tree_at_every_entry_is_what_it_was_then(tmp_path: Path, seed: int) -> None:
    chronicle = Chronicle(tmp_path)
    random = Random(seed)
    for _ in range(12):
        for _ in range(random.randrange(1, 5)):
            do_something(chronicle.node, random)
        await chronicle.commit()
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        order = list(chronicle.states)
        random.shuffle(order)
        for seq in order:
            with past.at(seq) as tree:
                assert seen(tree) == chronicle.states[seq], seq
        assert seen(past.now) == chronicle.states[chronicle.head]


async def test_what_was_read_is_not_asked_for_again(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    for name in (b"a", b"b", b"c"):
        chronicle.node.create(name)
        await chronicle.commit()
    with chronicle.opened() as past:
        assert await chronicle.read_on(past) >= 3
    chronicle.node.create(b"d")
    await chronicle.commit()
    with chronicle.opened() as past:
        # The new one, what is behind it, and the head.
        assert await chronicle.read_on(past) <= 3
        assert past.head().seq == chronicle.head == 4


async def test_a_content_that_comes_in_parts_is_shown_whole_or_not_at_all(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    ino = node.create(b"film")
    node.write(ino, b"the first cut")
    before = await chronicle.commit()
    blocks = [node.blocks.seal(b"%d" % number) for number in range(1200)]
    extents = [NewExtent(at * 8, 1, block.id, 0) for at, block in enumerate(blocks)]
    node.replica.apply(Write(ino, extents, blocks, node.time()))
    new = node.create(b"new film")
    node.replica.apply(Write(new, extents, blocks, node.time()))
    after = await chronicle.commit()
    assert after - before > 2, "it took several entries"
    shown = []
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        for number in range(before, after + 1):
            with past.at(Seq(number)) as tree:
                found = seen(tree)
                shown.append((found[b"/film"][3], found.get(b"/new film", (0,) * 4)[3]))
                if number < after and shown[-1][0] == 13:
                    assert found[b"/film"][9] == chronicle.states[before][b"/film"][9]
        assert seen(past.now) == chronicle.states[after]
    assert {size for size, _ in shown} == {13, 1199 * 8 + 1}
    assert {size for _, size in shown} == {0, 1199 * 8 + 1}


async def test_what_was_noted_and_not_applied_is_read_again(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    for name in (b"a", b"b"):
        chronicle.node.create(name)
        await chronicle.commit()
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        # As a crash between the two leaves it.
        facts = past.log.entry(Seq(2))._replace(seq=Seq(3))
        past._note(facts, bytes(32), past.log.changeset(Seq(2)))
    chronicle.node.create(b"c")
    await chronicle.commit()
    with chronicle.opened() as past:
        assert past.log.newest() == 2
        await chronicle.read_on(past)
        assert seen(past.now) == chronicle.states[Seq(3)]
        with past.at(Seq(1)) as tree:
            assert seen(tree) == chronicle.states[Seq(1)]


async def test_what_counts_as_empty_is_an_entry_that_did_nothing(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("what lies in the place of journal entry 2 is none")
    chronicle = Chronicle(tmp_path)
    chronicle.node.create(b"a")
    await chronicle.commit()
    chronicle.bucket.entries[2] = chronicle.bucket.entries[1]
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        assert past.head().seq == 2
        assert past.log.changeset(Seq(2)) == b""
        assert past.log.entry(Seq(2)).wall_ns == past.log.entry(Seq(1)).wall_ns
        for seq in (Seq(1), Seq(2)):
            with past.at(seq) as tree:
                assert seen(tree) == chronicle.states[Seq(1)]


async def test_one_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    chronicle.node.create(b"a")
    await chronicle.commit()
    with chronicle.opened() as past:
        await chronicle.read_on(past)
    (tmp_path / "home" / "history" / "past.db").write_bytes(b"spoiled " * 1000)
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        assert seen(past.now) == chronicle.states[Seq(1)]
        with pytest.raises(ReplicaBusy, match="another command"), chronicle.opened():
            pass


async def test_a_copy_to_write_on_leaves_the_past_alone(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    chronicle.node.create(b"a")
    directory = chronicle.node.mkdir(b"d")
    await chronicle.commit()
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        with past.writable_copy(chronicle.access.device) as copy:
            assert seen(copy.tree) == chronicle.states[Seq(1)]
            copy.apply(Rmdir(ROOT, b"d", 5))
            assert copy.tree.attributes(InodeNo(directory)) is None
        assert seen(past.now) == chronicle.states[Seq(1)]
        assert [p.name for p in (tmp_path / "home" / "history").glob("writer*")] == []


async def test_a_replica_for_a_mount_stands_on_its_entry_and_goes_when_it_is_no_longer_used(
    tmp_path: Path,
) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    ino = node.create(b"film")
    node.write(ino, b"the first cut")
    first = await chronicle.commit()
    blocks = [node.blocks.seal(b"%d" % number) for number in range(1200)]
    extents = [NewExtent(at * 8, 1, block.id, 0) for at, block in enumerate(blocks)]
    node.replica.apply(Write(ino, extents, blocks, node.time()))
    last = await chronicle.commit()
    assert last - first > 1
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        for seq in (Seq(0), first, Seq(first + 1), last):
            path = past.copy_at(seq)
            assert path.stat().st_mode & 0o777 == 0o600
            with contextlib.closing(Replica.open(path, KEY, "a")) as replica:
                assert replica.pending.head().seq == seq
                # A part of the next content: it is shown as it was before.
                whole = first if seq == first + 1 else seq
                assert seen(replica.tree) == chronicle.states[whole]
                other = past.copy_at(first)
                assert path.exists(), "it is in use"
                assert other.exists()
        past.copy_at(Seq(0))
        left = list((tmp_path / "home" / "history").glob("at-*.db"))
    assert len(left) == 1
    assert seen(node.replica.tree) == chronicle.states[last]


async def test_who_committed_on_which_day_is_told_and_what_is_no_entry_is_nobodys(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("what lies in the place of journal entry 2 is none")
    chronicle = Chronicle(tmp_path)
    chronicle.node.create(b"a")
    await chronicle.commit()
    chronicle.bucket.entries[2] = chronicle.bucket.entries[1]
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        ((device, first_ns, last_ns, entries),) = past.log.work_days()
        made = past.log.entry(Seq(1))
        assert (device, first_ns, last_ns, entries) == (made.device, made.wall_ns, made.wall_ns, 1)
        midnight_ns = 30_000 * 86_400 * 10**9  # in 2052
        for wall_ns in (midnight_ns - 1, midnight_ns, midnight_ns + 1):
            newest = past.log.newest()
            past.log.note(made._replace(seq=Seq(newest + 1), wall_ns=wall_ns), bytes(32), b"")
        assert [day.entries for day in past.log.work_days()] == [1, 1, 2]
