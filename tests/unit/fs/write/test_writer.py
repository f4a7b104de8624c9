"""The write path over a real replica and real files: nothing acknowledged is lost or mixed up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import file_layer_fixture
import pytest
from file_layer_fixture import BLOCK, ME, PROJECT, FileLayer, file_layer

from lucidnode.fs.errors import NoAttribute, NoSpace, NotPermitted, ReadOnly
from lucidnode.fs.files.file_system import AttributeChanges
from lucidnode.fs.format.block import seal
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.tail_store import TailStore
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.staging import staged_path


def noise(size: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(size)


async def crash_and_reopen(home: Path, ino: InodeNo) -> bytes:
    """Return the file as a mount finds it that starts on what the last one left behind."""
    async with file_layer(home) as again:
        return await again.contents(ino)


async def test_what_was_written_is_read_back_before_and_after_a_flush(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        data = noise(3 * BLOCK + 12345)
        for offset in range(0, len(data), 100_000):
            await layer.files.write(handle, offset, data[offset : offset + 100_000])
        assert await layer.contents(ino) == data
        await layer.files.flush(handle)
        assert layer.files.attributes(ino).size == len(data)
        assert await layer.contents(ino) == data


@pytest.mark.parametrize("size", [1, 4096, 200_000, BLOCK, BLOCK + 1, 5 * BLOCK - 7])
async def test_what_a_flush_acknowledged_survives_a_crash(tmp_path: Path, size: int) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, noise(size))
        await layer.files.flush(handle)
        layer.daemon.uploads = False
    assert await crash_and_reopen(tmp_path, ino) == noise(size)


async def test_small_files_share_a_block_once_packed(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        inodes = []
        for number in range(20):
            ino, handle = await layer.create(b"small-%d" % number)
            await layer.files.write(handle, 0, b"content %d" % number)
            await layer.files.flush(handle)
            layer.files.release(handle)
            inodes.append(ino)
        assert not layer.daemon.asked
        layer.packer.pack()
        blocks = {layer.replica.tree.extents(ino, 0, 100)[0].block.id for ino in inodes}
        assert len(blocks) == 1
        for number, ino in enumerate(inodes):
            assert await layer.contents(ino) == b"content %d" % number


async def test_a_crash_between_packing_and_staging_seals_the_same_block_again(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path, staging_limit=0) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, b"acknowledged")
        await layer.files.flush(handle)
        layer.packer.pack()
        [before] = layer.replica.tree.extents(ino, 0, 100)
        assert await layer.contents(ino) == b"acknowledged"
    assert not list((tmp_path / "staging" / PROJECT).iterdir())
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        assert await layer.contents(ino) == b"acknowledged"
        await layer.packer.staged([before.block.id])
        assert staged_path(tmp_path / "staging", PROJECT, before.block.id).exists()
        assert layer.replica.tails.packs() == {}
        assert await layer.contents(ino) == b"acknowledged"


async def test_two_packs_of_the_same_bytes_survive_a_crash_before_either_is_staged(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path, staging_limit=0) as layer:
        inodes = []
        for name in (b"one", b"two"):
            ino, handle = await layer.create(name)
            await layer.files.write(handle, 0, b"acknowledged")
            await layer.files.flush(handle)
            layer.packer.pack()
            inodes.append(ino)
        [block] = {layer.replica.tree.extents(ino, 0, 100)[0].block.id for ino in inodes}
    assert not list((tmp_path / "staging" / PROJECT).iterdir())
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        await layer.packer.staged([block])
        assert staged_path(tmp_path / "staging", PROJECT, block).exists()
        for ino in inodes:
            assert await layer.contents(ino) == b"acknowledged"


def keys_of(*epochs: int) -> ProjectKeys:
    return ProjectKeys.of(PROJECT, {epoch: bytes([epoch]) * 32 for epoch in epochs})


async def test_a_pack_is_sealed_again_in_its_own_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody was put out between the crash and the start after it."""
    monkeypatch.setattr(file_layer_fixture, "KEYS", keys_of(1))
    async with file_layer(tmp_path, staging_limit=0) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, b"acknowledged")
        await layer.files.flush(handle)
        layer.packer.pack()
        [before] = layer.replica.tree.extents(ino, 0, 100)
    monkeypatch.setattr(file_layer_fixture, "KEYS", keys_of(1, 2))
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        await layer.packer.staged([before.block.id])
        assert staged_path(tmp_path / "staging", PROJECT, before.block.id).exists()
        assert await layer.contents(ino) == b"acknowledged"


async def test_a_pack_whose_disk_was_full_is_staged_in_the_epoch_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_layer_fixture, "KEYS", keys := keys_of(1))
    async with file_layer(tmp_path) as layer:
        name, _ = seal(keys, b"content")
        keys.learn(keys_of(1, 2))
        await layer.packer._stager.stage_durably(name, b"content", None)
        assert staged_path(tmp_path / "staging", PROJECT, name.id).exists()


async def test_a_pack_that_a_disk_has_spoiled_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected_warnings: list[str]
) -> None:
    """Nothing else may take its place: LostBlocks finds that nobody has it, and names the file."""
    expected_warnings.append("is damaged in the replica")
    async with file_layer(tmp_path, staging_limit=0) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, b"acknowledged")
        await layer.files.flush(handle)
        layer.packer.pack()
        [before] = layer.replica.tree.extents(ino, 0, 100)
    packs = TailStore.packs
    monkeypatch.setattr(
        TailStore, "packs", lambda self: {pack: made[:-1] for pack, made in packs(self).items()}
    )
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        await layer.packer.staged([before.block.id])
        assert layer.replica.tails.pack_ids() == set()
        assert not list((tmp_path / "staging" / PROJECT).iterdir())


async def test_truncate_reaches_every_layer(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        data = noise(2 * BLOCK + 5000)
        await layer.files.write(handle, 0, data)
        await layer.files.flush(handle)
        await layer.files.write(handle, len(data), b"x" * 5000)
        data += b"x" * 5000
        for size in (len(data) - 2500, BLOCK + 100, 10, 0, BLOCK):
            await layer.files.set_attributes(ino, AttributeChanges(size=size), None)
            assert layer.files.attributes(ino).size == size
            data = data[:size].ljust(size, b"\0")
            assert await layer.contents(ino) == data


async def test_a_users_time_outlives_the_flush_of_earlier_bytes(tmp_path: Path) -> None:
    """`cp -p` and `tar` set the time before they close; the bytes come down after that."""
    async with file_layer(tmp_path) as layer:
        for size in (10, BLOCK + 10):
            ino, handle = await layer.create(b"file-%d" % size)
            await layer.files.write(handle, 0, noise(size))
            before = layer.clock.wall_ns()
            await layer.files.set_attributes(ino, AttributeChanges(mtime_ns=1_000_000_007), None)
            await layer.files.flush(handle)
            layer.packer.pack()
            found = layer.files.attributes(ino)
            assert found.mtime_ns == 1_000_000_007
            assert found.ctime_ns >= before


async def test_a_write_is_newer_than_an_earlier_time(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        await layer.files.set_attributes(ino, AttributeChanges(mtime_ns=1_000_000_007), None)
        await layer.files.write(handle, 0, b"later")
        assert layer.files.attributes(ino).mtime_ns > 1_000_000_007
        await layer.files.flush(handle)
        assert layer.files.attributes(ino).mtime_ns > 1_000_000_007


UNPACKED = AttributeChanges(mode=0o640, uid=7, gid=8, atime_ns=1_000, mtime_ns=2_000)


@pytest.mark.parametrize("size", [5, BLOCK])
@pytest.mark.parametrize("relaxed", [False, True])
async def test_attributes_set_before_the_first_close_are_shown_at_once_and_kept_by_it(
    tmp_path: Path, size: int, relaxed: bool
) -> None:
    def of(layer: FileLayer) -> AttributeChanges:
        found = layer.files.lookup(ROOT, b"file")
        assert found == layer.files.attributes(found.ino)
        return AttributeChanges(
            found.mode, found.uid, found.gid, None, found.atime_ns, found.mtime_ns
        )

    async with file_layer(tmp_path, relaxed=relaxed) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, noise(size))
        for name in ("mode", "uid", "gid", "atime_ns", "mtime_ns"):
            layer.files.set_attributes_at_once(
                ino, AttributeChanges(**{name: getattr(UNPACKED, name)})
            )
        assert of(layer) == UNPACKED
        waiting = layer.replica.pending.count()
        await layer.files.flush(handle)
        assert of(layer) == UNPACKED
        assert layer.replica.pending.count() <= waiting + 2
        layer.daemon.uploads = False
    async with file_layer(tmp_path) as again:
        assert of(again) == UNPACKED
        assert await again.contents(ino) == noise(size)


async def test_what_is_set_and_done_to_a_new_file_comes_in_its_order(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, b"first")
        layer.files.set_attributes_at_once(ino, AttributeChanges(mode=0o600, mtime_ns=5))
        await layer.files.write(handle, 5, b"and more")
        assert layer.files.attributes(ino).mtime_ns > 5
        await layer.files.set_attributes(ino, AttributeChanges(size=0), handle)
        cut = layer.files.attributes(ino)
        assert (cut.mode, cut.size) == (0o600, 0)
        assert cut.mtime_ns > 5
        layer.files.set_attributes_at_once(ino, AttributeChanges(mode=0o644))
        await layer.files.flush(handle)
        assert layer.files.attributes(ino).mode == 0o644
        assert layer.files.attributes(ino).mtime_ns == cut.mtime_ns


async def test_what_was_set_waits_with_the_bytes_for_a_save_that_works(tmp_path: Path) -> None:
    async with file_layer(tmp_path, saves_by_age=False) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, b"text")
        layer.files.set_attributes_at_once(ino, UNPACKED)
        layer.replica.stop("out of order")
        with pytest.raises(ReadOnly):
            await layer.files.flush(handle)
        assert layer.files.attributes(ino).mode == 0o640
        layer.replica.go_on()
        await layer.files.flush(handle)
        assert not layer.unsaved.is_dirty(ino)
        found = layer.replica.tree.attributes(ino)
        assert found is not None
        assert (found.mode, found.mtime_ns) == (0o640, 2_000)


async def test_full_staging_is_an_error_before_the_acknowledgement(tmp_path: Path) -> None:
    async with file_layer(tmp_path, staging_limit=2 * BLOCK, saves_by_age=False) as layer:
        layer.daemon.uploads = False
        ino, handle = await layer.create()
        data = noise(6 * BLOCK)
        await layer.files.write(handle, 0, data)
        with pytest.raises(NoSpace):
            await layer.files.flush(handle)
        with pytest.raises(NoSpace):
            await layer.files.sync(handle)
        assert await layer.contents(ino) == data
        layer.daemon.uploads = True
        for path in (layer.daemon.staging_dir / PROJECT).iterdir():
            layer.daemon.upload(BlockId(bytes.fromhex(path.name)))
        await layer.files.flush(handle)
        assert await layer.contents(ino) == data


async def test_whoever_waits_for_room_hears_that_what_another_saves_has_failed(
    tmp_path: Path,
) -> None:
    """The other has the bytes in hand when the last block fails, and wakes nobody afterwards."""
    async with file_layer(
        tmp_path, staging_limit=0, max_buffered=4 * BLOCK, saves_by_age=False
    ) as layer:
        layer.daemon.uploads = False
        _, handle = await layer.create()
        for number in range(8):  # no whole block: they are packed by who saves, and no tail is left
            await layer.files.write(handle, number * BLOCK, noise(BLOCK // 2, number))
        saving = asyncio.ensure_future(layer.files.flush(handle))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        _, other = await layer.create(b"other")
        async with asyncio.timeout(10):
            with pytest.raises(NoSpace):
                await layer.files.write(other, 0, bytes(2 * BLOCK))
        with pytest.raises(NoSpace):
            await saving


async def test_writers_wait_for_uploads_instead_of_failing(tmp_path: Path) -> None:
    async with file_layer(tmp_path, staging_limit=3 * BLOCK) as layer:
        layer.daemon.uploads = False
        ino, handle = await layer.create()
        data = noise(8 * BLOCK)
        await layer.files.write(handle, 0, data)

        async def upload_slowly() -> None:
            while True:
                await asyncio.sleep(0.02)
                for path in (layer.daemon.staging_dir / PROJECT).iterdir():
                    if not path.name.startswith("."):
                        layer.daemon.upload(BlockId(bytes.fromhex(path.name)))

        async with asyncio.TaskGroup() as tasks:
            uploading = tasks.create_task(upload_slowly())
            await layer.files.flush(handle)
            uploading.cancel()
        assert await layer.contents(ino) == data


async def test_memory_stays_within_its_budget(tmp_path: Path) -> None:
    budget = 4 * BLOCK
    async with file_layer(tmp_path, max_buffered=budget) as layer:
        ino, handle = await layer.create()
        data = bytearray(20 * BLOCK)
        generator = Random(3)
        for _ in range(1500):
            offset = generator.randrange(len(data) - 4096)
            piece = generator.randbytes(4096)
            data[offset : offset + 4096] = piece
            await layer.files.write(handle, offset, piece)
            assert layer.buffer.size <= budget
        await layer.files.flush(handle)
        size = layer.files.attributes(ino).size
        assert await layer.contents(ino) == bytes(data[:size])
        assert not any(data[size:])
        layer.packer.pack()
        await drained(layer)
        assert layer.buffer.size == 0


async def drained(layer: FileLayer) -> None:
    async with asyncio.timeout(10):
        while layer.buffer.size:
            await asyncio.sleep(0.01)


async def test_a_file_without_a_name_lives_as_long_as_its_handle(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, noise(BLOCK + 10))
        layer.files.unlink(ROOT, b"file")
        await layer.files.write(handle, 5, b"still here")
        await layer.files.flush(handle)
        found = bytes(await layer.files.read(handle, 0, BLOCK * 2))
        assert found[5:15] == b"still here"
        assert len(found) == BLOCK + 10
        layer.files.release(handle)
        await drained(layer)
        assert layer.replica.tree.attributes(ino) is None
        assert layer.buffer.size == 0


async def test_a_file_replaced_by_a_rename_lives_as_long_as_its_handle(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        old, handle = await layer.create(b"project.prproj")
        await layer.files.write(handle, 0, b"old")
        await layer.files.flush(handle)
        new, other = await layer.create(b"project.tmp")
        await layer.files.write(other, 0, b"new")
        await layer.files.flush(other)
        layer.files.rename(ROOT, b"project.tmp", ROOT, b"project.prproj", 0)
        assert bytes(await layer.files.read(handle, 0, 10)) == b"old"
        layer.files.release(handle)
        assert layer.replica.tree.attributes(old) is None
        assert layer.files.lookup(ROOT, b"project.prproj").ino == new


async def test_what_was_not_flushed_follows_into_the_conflict_copy(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        winner, handle = await layer.create(b"cut.prproj")
        copy, _ = await layer.create(b"cut (conflict).prproj")
        await layer.files.write(handle, 0, b"ours")
        layer.effects.moved({winner: copy})
        await layer.files.write(handle, 4, b" too")
        await layer.files.flush(handle)
        assert await layer.contents(copy) == b"ours too"
        assert await layer.contents(winner) == b""


async def test_the_state_of_a_file_is_told(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, b"data")
        assert layer.files.xattrs.get(ino, b"user.lucid.state") == b"writing"
        assert layer.files.xattrs.get(ino, b"user.lucid.device") == b"studio-a"
        await layer.files.flush(handle)
        assert layer.files.xattrs.get(ino, b"user.lucid.state") == b"writing", "it is open still"
        layer.files.release(handle)
        assert layer.files.xattrs.get(ino, b"user.lucid.state") == b"uploading"
        layer.packer.pack()
        assert layer.files.xattrs.get(ino, b"user.lucid.state") == b"uploading"
        batch = layer.replica.pending.next_batch(None)
        assert batch is not None
        layer.replica.pending.set_in_flight(batch, b"entry")
        layer.replica.pending.mark_committed(batch.seq, bytes(32))
        assert layer.files.xattrs.get(ino, b"user.lucid.state") == b"cloud"
        with pytest.raises(NoAttribute):
            layer.files.xattrs.get(ino, b"user.lucid.device")
        assert b"user.lucid.state" not in layer.files.xattrs.names(ino)
        with pytest.raises(NotPermitted):
            layer.files.xattrs.set(ino, b"user.lucid.state", b"cloud")


async def test_random_writes_and_truncates_match_a_reference(tmp_path: Path) -> None:
    """What fsx does, on the layer itself: every step may meet data in any layer."""
    for seed in range(6):
        home = tmp_path / str(seed)
        home.mkdir()
        generator = Random(seed)
        reference = bytearray()
        async with file_layer(home, max_buffered=5 * BLOCK) as layer:
            ino, handle = await layer.create()
            for _ in range(150):
                await one_step(generator, layer, ino, handle, reference)
            assert await layer.contents(ino) == bytes(reference)
            await layer.files.flush(handle)
        assert await crash_and_reopen(home, ino) == bytes(reference)


async def one_step(
    generator: Random, layer: FileLayer, ino: InodeNo, handle: int, reference: bytearray
) -> None:
    limit = 4 * BLOCK
    match generator.choice(["write", "write", "write", "big", "truncate", "flush", "pack", "read"]):
        case "write" | "big" as kind:
            size = generator.randrange(1, 2 * BLOCK if kind == "big" else 9000)
            offset = generator.randrange(limit)
            data = generator.randbytes(size)
            if len(reference) < offset + size:
                reference.extend(bytes(offset + size - len(reference)))
            reference[offset : offset + size] = data
            await layer.files.write(handle, offset, data)
        case "truncate":
            size = generator.randrange(limit)
            del reference[size:]
            reference.extend(bytes(size - len(reference)))
            await layer.files.set_attributes(ino, AttributeChanges(size=size), None)
        case "flush":
            await layer.files.flush(handle)
        case "pack":
            layer.packer.pack()
            if generator.random() < 0.3:
                layer.daemon.evict()
        case _:
            offset = generator.randrange(limit)
            length = generator.randrange(BLOCK)
            found = await layer.files.read(handle, offset, length)
            assert bytes(found) == bytes(reference[offset : offset + length])
    assert layer.files.attributes(ino).size == len(reference)


async def test_new_files_in_a_group_directory_belong_to_the_group(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        shared = layer.files.make(ROOT, b"shared", 0o042770, ME._replace(gid=77))
        below = layer.files.make(shared.ino, b"below", 0o040755, ME)
        file = layer.files.make(shared.ino, b"file", 0o100644, ME)
        assert (below.gid, file.gid) == (77, 77)
        assert below.mode & 0o2000
        assert not file.mode & 0o2000


async def test_a_full_disk_when_a_pack_is_staged_delays_it_and_is_an_alert_until_it_is_over(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += ["Changes cannot be committed now: the disk is full."]

    class Full:
        """The tails of a replica whose disk is full for the first two packs that are released."""

        def __init__(self, tails: TailStore) -> None:
            self._tails = tails
            self.refusals = 2

        def __getattr__(self, name: str) -> object:
            return getattr(self._tails, name)

        def release_pack(self, pack: BlockId) -> None:
            if self.refusals:
                self.refusals -= 1
                raise NoSpace("the disk is full")
            self._tails.release_pack(pack)

    async with file_layer(tmp_path) as layer:
        _, handle = await layer.create()
        await layer.files.write(handle, 0, b"small")
        await layer.files.flush(handle)
        layer.replica.tails = Full(layer.replica.tails)  # type: ignore[assignment]  # behaves like them
        layer.packer.pack()
        [block] = layer.replica.tails.packs()
        async with asyncio.timeout(10):
            while not layer.alerts.is_on("packs"):
                await asyncio.sleep(0)
            await layer.packer.staged([block])
        assert layer.replica.tails.packs() == {}
        assert not layer.alerts.is_on("packs")
        assert layer.alerts.current() == []


async def test_a_write_that_waited_for_room_goes_where_a_conflict_has_moved_its_handle(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path, max_buffered=2 * BLOCK) as layer:
        _, other = await layer.create(b"other")
        theirs, handle = await layer.create(b"file")
        ours = layer.files.make(ROOT, b"file (conflict)", 0o100644, ME).ino
        await layer.files.write(other, 0, bytes(2 * BLOCK))
        writing = asyncio.ensure_future(layer.files.write(handle, 0, b"ours"))
        await asyncio.sleep(0)
        assert not writing.done()
        layer.effects.moved({theirs: ours})
        await writing
        assert await layer.contents(ours) == b"ours"
        assert await layer.contents(theirs) == b""
