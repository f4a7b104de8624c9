"""Durability `relaxed`: what `kill -9` leaves, and what a power cut takes, is never more than said."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest
from committer_fixture import KEYS as JOURNAL_KEYS
from committer_fixture import PROJECT as JOURNAL
from committer_fixture import Bucket, Daemon
from disk_record import Disk, Sync
from file_layer_fixture import BLOCK, ME, PROJECT, FileLayer, file_layer
from recording_disk import (
    RecordingDisk,
    bytes_only,
    everything,
    laid_down,
    names_only,
    nothing_loose,
    outcomes,
    recording_disk,
    some,
)

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.unsynced import KEYS, TABLE
from lucidnode.fs.write.group_sync import GATHER_S, GroupSync
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.durable import make_directory
from lucidnode.node.client.ids import BlockId

AFTER = "the boot after the power cut"

SIZES = [10, BLOCK, 2 * BLOCK + 10]


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordingDisk]:
    with recording_disk(tmp_path_factory.mktemp("relaxed")) as disk:
        yield disk


@pytest.fixture
def disk(mounted: RecordingDisk) -> RecordingDisk:
    mounted.fresh()
    return mounted


def noise(size: int, seed: object = 1) -> bytes:
    return Random(str(seed)).randbytes(size)


async def started(layer: FileLayer) -> None:
    """Have what a mount makes at its start be there, and nothing leave for the bucket."""
    make_directory(layer.daemon.staging_dir / PROJECT)
    make_directory(layer.daemon.staging_dir)
    layer.daemon.uploads = False
    # The first block of a mount makes sure of its directory.
    await saved(layer, b"first", noise(BLOCK, "first"))
    await layer.files.sync_directory()
    layer.files.unlink(ROOT, b"first")
    await layer.files.sync_directory()
    for path in (layer.daemon.staging_dir / PROJECT).iterdir():
        path.unlink()


async def saved(layer: FileLayer, name: bytes, content: bytes) -> int:
    """Write the new file *name* and close it; return its handle."""
    _, handle = await layer.create(name)
    await layer.files.write(handle, 0, content)
    await layer.files.flush(handle)
    return handle


async def content_of(layer: FileLayer, name: bytes) -> bytes:
    return await layer.contents(layer.files.lookup(ROOT, name).ino)


def syncs(disk: RecordingDisk) -> int:
    return sum(isinstance(step, Sync) for step in disk.steps())


def poor(disk: Disk, seed: object) -> Iterator[Path]:
    """Yield directories with what a power cut may leave of *disk*."""
    for tree in outcomes(disk, seed, by_chance=2):
        with laid_down(tree) as left:
            yield left


# -- what is deleted -----------------------------------------------------------------------------


async def test_whenever_the_power_is_cut_no_file_lacks_a_block_that_was_let_go(
    disk: RecordingDisk,
) -> None:
    """Nor is later work taken back for want of one."""
    scratch = noise(2 * BLOCK)
    async with file_layer(disk.path, relaxed=True) as layer:
        await started(layer)
        layer.files.release(await saved(layer, b"scratch", scratch))
        disk.mark("saved")
        layer.files.unlink(ROOT, b"scratch")
        await layer.deleted_files.look()
        assert layer.daemon.unneeded == [], "recovery would miss them"
        await layer.group_sync.now()
        await layer.deleted_files.look()
        assert len(layer.daemon.unneeded) == 2
        layer.files.make(ROOT, b"later", 0o100644, ME)
        disk.mark("later")
        await layer.files.sync_directory()
        disk.mark("synced")
    moments = [each.copy() for each in disk.every_moment("saved", "synced")]
    for number, moment in enumerate(moments[::3]):
        with laid_down(moment.after_power_cut(some(number))) as left:
            async with file_layer(left, relaxed=True, boot=AFTER) as again:
                if again.replica.tree.lookup(ROOT, b"scratch") is not None:
                    # As if it had been made and not written.
                    assert await content_of(again, b"scratch") in {scratch, b""}
                    assert again.replica.tree.lookup(ROOT, b"later") is None
    for left in poor(disk.up_to("synced"), "synced"):
        async with file_layer(left, relaxed=True, boot=AFTER) as again:
            assert again.taken_back == []
            assert [name for name, _ in again.replica.tree.list_names(ROOT, None, 1000)] == [
                b"later"
            ]


# -- close -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_a_close_waits_for_no_disk_and_survives_kill(disk: RecordingDisk, size: int) -> None:
    async with file_layer(disk.path, relaxed=True) as layer:
        await started(layer)
        before = syncs(disk)
        await saved(layer, b"file", noise(size))
        disk.mark("closed")
        assert syncs(disk) == before
    with laid_down(disk.up_to("closed").after_power_cut(everything)) as left:
        async with file_layer(left, relaxed=True) as again:
            assert again.taken_back == []
            assert again.replica.unsynced.newest() == 0
            assert await content_of(again, b"file") == noise(size)


async def test_a_block_that_went_to_the_bucket_before_a_kill_is_not_taken_for_lost(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path, relaxed=True) as layer:
        await saved(layer, b"file", noise(2 * BLOCK))
        for path in (tmp_path / "staging" / PROJECT).iterdir():
            (tmp_path / "bucket" / path.name).write_bytes(path.read_bytes())
            path.unlink()
    async with file_layer(tmp_path, relaxed=True) as again:
        assert again.taken_back == []
        assert await content_of(again, b"file") == noise(2 * BLOCK)


@pytest.mark.parametrize("size", SIZES)
async def test_a_close_survives_a_power_cut_after_the_sync_that_nobody_waits_for(
    disk: RecordingDisk, size: int
) -> None:
    async with file_layer(disk.path, relaxed=True) as layer:
        await started(layer)
        await saved(layer, b"file", noise(size))
        blocks = size // BLOCK
        # The blocks and their directory, then the log.
        await synced_by_itself(layer, disk, blocks + 2 if blocks else 1)
        disk.mark("later")
    for left in poor(disk.up_to("later"), size):
        async with file_layer(left, boot=AFTER) as again:
            again.daemon.uploads = False
            assert again.taken_back == []
            assert await content_of(again, b"file") == noise(size)


async def synced_by_itself(layer: FileLayer, disk: RecordingDisk, count: int) -> None:
    """Return once the background has made *count* syncs, and nobody asked for them."""
    assert GATHER_S < 1
    before = syncs(disk)
    running = asyncio.ensure_future(layer.group_sync.run())
    async with asyncio.timeout(20):
        while layer.group_sync.is_due or syncs(disk) < before + count:
            await asyncio.sleep(0.001)
    running.cancel()


async def test_a_big_file_costs_one_sync_for_each_block_and_two_more(
    disk: RecordingDisk,
) -> None:
    """Many blocks are on their way at once, the first of a mount among them."""
    async with file_layer(disk.path, relaxed=True) as layer:
        layer.daemon.uploads = False
        _, handle = await layer.create(b"file")
        before = syncs(disk)
        await layer.files.write(handle, 0, noise(12 * BLOCK))
        await layer.files.flush(handle)
        assert syncs(disk) == before + 1, "the place of the blocks"
        await layer.files.sync(handle)
        assert syncs(disk) == before + 1 + 12 + 2


async def test_all_that_was_closed_within_a_second_shares_one_sync_of_the_log(
    disk: RecordingDisk,
) -> None:
    async with file_layer(disk.path, relaxed=True) as layer:
        await started(layer)
        before = syncs(disk)
        for number in range(20):
            layer.files.make(ROOT, b"folder %d" % number, 0o040755, ME)
            layer.files.rename(ROOT, b"folder %d" % number, ROOT, b"moved %d" % number, 0)
            await saved(layer, b"%d" % number, noise(6000, number))
        assert syncs(disk) == before
        await layer.group_sync.now()
        assert syncs(disk) == before + 1


async def test_what_is_closed_while_others_are_synced_is_not_taken_to_be_on_the_disk(
    tmp_path: Path,
) -> None:
    class Slow:
        def __init__(self) -> None:
            self.began, self.go = asyncio.Event(), asyncio.Event()

        async def make_durable(self, blocks: Iterable[BlockId]) -> None:
            self.began.set()
            await self.go.wait()

    slow = Slow()
    async with file_layer(tmp_path, relaxed=True) as layer:
        layer.daemon.uploads = False
        await saved(layer, b"first", noise(BLOCK, "first"))
        sync = GroupSync(layer.replica, slow, layer.alerts, layer.clock, lambda: None, relaxed=True)
        first = layer.replica.unsynced.blocks()
        syncing = asyncio.ensure_future(sync.now())
        await slow.began.wait()
        await saved(layer, b"second", noise(BLOCK, "second"))
        [second] = set(layer.replica.unsynced.blocks()) - set(first)
        slow.go.set()
        await syncing
        assert layer.replica.unsynced.blocks() == [second]
        assert sync.is_due
        await sync.now()
        assert layer.replica.unsynced.blocks() == []
        assert not sync.is_due


async def test_while_the_disk_refuses_a_close_waits_for_it_and_says_so(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("would not survive a power cut")
    async with file_layer(tmp_path, relaxed=True) as layer:
        layer.daemon.uploads = False
        handle = await saved(layer, b"file", noise(BLOCK))
        (tmp_path / "staging").rename(tmp_path / "away")
        running = asyncio.ensure_future(layer.group_sync.run())
        async with asyncio.timeout(60):
            while not layer.alerts.current():
                await asyncio.sleep(0.001)
            with pytest.raises(FileNotFoundError, match="is missing"):
                await layer.files.flush(handle)
            (tmp_path / "away").rename(tmp_path / "staging")
            while layer.alerts.current():
                await asyncio.sleep(0.001)
        assert layer.replica.unsynced.newest() == 0
        running.cancel()
        # Nobody waits for the disk any more.
        await saved(layer, b"other", noise(BLOCK, "other"))
        assert layer.replica.unsynced.newest() > 0


# -- fsync -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("call", ["fsync", "fsyncdir"])
async def test_what_is_synced_survives_a_power_cut_with_all_that_was_closed_before(
    disk: RecordingDisk, call: str, size: int
) -> None:
    async with file_layer(disk.path, relaxed=True) as layer:
        await started(layer)
        await saved(layer, b"closed", noise(size, "closed"))
        if call == "fsync":
            _, handle = await layer.create(b"synced")
            await layer.files.write(handle, 0, noise(size, "synced"))
            await layer.files.sync(handle)
        else:
            layer.files.make(ROOT, b"synced", 0o040755, ME)
            await layer.files.sync_directory()
        disk.mark("synced")
        await saved(layer, b"after", noise(size, "after"))
        disk.mark("end")
    for moment in ("synced", "end"):
        for left in poor(disk.up_to(moment), size):
            async with file_layer(left, boot=AFTER) as again:
                again.daemon.uploads = False
                assert await content_of(again, b"closed") == noise(size, "closed")
                if call == "fsync":
                    assert await content_of(again, b"synced") == noise(size, "synced")
                else:
                    assert again.files.lookup(ROOT, b"synced").is_directory


async def test_nothing_below_an_entry_is_taken_back_once_it_is_sent(disk: RecordingDisk) -> None:
    class Hooks:
        def before_batch(self) -> None:
            layer.packer.pack()

        def touched(self, touched: Touched) -> None:
            pass

        def passed(self, seq: int, changeset: bytes | None, *, ours: bool) -> None:
            pass

        async def refresh_roster(self) -> None:
            pass

    async with file_layer(disk.path, relaxed=True) as layer:
        await started(layer)
        await saved(layer, b"file", noise(BLOCK))
        daemon = Daemon(Bucket(), b"seed".ljust(32, b"."))
        daemon.before_answer = lambda: disk.mark("sent")
        codec = EntryCodec(
            lambda: JOURNAL_KEYS,
            daemon.device,
            lambda device, _: {daemon.device: daemon.public}.get(device),
            noise,
        )
        committer = Committer(
            layer.replica,
            daemon,
            JOURNAL,
            codec,
            Hooks(),
            Alerts(layer.clock),
            layer.clock,
            durability_wait=layer.group_sync.before_sending,
        )
        running = asyncio.ensure_future(committer.run())
        async with asyncio.timeout(60):
            await committer.until_committed(None)
        running.cancel()
    [(seq, request), *_] = daemon.requests
    for left in poor(disk.up_to("sent"), "sent"):
        async with file_layer(left, boot=AFTER) as again:
            flight = again.replica.pending.in_flight()
            assert again.taken_back == []
            assert flight is not None
            assert (flight.seq, flight.unsigned) == (seq, request.unsigned)


# -- what a power cut leaves ------------------------------------------------------------------------


async def test_a_save_by_rename_is_the_old_or_the_new_file_whenever_the_power_is_cut(
    disk: RecordingDisk,
) -> None:
    """The log may come to the disk with the rename in it, and without the new file's blocks."""
    old, new = noise(BLOCK + 10, "old"), noise(2 * BLOCK, "new")
    async with file_layer(disk.path, relaxed=True) as layer:
        await started(layer)
        handle = await saved(layer, b"file", old)
        await layer.files.sync(handle)
        disk.mark("old")
        await saved(layer, b"scratch", new)
        layer.files.rename(ROOT, b"scratch", ROOT, b"file", 0)
        disk.mark("renamed")
        await layer.group_sync.now()
        disk.mark("new")
    told = set[str]()
    seen = set[bytes]()
    for number, moment in enumerate(disk.every_moment("old", "new")):
        for left in poor(moment, number):
            async with file_layer(left, boot=AFTER) as again:
                again.daemon.uploads = False
                found = await content_of(again, b"file")
                assert found in {old, new}
                if "new" in moment.marks():
                    assert found == new
                seen.add(found)
                told.update(again.taken_back)
    assert len(seen) == 2
    assert told >= {"scratch"} or told >= {"file"}


@pytest.mark.parametrize("seed", range(4))
async def test_what_a_power_cut_leaves_is_a_prefix_of_what_was_done(
    disk: RecordingDisk, seed: int
) -> None:
    session = Session(disk, seed)
    async with file_layer(disk.path, relaxed=True) as layer:
        await started(layer)
        disk.mark("0")
        await session.run(layer, steps=30)
    chance = Random(f"moments {seed}")
    moments = [each.copy() for each in disk.every_moment("0", str(session.number))]
    for number in sorted(chance.sample(range(len(moments)), 14)):
        moment = moments[number]
        passed = max(int(mark) for mark in moment.marks() if mark.isdecimal())
        keep = chance.choice(
            [some(number), some(-number), names_only, bytes_only, nothing_loose, everything]
        )
        with laid_down(moment.after_power_cut(keep)) as left:
            async with file_layer(left, boot=AFTER) as again:
                again.daemon.uploads = False
                await session.check(again, passed, certain=session.certain[passed])
        with laid_down(moment.after_power_cut(everything)) as left:
            async with file_layer(left) as again:
                again.daemon.uploads = False
                await session.check(again, passed, certain=passed)
                assert again.taken_back == []


class Session:
    """A scripted use of three names in which every change is closed at once, or synced."""

    NAMES = (b"a", b"b", b"c")

    def __init__(self, disk: RecordingDisk, seed: int) -> None:
        self._disk = disk
        self._chance = Random(seed)
        self.number = 0
        """Of the last mark. It stands behind one change of the model, which may be under way."""
        self.states: list[dict[bytes, bytes]] = [{}]
        """By mark: the contents by name."""
        self.certain = [0]
        """By mark: the state that no power cut goes behind."""

    async def run(self, layer: FileLayer, steps: int) -> None:
        for _ in range(steps):
            name, other = self._chance.sample(self.NAMES, 2)
            names = {each for each, _ in layer.replica.tree.list_names(ROOT, None, 1000)}
            match self._chance.choice("wwwwtrrups"):
                case _ if name not in names:
                    layer.files.make(ROOT, name, 0o100644, ME)
                    self._done(layer, {**self.states[-1], name: b""})
                case "w":
                    await self._write(layer, name)
                case "t":
                    ino = layer.files.lookup(ROOT, name).ino
                    size = len(self.states[-1][name]) // 2
                    await layer.writer.truncate(ino, size)
                    self._done(layer, {**self.states[-1], name: self.states[-1][name][:size]})
                case "r":
                    layer.files.rename(ROOT, name, ROOT, other, 0)
                    state = dict(self.states[-1])
                    state[other] = state.pop(name)
                    self._done(layer, state)
                case "u":
                    layer.files.unlink(ROOT, name)
                    self._done(
                        layer, {each: at for each, at in self.states[-1].items() if each != name}
                    )
                case "p":
                    layer.packer.pack()
                    await layer.packer.staged([*layer.replica.tails.packs()])
                case _:
                    await layer.files.sync_directory()
                    self._done(layer, self.states[-1], certain=self.number)

    async def _write(self, layer: FileLayer, name: bytes) -> None:
        content = self.states[-1][name]
        # Each comes down in one transaction: of more, some may be there while it is under way.
        size = self._chance.choice([10, 3000, BLOCK, 2 * BLOCK])
        offset = self._chance.choice([0, BLOCK] if size >= BLOCK else [0, 5, BLOCK])
        data = self._chance.randbytes(size)
        head = content[:offset].ljust(offset, b"\0")
        ino = layer.files.lookup(ROOT, name).ino
        handle, _ = await layer.files.open(ino, 2)
        await layer.files.write(handle, offset, data)
        await layer.files.flush(handle)
        layer.files.release(handle)
        self._done(layer, {**self.states[-1], name: head + data + content[offset + size :]})

    def _done(self, layer: FileLayer, state: dict[bytes, bytes], certain: int = -1) -> None:
        self.states.append(state)
        self.certain.append(self.certain[-1] if certain < 0 else certain)
        self.number += 1
        self._disk.mark(str(self.number))

    async def check(self, layer: FileLayer, passed: int, certain: int) -> None:
        """Assert that *layer* is as it was at one moment from *certain* to just after *passed*."""
        found = {
            name: await content_of(layer, name)
            for name, _ in layer.replica.tree.list_names(ROOT, None, 1000)
        }
        last = min(passed + 1, self.number)
        assert found in self.states[certain : last + 1]


async def test_what_a_power_cut_has_left_survives_the_next_one(disk: RecordingDisk) -> None:
    async with file_layer(disk.path, relaxed=True) as layer:
        await started(layer)
        await saved(layer, b"file", noise(2 * BLOCK))
    async with file_layer(disk.path, boot=AFTER) as again:
        again.daemon.uploads = False
        assert again.taken_back == []
        await again.files.sync_directory()
        disk.mark("again")
    for left in poor(disk.up_to("again"), "again"):
        async with file_layer(left, boot="one more") as last:
            last.daemon.uploads = False
            assert await content_of(last, b"file") == noise(2 * BLOCK)


async def test_a_file_that_was_deleted_while_open_is_there_again_if_that_is_undone(
    tmp_path: Path,
) -> None:
    """Opening the replica deletes it for good, and that is undone as well."""
    async with file_layer(tmp_path, relaxed=True) as layer:
        layer.daemon.uploads = False
        await layer.files.sync(await saved(layer, b"old", noise(BLOCK, "old")))
        before = set((tmp_path / "staging" / PROJECT).iterdir())
        await saved(layer, b"new", noise(BLOCK, "new"))
        await layer.files.open(layer.files.lookup(ROOT, b"old").ino, os.O_RDONLY)
        layer.files.unlink(ROOT, b"old")
    [torn] = set((tmp_path / "staging" / PROJECT).iterdir()) - before
    torn.chmod(0o600)
    torn.write_bytes(b"")
    async with file_layer(tmp_path, boot=AFTER) as again:
        again.daemon.uploads = False
        assert again.taken_back == ["new", "old"]
        assert await content_of(again, b"old") == noise(BLOCK, "old")
        assert await content_of(again, b"new") == b""


# -- the pieces --------------------------------------------------------------------------------------


def test_every_table_of_a_replica_can_be_undone(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "replica.db", bytes(32))
    tables = database.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")
    assert {table for (table,) in tables} == {*KEYS, TABLE}
    for table, keys in KEYS.items():
        columns = database.rows(f"SELECT name FROM pragma_table_info('{table}')")
        assert tuple(name for (name,) in columns[: len(keys)]) == keys
    database.close()


def test_a_part_that_was_undone_at_once_is_not_undone_again(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "replica.db", bytes(32))
    with database.transaction():
        database.change("INSERT INTO orphan VALUES (1)")
    with database.transaction([BlockId(bytes(32))]):
        with contextlib.suppress(ValueError), database.attempt():
            database.change("DELETE FROM orphan")
            raise ValueError
        database.change("INSERT INTO orphan VALUES (2)")
    database.take_back(1)
    assert database.rows("SELECT ino FROM orphan") == [(1,)]
    database.close()


def test_a_row_that_changed_its_key_and_changed_again_is_as_it_was(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "replica.db", bytes(32))
    with database.transaction():
        database.change("INSERT INTO pending VALUES (1, x'01', x'02'), (2, x'03', x'04')")
    before = database.rows("SELECT * FROM pending ORDER BY id")
    with database.transaction([BlockId(bytes(32))]):
        database.change("UPDATE pending SET id = 7 WHERE id = 1")
        database.change("UPDATE pending SET id = 1, intent = x'05' WHERE id = 2")
    with database.transaction():
        database.change("DELETE FROM pending WHERE id = 7")
        database.change("INSERT INTO pending VALUES (2, x'06', x'07')")
    database.take_back(1)
    assert database.rows("SELECT * FROM pending ORDER BY id") == before
    database.close()
