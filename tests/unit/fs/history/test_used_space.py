"""How much is where and whose is known from a replica alone, also beside the mount that has it open."""

from __future__ import annotations

import asyncio
from pathlib import Path

from committer_fixture import Desk
from past_fixture import KEY, Chronicle
from replica_fixture import Blocks, Node

from lucidnode.fs.history.used_space import Usage, usage_of, writer_by_version
from lucidnode.fs.replica.id_allocator import tag_of, writer_tag
from lucidnode.fs.replica.inode import ROOT, Version
from lucidnode.fs.replica.intents import Link, Rename
from lucidnode.fs.replica.used_files import used_beside
from lucidnode.node.client.ids import DeviceId, Seq


def beside(node: Node, *devices: DeviceId, path: tuple[bytes, ...] = ()) -> Usage:
    with used_beside(node.path, KEY) as files:
        usage = usage_of(files, path, writer_by_version(devices))
    assert usage is not None
    return usage


async def caught_up(desk: Desk, chronicle: Chronicle) -> None:
    """Have *desk* commit what it did, and take in what others did."""
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(desk.committer.run())
        await chronicle.clock.until(
            lambda: desk.caught_up() and desk.node.replica.pending.head().seq >= chronicle.head
        )
        loop.cancel()


def bytes_of(usage: Usage) -> dict[DeviceId | None, int]:
    return {device: used.size for device, used in usage.writers.items()}


async def test_what_is_in_a_directory_is_counted_once_and_by_who_wrote_it_last(
    tmp_path: Path,
) -> None:
    chronicle = Chronicle(tmp_path)
    node, mine = chronicle.node, chronicle.desk.daemon.device
    directory = node.mkdir(b"d")
    inner = node.mkdir(b"inner", directory)
    ino = node.create(b"f", inner)
    node.write(ino, b"12345678")
    node.replica.apply(Link(ino, directory, b"g", node.time()))
    node.write(node.create(b"small"), b"1")
    node.create(b"empty")
    await chronicle.commit()
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        for usage in (
            usage_of(past.used(), (), writer_by_version([mine])),
            usage_of(past.used(), (), lambda file: past.log.writer(file.ino)),
            beside(node, mine),
        ):
            assert usage is not None
            assert {name: (used.size, used.files) for name, used in usage.parts.items()} == {
                b"d": (8, 1), b"small": (1, 1), b"empty": (0, 1),
            }  # fmt: skip
            assert (usage.total.size, usage.total.files) == (9, 3)
            assert bytes_of(usage) == {mine: 9}
        assert past.log.touched(Seq(0), Seq(0)) == []
        assert usage_of(past.used(), (b"nowhere",), writer_by_version([])) is None
    assert beside(node, mine, path=(b"d", b"g")).total.size == 8


async def test_the_workstation_that_gave_the_content_is_told_whoever_renamed_it(
    tmp_path: Path,
) -> None:
    chronicle = Chronicle(tmp_path)
    node, other = chronicle.node, chronicle.another()
    ino = node.create(b"ours")
    node.write(ino, b"123")
    node.write(node.create(b"theirs"), b"12345")
    await chronicle.commit()
    mine, theirs = chronicle.desk.daemon.device, other.daemon.device
    await caught_up(other, chronicle)
    other.node.write(other.node.found(b"theirs").ino, b"1234567")
    other.node.replica.apply(Rename(ROOT, b"ours", ROOT, b"renamed", other.node.time()))
    await caught_up(other, chronicle)
    assert bytes_of(beside(other.node, mine, theirs)) == {mine: 3, theirs: 7}
    assert bytes_of(beside(other.node, mine)) == {mine: 3, None: 7}


def test_what_waits_in_the_mount_is_counted_and_nothing_of_it_is_disturbed(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db", "a", Blocks())
    node.write(node.create(b"one"), b"1")
    files = {path: path.stat().st_ino for path in node.replica.files}
    with used_beside(node.path, KEY) as found:
        node.write(node.create(b"two"), b"22")
        usage = usage_of(found, (), writer_by_version([]))
    assert usage is not None
    assert usage.total.size == 3
    assert {path: path.stat().st_ino for path in node.replica.files} == files
    node.write(node.found(b"one").ino, b"333")
    node.close()


def test_a_version_says_who_made_it_and_that_of_nothing_says_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db", "a", Blocks())
    device = DeviceId(b"a...............".hex())
    node.write(node.create(b"one"), b"1")
    version = node.found(b"one").version
    assert 0 < version < 2**62
    assert tag_of(version) == tag_of(Version(-version)) == writer_tag(device)
    node.create(b"empty")
    assert tag_of(node.found(b"empty").version) is None
    assert node.replica.tree.attributes(ROOT) is not None
    node.close()


def test_of_two_devices_with_one_tag_none_is_blamed(tmp_path: Path) -> None:
    node = Node(tmp_path / "a.db", "a", Blocks())
    node.write(node.create(b"one"), b"1")
    device = DeviceId(b"a...............".hex())
    twin = DeviceId(device[:-1] + "f")
    assert bytes_of(beside(node, device)) == {device: 1}
    assert bytes_of(beside(node, device, twin)) == {None: 1}
    node.close()
