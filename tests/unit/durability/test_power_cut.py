"""Each acknowledgement, and what is there after a power cut that follows it at once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest
from committer_fixture import Bucket, Desk, VirtualClock
from disk_fixture import FastClock, Told, make_block
from disk_record import Sync
from file_layer_fixture import BLOCK, ME, PROJECT, FileLayer, file_layer
from journal_fixture import PROJECT as JOURNAL
from journal_fixture import NoCache, Shelf, unsigned
from journal_fixture import Node as Journal
from recording_disk import (
    RecordingDisk,
    everything,
    laid_down,
    names_only,
    outcomes,
    some,
)
from replica_fixture import KEY, Blocks, Node, rows_of

from lucidnode import node_key
from lucidnode.fs.files.range_changes import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.replica.changes import Head
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.sqlite.barrier import Barrier
from lucidnode.node import sealed_file
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.bucket.address import DirectoryAddress
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.directory import DirectoryBucket, prepare_directory
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.cache.staging import Staging
from lucidnode.node.cache.verified import block_id
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.durable import make_directory, write_durably
from lucidnode.node.client.errors import DiskFull
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.staging import (
    DURABLE,
    is_promised,
    make_durable,
    stage,
    stage_soon,
    staged_path,
)
from lucidnode.node.config import (
    BUCKET_FILE,
    NodeConfig,
    lan_key_of,
    load_config,
    load_credentials,
    save_config,
    save_credentials,
)
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.journal.kept_entries import KeptEntries
from lucidnode.node.secret_file import kept_secret


def remains(disk: RecordingDisk, at: str, by_chance: int = 4) -> Iterator[Path]:
    """Yield directories with what a power cut at the mark *at* may leave of *disk*."""
    for tree in outcomes(disk.up_to(at), at, by_chance):
        with laid_down(tree) as left:
            yield left


def noise(size: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(size)


# -- single files ----------------------------------------------------------------------------------


def test_a_durable_file_is_there_with_the_directories_made_for_it(disk: RecordingDisk) -> None:
    write_durably(disk.path / "a/b/c/file", b"first" * 500)
    disk.mark("first")
    write_durably(disk.path / "a/b/c/file", b"second" * 500)
    disk.mark("second")
    for content in (b"first", b"second"):
        for left in remains(disk, content.decode()):
            assert (left / "a/b/c/file").read_bytes() == content * 500


def test_a_durable_file_is_replaced_whole_or_not_at_all_whenever_the_power_is_cut(
    disk: RecordingDisk,
) -> None:
    old, new = b"old" * 1000, b"new" * 2000
    write_durably(disk.path / "file", old)
    disk.mark("old")
    write_durably(disk.path / "file", new)
    disk.mark("new")
    for number, moment in enumerate(disk.every_moment("old", "new")):
        for tree in outcomes(moment, number):
            with laid_down(tree) as left:
                assert (left / "file").read_bytes() in {old, new}


def test_the_files_of_a_workstation_are_there_once_they_were_made(disk: RecordingDisk) -> None:
    home = disk.path / "home"
    identity = DeviceIdentity.create(home / "device.pem")
    disk.mark("identity")
    secret = kept_secret(home / "token")
    disk.mark("secret")
    credentials = Credentials("id", "key")
    save_credentials(home, credentials)
    disk.mark("credentials")
    for left in remains(disk, "identity"):
        assert DeviceIdentity.load(left / "home/device.pem").id == identity.id
    for left in remains(disk, "secret"):
        assert kept_secret(left / "home/token") == secret
    for left in remains(disk, "credentials"):
        assert load_credentials(left / "home") == credentials
        assert (left / "home" / BUCKET_FILE).stat().st_mode & 0o077 == 0


def test_a_home_whose_secrets_are_sealed_loses_none_whenever_the_power_is_cut(
    disk: RecordingDisk,
) -> None:
    """Nor whenever the command is killed: then the disk has all that it wrote."""
    home, keys = disk.path / "home", MemberKeys.new()
    identity = DeviceIdentity.create(home / "device.pem")
    save_credentials(home, Credentials("id", "key"))
    secret = kept_secret(home / "webhook.secret")
    save_config(home, NodeConfig("aa", "bb", (b"l" * 32).hex(), "file:///b"))
    disk.mark("in clear")
    node_key.hold_kept(home, keys)
    node_key.seal_all(home)
    disk.mark("sealed")
    for number, moment in enumerate(disk.every_moment("in clear", "sealed")):
        for tree in outcomes(moment, number, 1):
            with laid_down(tree) as left:
                again = left / "home"
                node_key.hold_kept(again, keys)
                node_key.seal_all(again)
                assert node_key.is_all_sealed(again)
                assert DeviceIdentity.load(again / "device.pem").id == identity.id
                assert load_credentials(again) == Credentials("id", "key")
                assert kept_secret(again / "webhook.secret", sealed_file.read) == secret
                assert lan_key_of(again, load_config(again)) == b"l" * 32
                names = {path.name for path in again.iterdir()}
                assert not [name for name in names if name.startswith((".device", ".bucket"))]


async def test_an_object_in_a_directory_is_there_once_it_was_put(disk: RecordingDisk) -> None:
    address = DirectoryAddress(disk.path / "bucket")
    await prepare_directory(address, create=True)
    disk.mark("made")
    bucket = DirectoryBucket(address)
    await bucket.put("p/0123/block/1", b"block" * 500)
    disk.mark("put")
    await bucket.create("p/0123/journal/1", b"entry" * 500)
    disk.mark("created")
    for left in remains(disk, "made"):
        await prepare_directory(DirectoryAddress(left / "bucket"), create=False)
    for at, key, content in (
        ("put", "p/0123/block/1", b"block"),
        ("created", "p/0123/journal/1", b"entry"),
    ):
        for left in remains(disk, at):
            after = DirectoryBucket(DirectoryAddress(left / "bucket"))
            assert await after.get(key) == content * 500


# -- staging ---------------------------------------------------------------------------------------


def promised(left: Path, block: BlockId) -> bytes:
    """Return the staged block, which must be there, and say that it can be relied on."""
    path = staged_path(left / "cache/staging", PROJECT, block)
    assert is_promised(path)
    return path.read_bytes()


def test_what_is_staged_in_a_directory_that_a_killed_mount_made_is_there(
    disk: RecordingDisk,
) -> None:
    staging = disk.path / "cache/staging"
    make_directory(staging)
    (staging / PROJECT).mkdir()  # and killed before it was synced
    block, ciphertext = make_block(5000)
    stage(staging, PROJECT, block, ciphertext)
    disk.mark("staged")
    for left in remains(disk, "staged"):
        assert promised(left, block) == ciphertext


def test_a_staged_block_is_there_once_it_is_durable(disk: RecordingDisk) -> None:
    staging = disk.path / "cache/staging"
    make_directory(staging)
    blocks = [make_block(10_000 + number) for number in range(3)]
    for block, ciphertext in blocks:
        stage_soon(staging, PROJECT, block, ciphertext)
    make_durable(staging, PROJECT, [block for block, _ in blocks])
    disk.mark("durable")
    pack, packed = make_block(5000)
    stage(staging, PROJECT, pack, packed)
    disk.mark("staged")
    late, ciphertext = make_block(7000)
    stage_soon(staging, PROJECT, late, ciphertext)
    make_durable(staging, PROJECT, [late, pack])
    disk.mark("late")
    for left in remains(disk, "durable"):
        assert [promised(left, block) for block, _ in blocks] == [text for _, text in blocks]
    for left in remains(disk, "staged"):
        assert promised(left, pack) == packed
    for left in remains(disk, "late"):
        assert promised(left, late) == ciphertext


def test_a_block_that_says_it_is_promised_is_whole_whenever_the_power_is_cut(
    disk: RecordingDisk,
) -> None:
    staging = disk.path / "cache/staging"
    make_directory(staging)
    disk.mark("start")
    blocks = [make_block(3000) for _ in range(3)]
    stage(staging, PROJECT, *blocks[0])
    for block, ciphertext in blocks[1:]:
        stage_soon(staging, PROJECT, block, ciphertext)
    make_durable(staging, PROJECT, [block for block, _ in blocks])
    disk.mark("end")
    torn = 0
    for number, moment in enumerate(disk.every_moment("start", "end")):
        for tree in outcomes(moment, number, 4):
            with laid_down(tree) as left:
                for block, _ in blocks:
                    path = staged_path(left / "cache/staging", PROJECT, block)
                    if path.exists() and block_id(path.read_bytes()) != block:
                        torn += 1
                        # The mark may overtake the bytes, for the blink of one sync; then it is an
                        # alert about a block that no file names. After `stage` it may not.
                        assert block != blocks[0][0] or not is_promised(path)
    assert torn


def test_a_block_whose_sync_failed_once_is_written_again(disk: RecordingDisk) -> None:
    staging = disk.path / "cache/staging"
    make_directory(staging)
    block, ciphertext = make_block(10_000)
    stage_soon(staging, PROJECT, block, ciphertext)
    disk.fail_next_sync()
    make_durable(staging, PROJECT, [block])
    disk.mark("durable")
    for left in remains(disk, "durable"):
        assert promised(left, block) == ciphertext


def test_a_block_whose_sync_failed_on_a_full_disk_is_written_again_once_there_is_room(
    disk: RecordingDisk,
) -> None:
    """The kernel says once that pages are lost; who asks again must not be told that all is well."""
    staging = disk.path / "cache/staging"
    make_directory(staging)
    block, ciphertext = make_block(10_000)
    stage_soon(staging, PROJECT, block, ciphertext)
    disk.fail_next_sync()
    disk.be_full(True)
    with pytest.raises(DiskFull):
        make_durable(staging, PROJECT, [block])
    with pytest.raises(DiskFull):
        make_durable(staging, PROJECT, [block])
    disk.be_full(False)
    make_durable(staging, PROJECT, [block])
    disk.mark("durable")
    for left in remains(disk, "durable"):
        assert promised(left, block) == ciphertext


def test_a_block_that_the_disk_has_lost_is_never_said_to_be_durable(disk: RecordingDisk) -> None:
    staging = disk.path / "cache/staging"
    make_directory(staging)
    block, _ = make_block(10_000)
    stage_soon(staging, PROJECT, block, bytes(10_000))
    disk.fail_next_sync()
    for _ in range(2):
        with pytest.raises(OSError, match="has lost"):
            make_durable(staging, PROJECT, [block])
    assert is_promised(staged_path(staging, PROJECT, block)), "an upload would throw it away"


def test_a_block_that_a_killed_mount_marked_is_made_durable_all_the_same(
    disk: RecordingDisk,
) -> None:
    """As one that another thread has marked, and is still syncing."""
    staging = disk.path / "cache/staging"
    make_directory(staging)
    block, ciphertext = make_block(10_000)
    stage_soon(staging, PROJECT, block, ciphertext)
    staged_path(staging, PROJECT, block).chmod(DURABLE)
    make_durable(staging, PROJECT, [block])
    disk.mark("durable")
    for left in remains(disk, "durable"):
        assert promised(left, block) == ciphertext


async def test_a_prepared_commit_is_there_once_it_was_taken(disk: RecordingDisk) -> None:
    async with Staging.open(
        CacheMark(disk.path / "cache", None), NoCache(), SystemClock()
    ) as staging:
        make_directory(disk.path / "cache")
        for request in (b"first" * 300, b"second" * 300):
            await staging.prepare(PROJECT, request)
            disk.mark(request[:5].decode())
    for request in (b"first" * 300, b"second" * 300):
        for left in remains(disk, request[:5].decode()):
            async with Staging.open(
                CacheMark(left / "cache", None), NoCache(), SystemClock()
            ) as staging:
                assert await staging.prepared() == {PROJECT: request}


async def test_an_entry_is_prepared_before_it_can_be_in_the_bucket(disk: RecordingDisk) -> None:
    class Marking(Shelf):
        async def create(self, key: str, body: bytes) -> None:
            await super().create(key, body)
            disk.mark("created")

    request = wire.CommitRequest(unsigned(1), [])
    make_directory(disk.path / "cache")
    async with Staging.open(
        CacheMark(disk.path / "cache", None), NoCache(), SystemClock()
    ) as staging:
        reply = await Journal(staging, Marking()).journal.commit(JOURNAL, Seq(1), request)
        assert reply.outcome == "committed"
        assert await staging.prepared() == {}
    for left in remains(disk, "created"):
        async with Staging.open(
            CacheMark(left / "cache", None), NoCache(), SystemClock()
        ) as staging:
            assert list(await staging.prepared()) == [JOURNAL]


async def test_a_block_leaves_staging_only_after_the_bucket_has_it(disk: RecordingDisk) -> None:
    class Marking(Shelf):
        async def put(self, key: str, body: bytes) -> None:
            await asyncio.sleep(0.01)
            disk.mark("stored")
            await super().put(key, body)

    async def offer(project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
        pass

    cache, clock, told = disk.path / "cache", FastClock(), list[str]()
    make_directory(cache)
    async with (
        DiskCache.open(CacheMark(cache, None), 1 << 20, 0, clock, Told(told)) as held,
        Staging.open(CacheMark(cache, None), held, clock) as staging,
    ):
        uploads = Uploads(
            staging=staging,
            bucket=Marking(),
            offer=offer,
            on_uploaded=lambda project, blocks: None,
            alerts=Alerts(clock),
            clock=clock,
            jitter=lambda: 0.5,
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(uploads.run())
            block, ciphertext = make_block()
            await asyncio.to_thread(stage, cache / "staging", PROJECT, block, ciphertext)
            # A commit that names it may come before the upload has ended.
            await uploads.add(PROJECT, [block])
            uploads.committed(PROJECT, [block])
            await uploads.wait_for(PROJECT, [block])
            while staging.held(PROJECT):
                await asyncio.sleep(0.01)
            running.cancel()
        assert held.holds(block)
    assert told == []
    for left in remains(disk, "stored"):
        assert promised(left, block) == ciphertext


# -- the replica -----------------------------------------------------------------------------------


async def test_what_was_applied_before_the_barrier_is_there_and_a_prefix_of_the_rest(
    disk: RecordingDisk,
) -> None:
    node = Node(disk.path / "replica.db", "a", Blocks())
    for number in range(6):
        node.create(b"%d" % number)
        if number == 2:
            await node.replica.barrier()
            disk.mark("barrier")
    disk.mark("end")
    node.close()
    disk.mark("closed")
    found = set()
    for number, moment in enumerate(disk.every_moment("barrier", "closed")):
        if number % 3:
            continue
        for tree in outcomes(moment, number, 1):
            with laid_down(tree) as left:
                after = Node(left / "replica.db", "a", Blocks())
                names = after.names()
                assert names == [b"%d" % name for name in range(len(names))]
                assert len(names) >= 3
                after.check()
                after.close()
                found.add(len(names))
    assert {3, 6} <= found
    for left in remains(disk, "closed"):
        after = Node(left / "replica.db", "a", Blocks())
        assert len(after.names()) == 6
        after.close()


async def test_whenever_the_power_is_cut_as_the_log_is_moved_and_starts_over_a_prefix_is_there(
    disk: RecordingDisk,
) -> None:
    node = Node(disk.path / "replica.db", "a", Blocks())
    database = node.replica._database
    for number in range(8):
        node.create(b"%d" % number)
    await node.replica.barrier()
    disk.mark("barrier")
    database._checkpoints._checkpoint_beside()
    with database._checkpoints._running:  # until it has ended
        disk.mark("moved")
    node.create(b"8")
    disk.mark("begun anew")
    await node.replica.barrier()
    disk.mark("end")
    for number, moment in enumerate(disk.every_moment("barrier", "end")):
        least = 9 if moment.marks()[-1] == "end" else 8
        if number % 3 and least == 8:
            continue
        for tree in outcomes(moment, number, 1):
            with laid_down(tree) as left:
                after = Node(left / "replica.db", "a", Blocks())
                names = after.names()
                assert names == [b"%d" % name for name in range(len(names))]
                assert least <= len(names) <= 9
                after.close()
    node.close()


async def test_a_replica_that_was_closed_and_opened_again_has_what_its_barrier_covered(
    disk: RecordingDisk,
) -> None:
    """SQLite removes the log at the end, and makes a new one without a sync of its name."""
    for number in range(2):
        node = Node(disk.path / "replica.db", "a", Blocks(), seed=number)
        node.create(b"%d" % number)
        await node.replica.barrier()
        disk.mark(str(number))
        node.close()
    for number in range(2):
        for left in remains(disk, str(number)):
            after = Node(left / "replica.db", "a", Blocks())
            assert len(after.names()) == number + 1
            after.close()


async def test_a_barrier_covers_what_was_written_after_another_had_synced(
    disk: RecordingDisk,
) -> None:
    def syncs() -> int:
        return sum(isinstance(step, Sync) for step in disk.steps())

    write_durably(disk.path / "log", b"")
    barrier = Barrier(disk.path / "log")
    with (disk.path / "log").open("ab", buffering=0) as log:
        log.write(b"first")
        before = syncs()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(barrier.wait())
            await asyncio.sleep(0)
            while syncs() == before:
                pass  # the loop has not heard of it yet when the next one asks
            log.write(b"second")
            await barrier.wait()
            disk.mark("second")
    barrier.close()
    for left in remains(disk, "second"):
        assert (left / "log").read_bytes() == b"firstsecond"


async def test_an_entry_is_known_as_ours_before_it_is_sent(disk: RecordingDisk) -> None:
    desk = Desk(disk.path, "a", Bucket(), VirtualClock())
    desk.daemon.before_answer = lambda: disk.mark("sent")
    desk.node.create(b"name")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(desk.committer.run())
        await desk.clock.until(desk.caught_up)
        running.cancel()
    desk.node.close()
    [(seq, request)] = desk.daemon.requests
    for left in remains(disk, "sent"):
        replica = Replica.open(left / "a.db", KEY, "a")
        flight = replica.pending.in_flight()
        assert flight is not None
        assert (flight.seq, flight.unsigned) == (seq, request.unsigned)
        replica.close()


# -- files -----------------------------------------------------------------------------------------


async def opened_at(left: Path, name: bytes) -> bytes:
    """Return the file *name* as a mount finds it that starts on what is *left*."""
    async with file_layer(left) as layer:
        layer.daemon.uploads = False
        ino = layer.files.lookup(ROOT, name).ino
        for path in (left / "staging" / PROJECT).iterdir():
            if not path.name.startswith("."):
                digest = block_id(path.read_bytes())
                assert digest.hex() == path.name or not is_promised(path)
        for extent in layer.replica.tree.extents(ino, 0, 1 << 40):
            assert is_promised(staged_path(left / "staging", PROJECT, extent.block.id))
        return await layer.contents(ino)


async def started(layer: FileLayer) -> None:
    """Have what a mount makes at its start be there, and nothing leave for the bucket."""
    make_directory(layer.daemon.staging_dir / PROJECT)
    make_directory(layer.daemon.staging_dir)
    layer.daemon.uploads = False


@pytest.mark.parametrize("call", ["fsync", "close"])
@pytest.mark.parametrize("size", [10, BLOCK, 2 * BLOCK + 10])
async def test_what_was_acknowledged_of_a_file_is_there(
    disk: RecordingDisk, call: str, size: int
) -> None:
    async with file_layer(disk.path) as layer:
        await started(layer)
        _, handle = await layer.create(b"file")
        await layer.files.write(handle, 0, noise(size))
        await (layer.files.sync(handle) if call == "fsync" else layer.files.flush(handle))
        disk.mark("acknowledged")
    for left in remains(disk, "acknowledged", by_chance=2):
        assert await opened_at(left, b"file") == noise(size)


@pytest.mark.parametrize("call", ["fsync", "close"])
@pytest.mark.parametrize("is_saved", [True, False])
async def test_what_was_acknowledged_of_a_range_that_moved_no_bytes_is_there(
    disk: RecordingDisk, call: str, is_saved: bool
) -> None:
    """Copied, grown, punched and zeroed: over what was saved before, or is brought down with it."""
    size = 3 * BLOCK + 10
    content = bytearray(noise(size))
    async with file_layer(disk.path) as layer:
        await started(layer)
        _, source = await layer.create(b"source")
        await layer.files.write(source, 0, noise(2 * BLOCK + 10, 2))
        _, handle = await layer.create(b"file")
        await layer.files.write(handle, 0, bytes(content))
        if is_saved:
            await layer.files.sync(handle)
        content[BLOCK - 5 : 2 * BLOCK] = noise(2 * BLOCK + 10, 2)[5 : BLOCK + 10]
        assert await layer.files.ranges.copy(source, 5, handle, BLOCK - 5, BLOCK + 5) == BLOCK + 5
        for at, length, mode in (
            (10, 500, PUNCH_HOLE | KEEP_SIZE),
            (2 * BLOCK - 9, 100, ZERO_RANGE),
            (size - 5, 15, ZERO_RANGE),
            (size, 5000, 0),
        ):
            end = len(content) if mode & KEEP_SIZE else at + length
            content = content.ljust(end, b"\0")
            if mode:
                content[at : at + length] = bytes(length)
            await layer.files.ranges.allocate(handle, at, length, mode)
        await (layer.files.sync(handle) if call == "fsync" else layer.files.flush(handle))
        disk.mark("acknowledged")
    for left in remains(disk, "acknowledged", by_chance=0):
        assert await opened_at(left, b"file") == content


async def test_what_a_second_fsync_acknowledged_is_there_whole(disk: RecordingDisk) -> None:
    """Over tails, blocks and packs that the first one has brought down."""
    content = bytearray(noise(BLOCK + 5000))
    async with file_layer(disk.path) as layer:
        await started(layer)
        _, handle = await layer.create(b"file")
        await layer.files.write(handle, 0, bytes(content))
        await layer.files.sync(handle)
        layer.packer.pack()
        for offset, size in ((BLOCK - 10, 100), (20, 3), (BLOCK + 4990, 20)):
            part = noise(size, offset)
            content[offset : offset + size] = part
            await layer.files.write(handle, offset, part)
        await layer.files.sync(handle)
        disk.mark("acknowledged")
    for left in remains(disk, "acknowledged", by_chance=2):
        async with file_layer(left) as again:
            ino = again.files.lookup(ROOT, b"file").ino
            assert await again.contents(ino) == content


async def test_what_was_acknowledged_as_tails_is_there_after_they_were_packed(
    disk: RecordingDisk,
) -> None:
    async with file_layer(disk.path) as layer:
        await started(layer)
        ino, handle = await layer.create(b"file")
        await layer.files.write(handle, 0, b"acknowledged")
        await layer.files.sync(handle)
        layer.packer.pack()
        disk.mark("packed")
        [extent] = layer.replica.tree.extents(ino, 0, 100)
        await layer.packer.staged([extent.block.id])
        assert layer.replica.tails.packs() == {}
        await layer.replica.barrier()
        disk.mark("released")
    for moment in ("packed", "released"):
        for left in remains(disk, moment):
            async with file_layer(left) as again:
                assert await again.contents(ino) == b"acknowledged"


async def test_whenever_the_power_is_cut_a_file_that_was_deleted_is_whole_or_gone(
    disk: RecordingDisk,
) -> None:
    """And what was saved with the same block meanwhile is whole."""
    scratch, other = noise(2 * BLOCK), noise(BLOCK, 2)
    async with file_layer(disk.path) as layer:
        await started(layer)
        for name, content in ((b"scratch", scratch), (b"twin", other), (b"gone", other)):
            _, handle = await layer.create(name)
            await layer.files.write(handle, 0, content)
            await layer.files.sync(handle)
            layer.files.release(handle)
        disk.mark("saved")
        layer.files.unlink(ROOT, b"scratch")
        layer.files.unlink(ROOT, b"gone")
        await layer.deleted_files.look()
        assert len(layer.daemon.unneeded) == 2
        disk.mark("let go")
        _, handle = await layer.create(b"again")
        await layer.files.write(handle, 0, scratch[:BLOCK])
        await layer.files.sync(handle)
        disk.mark("again")
    seen = set()
    moments = [each.copy() for each in disk.every_moment("saved", "let go")]
    for number, moment in enumerate(moments[::2]):
        for keep in (names_only, some(number)):
            with laid_down(moment.after_power_cut(keep)) as left:
                seen.add(await whole_or_gone(left, b"scratch", scratch))
                assert await opened_at(left, b"twin") == other
    assert seen == {True, False}
    for left in remains(disk, "let go"):
        assert not await whole_or_gone(left, b"scratch", scratch)
        assert len(list((left / "staging" / PROJECT).iterdir())) == 1
    for left in remains(disk, "again"):
        assert await opened_at(left, b"again") == scratch[:BLOCK]


async def whole_or_gone(left: Path, name: bytes, content: bytes) -> bool:
    """Tell whether the file *name* is there, whole."""
    async with file_layer(left) as layer:
        if layer.replica.tree.lookup(ROOT, name) is None:
            return False
    assert await opened_at(left, name) == content
    return True


async def test_names_are_there_once_their_directory_was_synced(disk: RecordingDisk) -> None:
    async with file_layer(disk.path) as layer:
        await started(layer)
        folder = layer.files.make(ROOT, b"folder", 0o040755, ME)
        await layer.create(b"made")
        await layer.create(b"renamed")
        await layer.create(b"removed")
        layer.files.rename(ROOT, b"renamed", folder.ino, b"moved", 0)
        layer.files.unlink(ROOT, b"removed")
        await layer.files.sync_directory()
        disk.mark("acknowledged")
    for left in remains(disk, "acknowledged", by_chance=2):
        async with file_layer(left) as again:
            root = [name for name, _ in again.replica.tree.list_names(ROOT, None, 1000)]
            inside = [name for name, _ in again.replica.tree.list_names(folder.ino, None, 1000)]
        assert (root, inside) == ([b"folder", b"made"], [b"moved"])


# -- what nobody was promised ------------------------------------------------------------------------


async def test_a_cache_gives_the_right_bytes_or_none_whenever_the_power_is_cut(
    disk: RecordingDisk,
) -> None:
    clock, told = FastClock(), list[str]()
    blocks = [make_block(3000 + 7 * number) for number in range(8)]
    disk.mark("start")
    async with DiskCache.open(
        CacheMark(disk.path / "cache", None), 6 * 4096, 0, clock, Told(told)
    ) as cache:
        for block, ciphertext in blocks:
            assert await cache.put(block, ciphertext)
        await cache.maintain_once()
    disk.mark("end")
    assert told == []
    chance, got = Random(5), 0
    for number, moment in enumerate(disk.every_moment("start", "end")):
        if number % 3:
            continue
        tree = moment.after_power_cut(chance.choice([some(number), everything, names_only]))
        with laid_down(tree) as left:
            async with DiskCache.open(
                CacheMark(left / "cache", None), 6 * 4096, 0, clock, Told(told)
            ) as cache:
                for block, ciphertext in blocks:
                    found = await cache.get(block)
                    assert found in {None, ciphertext}
                    got += found is not None
    assert got
    assert all("damaged" in line for line in told)


async def test_whenever_a_daemon_is_killed_its_cache_knows_every_file(disk: RecordingDisk) -> None:
    """A file that no row names would never be evicted: the limit would not hold any more."""
    clock, told = FastClock(), list[str]()
    blocks = [make_block(3000) for _ in range(4)]
    disk.mark("start")
    async with DiskCache.open(
        CacheMark(disk.path / "cache", None), 3 * 4096, 0, clock, Told(told)
    ) as cache:
        disk.mark("opened")
        for block, ciphertext in blocks:
            assert await cache.put(block, ciphertext)
        disk.mark("put")
    for moment in disk.every_moment("opened", "put"):
        with laid_down(moment.after_power_cut(everything)) as left:
            async with DiskCache.open(
                CacheMark(left / "cache", None), 3 * 4096, 0, clock, Told(told)
            ) as cache:
                files = [path for path in (left / "cache/blocks").rglob("*") if path.is_file()]
                assert len(files) == cache.facts().blocks
    assert told == []


async def test_a_kept_entry_is_whole_or_not_there_whenever_the_power_is_cut(
    disk: RecordingDisk,
) -> None:
    kept = KeptEntries(disk.path / "entries")
    entries = {Seq(seq): secrets.token_bytes(1500) for seq in (1, 2)}
    disk.mark("start")
    for seq, entry in entries.items():
        await kept.keep(PROJECT, seq, entry)
    disk.mark("end")
    for number, moment in enumerate(disk.every_moment("start", "end")):
        for tree in outcomes(moment, number):
            with laid_down(tree) as left:
                found = await KeptEntries(left / "entries").newest(10)
                for seq, digest in found.get(PROJECT, {}).items():
                    assert digest == block_id(entries[seq])


# -- any moment of a session -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_whenever_the_power_is_cut_in_a_session_what_was_acknowledged_is_right(
    disk: RecordingDisk, seed: int
) -> None:
    session = Session(disk, seed)
    async with file_layer(disk.path) as layer:
        await started(layer)
        disk.mark("0")
        await session.run(layer, steps=25)
    moments = [each.copy() for each in disk.every_moment("0", str(session.number))]
    chance = Random(f"moments {seed}")
    for number in sorted(chance.sample(range(len(moments)), 12)):
        moment = moments[number]
        keep = chance.choice([some(number), some(-number), names_only, lambda _step: []])
        with laid_down(moment.after_power_cut(keep)) as left:
            passed = max(int(mark) for mark in moment.marks() if mark.isdecimal())
            async with file_layer(left) as again:
                await session.check(again, passed)


def laid(content: bytes, offset: int, data: bytes) -> bytes:
    """Return *content* with *data* at *offset*."""
    old = content.ljust(offset, b"\0") if data else content
    return old[:offset] + data + old[offset + len(data) :]


MODES = {"h": PUNCH_HOLE | KEEP_SIZE, "z": ZERO_RANGE, "g": 0}


class Session:
    """A scripted use of three files by name; the model knows every version of each."""

    NAMES = (b"a", b"b", b"c")

    def __init__(self, disk: RecordingDisk, seed: int) -> None:
        self._disk = disk
        self._chance = Random(seed)
        self.number = 0
        """Of the last mark. Each stands behind one change of the model, or one acknowledgement."""
        self._names: list[dict[bytes, int]] = [{}]
        """By mark: which file has each name."""
        self._contents: list[dict[int, bytes]] = [{}]
        self._synced: dict[int, int] = {}
        """By file: the mark of its last acknowledgement."""
        self._acknowledged: list[tuple[int, dict[int, int]]] = [(0, {})]
        """By mark: the mark up to which names are certain, and each file's last acknowledged one."""

    async def run(self, layer: FileLayer, steps: int) -> None:
        handles: dict[int, int] = {}
        names: dict[bytes, int] = {}
        contents: dict[int, bytes] = {}
        certain = 0
        for _ in range(steps):
            name = self._chance.choice(self.NAMES)
            action = self._chance.choice("wwwwtssdrupcczhg")
            ino = names.get(name)
            # The model first: what is under way when the power goes may be there.
            if ino is None:
                ino, handle = await layer.create(name)
                handles[ino], names[name], contents[ino] = handle, ino, b""
            elif action == "w":
                size = self._chance.choice([10, 3000, BLOCK, BLOCK + 999])
                offset = self._chance.choice([0, len(contents[ino]), 5, BLOCK])
                data = self._chance.randbytes(size)
                contents[ino] = laid(contents[ino], offset, data)
                self._mark(names, contents, certain)
                await layer.files.write(handles[ino], offset, data)
                continue
            elif action == "t":
                await layer.writer.flush(InodeNo(ino))
                await layer.writer.truncate(InodeNo(ino), len(contents[ino]) // 2)
                contents[ino] = contents[ino][: len(contents[ino]) // 2]
            elif action in "czhg":
                size = self._chance.choice([10, 3000, BLOCK, BLOCK + 999])
                offset = self._chance.choice([0, len(contents[ino]), 5, BLOCK])
                source = names[self._chance.choice(sorted(names))]
                if action == "c":  # nothing overlaps if it is one file
                    data = contents[source][: min(size, offset)]
                    end = offset + len(data) if data else 0
                else:
                    held = len(contents[ino]) if action == "h" else offset + size
                    data = bytes(max(0, min(size, held - offset))) if action != "g" else b""
                    end = held
                # A copy makes room first, where its source has holes.
                for part in (bytes(len(data)), data):
                    contents[ino] = laid(contents[ino].ljust(end, b"\0"), offset, part)
                    self._mark(names, contents, certain)
                if action == "c":
                    await layer.files.ranges.copy(
                        handles[source], 0, handles[ino], offset, min(size, offset)
                    )
                else:
                    await layer.files.ranges.allocate(handles[ino], offset, size, MODES[action])
                continue
            elif action == "s":
                await layer.files.sync(handles[ino])
                certain = self.number
                self._synced[ino] = self.number
            elif action == "d":
                await layer.files.sync_directory()
                certain = self.number
            elif action == "r":
                other = self._chance.choice(self.NAMES)
                if other != name:
                    names[other] = names.pop(name)
                    self._mark(names, contents, certain)
                    layer.files.rename(ROOT, name, ROOT, other, 0)
                    continue
            elif action == "u":
                del names[name]
                self._mark(names, contents, certain)
                layer.files.unlink(ROOT, name)
                continue
            elif action == "p":
                layer.packer.pack()
            self._mark(names, contents, certain)

    def _mark(self, names: dict[bytes, int], contents: dict[int, bytes], certain: int) -> None:
        self._names.append(dict(names))
        self._contents.append(dict(contents))
        self._acknowledged.append((certain, dict(self._synced)))
        self.number += 1
        self._disk.mark(str(self.number))

    async def check(self, layer: FileLayer, passed: int) -> None:
        """Assert that *layer* has what was acknowledged up to the mark *passed*."""
        certain, synced = self._acknowledged[passed]
        # One step beyond: it may have been under way.
        last = min(passed + 1, self.number)
        names = {
            name: int(found.ino) for name, found in layer.replica.tree.list_names(ROOT, None, 1000)
        }
        assert names in self._names[certain : last + 1]
        for ino in names.values():
            versions = [
                each[ino] for each in self._contents[synced.get(ino, 0) : last + 1] if ino in each
            ]
            found = await layer.contents(InodeNo(ino))
            assert min(map(len, versions)) <= len(found) <= max(map(len, versions))
            for at in range(0, len(found), 997):
                allowed = {each[at : at + 1] for each in versions}
                assert found[at : at + 1] in allowed | ({b"\0"} if b"" in allowed else set())


async def test_a_first_state_is_there_whole_or_not_at_all_whenever_the_power_is_cut(
    disk: RecordingDisk,
) -> None:
    rows = [(0, ino, 8, 0o644, 0, 0, 0, 0, 0, 0, 0, 0, b"", 0) for ino in range(2, 30)]
    names = [(1, 1, b"%d" % row[1], row[1]) for row in rows]
    rows = [(*row[:7], 1, *row[8:]) for row in rows]
    replica = Replica.open(disk.path / "replica.db", KEY, "newcomer")
    disk.sync_everything()
    disk.mark("nothing")
    async with replica.first_state.loading(Head(Seq(7), bytes(32))) as load:
        root = (0, 1, 4, 511, 0, 0, 0, 2, 0, 0, 0, 0, b"", 0)
        await load.put(lambda: [("inode", [root, *rows], [])])
        await load.put(lambda: [("name", names, [])])
    replica.close()
    disk.mark("loaded")
    found = set()
    for number, moment in enumerate(disk.every_moment("nothing", "loaded")):
        for tree in outcomes(moment, number, by_chance=0):
            with laid_down(tree) as left:
                replica = Replica.open(left / "replica.db", KEY, "newcomer")
                found.add((replica.pending.head().seq, len(rows_of(replica)["inode"])))
                replica.close()
    assert found == {(0, 1), (7, 29)}
    for left in remains(disk, "loaded"):
        replica = Replica.open(left / "replica.db", KEY, "newcomer")
        assert len(rows_of(replica)["name"]) == 28
        replica.close()
