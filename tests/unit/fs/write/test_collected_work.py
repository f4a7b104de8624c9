"""Nothing new lies in blocks that are condemned, and what waits in them is sealed anew."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest
from committer_fixture import Bucket, Daemon
from file_layer_fixture import BLOCK, KEYS, PROJECT, Commits, FileLayer, file_layer
from lab.soak_files import VirtualClock
from lab.virtual_loop import run_virtual
from replica_fixture import KEY

from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.format.block import seal
from lucidnode.fs.format.project_facts import (
    STANDS_LONGER_NS,
    Condemned,
    encoded_fact,
    list_name,
    listed,
)
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import Fact
from lucidnode.fs.replica.named_blocks import touched_blocks
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.ids import BlockId, Seq
from lucidnode.node.client.journal import EntryHeader
from lucidnode.node.client.wire import CommitRequest

CONTENT = bytes(range(256)) * (BLOCK // 256)
OWN = seal(KEYS, CONTENT)[0].id
SMALL = b"a few bytes"
OWN_SMALL = seal(KEYS, SMALL)[0].id


def fact(blocks: Iterable[BlockId], *, wall_ns: int = 1, final_ns: int = 0) -> Fact:
    """Return what lists *blocks*."""
    return Fact(list_name(Seq(0), 0), encoded_fact(Condemned(0, wall_ns, final_ns, listed(blocks))))


class Mount:
    """A file layer that commits, and somebody else who can be first in the journal."""

    def __init__(self, layer: FileLayer, door: Daemon, other: Daemon) -> None:
        self.layer = layer
        self.door = door
        self._other = other

    def somebody_says(self, home: Path, said: Fact) -> None:
        """Make the first entry of the journal, which says so."""
        codec = EntryCodec(
            lambda: KEYS, self._other.device, lambda _device, _epoch: None, os.urandom
        )
        with contextlib.closing(Replica.open(home / "other.db", KEY, "other")) as replica:
            replica.apply(said)
            batch = replica.pending.next_batch(None)
            assert batch is not None
        assert not self.door.bucket.entries
        self.door.bucket.entries[1] = self._other.signed(CommitRequest(codec.seal(batch, 1), []))

    def hold_up(self) -> None:
        """Have its first entry be under way until the slot is somebody else's."""
        self.door.faults = ["hang"]

    async def saved(self, name: bytes, data: bytes) -> InodeNo:
        ino, handle = await self.layer.create(name)
        await self.layer.files.write(handle, 0, data)
        await self.layer.files.sync(handle)
        self.layer.files.release(handle)
        return ino

    async def committed(self, ino: InodeNo) -> None:
        assert self.layer.committer is not None
        await self.layer.committer.until_committed(ino)

    def blocks_of(self, ino: InodeNo) -> set[BlockId]:
        return {extent.block.id for extent in self.layer.replica.tree.extents(ino, 0, 1 << 40)}

    def named(self) -> set[BlockId]:
        """Return what the entries of this mount name."""
        keys = {each.device: each.public for each in (self.door, self._other)}
        codec = EntryCodec(
            lambda: KEYS, self.door.device, lambda device, _epoch: keys.get(device), os.urandom
        )
        found: set[BlockId] = set()
        for seq, body in sorted(self.door.bucket.entries.items()):
            header = EntryHeader.parse(body)
            if header.device == self.door.device:
                found |= touched_blocks(codec.open(body, Seq(seq), header.previous).changeset)
        return found


def mounted(home: Path, work: Callable[[Mount], Awaitable[None]]) -> None:
    """Do *work* on a mount that commits, on virtual time."""

    async def run() -> None:
        bucket = Bucket()
        door, other = (Daemon(bucket, name * 32, PROJECT) for name in (b"a", b"b"))
        keys = {each.device: each.public for each in (door, other)}
        commits = Commits(door, door.device, keys.get, lambda _: None)
        async with file_layer(home, clock=VirtualClock(), commits=commits) as layer:
            await work(Mount(layer, door, other))

    run_virtual(run, 1)


@pytest.mark.parametrize(
    ("content", "own"), [(CONTENT, OWN), (SMALL, OWN_SMALL)], ids=["block", "pack"]
)
@pytest.mark.parametrize("final_ns", [0, 5])
def test_what_is_saved_again_gets_another_block_than_the_one_that_is_listed(
    tmp_path: Path, content: bytes, own: BlockId, final_ns: int
) -> None:
    async def work(mount: Mount) -> None:
        now_ns = mount.layer.clock.wall_ns()
        mount.somebody_says(tmp_path, fact([own], wall_ns=now_ns, final_ns=final_ns))
        await asyncio.sleep(30)
        ino = await mount.saved(b"again", content)
        await mount.committed(ino)
        assert own not in mount.named()
        assert own not in mount.blocks_of(ino)
        mount.layer.daemon.evict()
        assert await mount.layer.contents(ino) == content

    mounted(tmp_path, work)


def test_work_that_waits_in_a_block_that_is_final_is_sealed_anew_and_committed(
    tmp_path: Path,
) -> None:
    async def work(mount: Mount) -> None:
        ino = await mount.saved(b"away", CONTENT)
        twice = await mount.saved(b"twice", CONTENT)
        small = await mount.saved(b"small", SMALL)
        assert mount.blocks_of(ino) == {OWN}
        mount.somebody_says(tmp_path, fact([OWN, OWN_SMALL], final_ns=5))
        for each in (ino, twice, small):
            await mount.committed(each)
        assert not {OWN, OWN_SMALL} & mount.named()
        assert mount.blocks_of(ino) == mount.blocks_of(twice)
        for path in mount.layer.daemon.bucket.iterdir():
            if path.name in {OWN.hex(), OWN_SMALL.hex()}:
                path.unlink()
        mount.layer.daemon.evict()
        assert await mount.layer.contents(ino) == CONTENT
        assert await mount.layer.contents(twice) == CONTENT
        assert await mount.layer.contents(small) == SMALL

    mounted(tmp_path, work)


def test_work_whose_block_is_final_and_gone_is_not_committed_and_people_are_told(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += ["cannot be committed now"]

    async def work(mount: Mount) -> None:
        mount.hold_up()
        await mount.saved(b"away", CONTENT)
        await asyncio.sleep(30)
        (mount.layer.daemon.bucket / OWN.hex()).unlink()
        mount.somebody_says(tmp_path, fact([OWN], final_ns=5))
        await asyncio.sleep(120)
        assert OWN not in mount.named()
        assert mount.layer.replica.pending.has_work(), "it is kept"
        assert mount.layer.alerts.current()

    mounted(tmp_path, work)


def test_work_that_is_held_up_in_a_block_on_an_old_list_is_sealed_anew_before_it_is_final(
    tmp_path: Path,
) -> None:
    async def work(mount: Mount) -> None:
        layer = mount.layer
        layer.daemon.uploads = False
        ino = await mount.saved(
            b"held", CONTENT + b"and the rest, which stays on its way" * (BLOCK // 16)
        )
        layer.daemon.upload(OWN)
        now_ns = layer.clock.wall_ns()
        mount.somebody_says(tmp_path, fact([OWN], wall_ns=now_ns - STANDS_LONGER_NS + 10**12))
        await asyncio.sleep(200)
        assert OWN in mount.blocks_of(ino), "the list is young"
        await asyncio.sleep(1200)
        assert OWN not in mount.blocks_of(ino)
        assert OWN not in mount.named()

    mounted(tmp_path, work)


def test_what_is_listed_is_known_as_the_entries_say_it(tmp_path: Path) -> None:
    with contextlib.closing(Replica.open(tmp_path / "a.db", KEY, "a")) as replica:
        known = replica.collected
        assert not known.is_listed(OWN)
        replica.apply(fact([OWN], wall_ns=1))
        assert known.is_listed(OWN)
        assert not known.is_listed(OWN_SMALL)
        assert not known.is_final(OWN)
        assert not known.is_aged(OWN, STANDS_LONGER_NS)
        assert known.is_aged(OWN, STANDS_LONGER_NS + 1)
        replica.apply(fact([OWN], final_ns=7))
        assert known.is_final(OWN)
        assert known.is_aged(OWN, 0)
        replica.apply(Fact(list_name(Seq(0), 0), None))
        assert not known.is_listed(OWN)
