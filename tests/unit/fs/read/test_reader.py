"""The read path over real block files: right bytes from wherever they are, or a true error."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest
from file_layer_fixture import BLOCK, ME, FakeDaemon, FileLayer, QuickClock, file_layer

from lucidnode.fs.errors import BlockAmiss, FileMissing, Unreadable
from lucidnode.fs.read.block_fetcher import GIVEN_UP_S
from lucidnode.fs.read.read_ahead import Range
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.node.client import wire
from lucidnode.node.client.ids import BlockId, ProjectId

SIZE = 6 * BLOCK + 1234


def noise(size: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(size)


async def stored_file(
    layer: FileLayer, name: bytes = b"file", size: int = SIZE, seed: int = 1
) -> InodeNo:
    """Return a file of noise whose blocks are uploaded, and cached nowhere in memory."""
    ino, handle = await layer.create(name)
    await layer.files.write(handle, 0, noise(size, seed))
    await layer.files.flush(handle)
    layer.packer.pack()
    async with asyncio.timeout(10):
        while layer.buffer.size or any(layer.daemon.staging_dir.glob("*/*")):
            await asyncio.sleep(0.01)
    layer.files.release(handle)
    return ino


async def test_a_cold_file_is_fetched_once_and_then_read_from_disk(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer)
        layer.daemon.evict()
    async with file_layer(tmp_path) as layer:
        assert await layer.contents(ino) == noise(SIZE)
        asked = len(layer.daemon.asked)
        assert asked == len(set(layer.daemon.asked)) == 7
        assert layer.counts.by_source == {"cache": 0, "peer": 0, "bucket": SIZE}
        assert await layer.contents(ino) == noise(SIZE)
        assert len(layer.daemon.asked) == asked


async def test_only_what_came_over_the_network_is_counted_as_read_again(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer)
    async with file_layer(tmp_path) as layer:
        assert await layer.contents(ino) == noise(SIZE)
        assert layer.counts.by_source["cache"] == SIZE
        assert layer.counts.again == 0  # it was written here
        layer.daemon.evict()
    async with file_layer(tmp_path) as layer:
        assert await layer.contents(ino) == noise(SIZE)
        assert layer.counts.again == 0  # it comes now
    async with file_layer(tmp_path) as layer:
        assert await layer.contents(ino) == noise(SIZE)
        assert layer.counts.again == layer.counts.by_source["cache"] == SIZE


async def test_holes_and_the_end_of_a_file(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 3 * BLOCK, b"end")
        await layer.files.flush(handle)
        assert await layer.contents(ino) == bytes(3 * BLOCK) + b"end"
        assert bytes(await layer.files.read(handle, 3 * BLOCK + 1, 100)) == b"nd"
        assert bytes(await layer.files.read(handle, 3 * BLOCK + 3, 100)) == b""
        assert bytes(await layer.files.read(handle, 9 * BLOCK, 100)) == b""


@pytest.mark.parametrize("damage", ["flip", "truncate", "zero", "swap"])
async def test_a_damaged_cached_block_is_fetched_again(tmp_path: Path, damage: str) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer)
    cached = sorted((tmp_path / "blocks").glob("*/*"))
    for path, other in zip(cached, cached[1:] + cached[:1], strict=True):
        sound = path.read_bytes()
        match damage:
            case "flip":
                middle = len(sound) // 2
                flipped = bytes([sound[middle] ^ 1])
                path.write_bytes(sound[:middle] + flipped + sound[middle + 1 :])
            case "truncate":
                path.write_bytes(sound[:-1])
            case "zero":
                path.write_bytes(bytes(len(sound)))
            case _:
                path.write_bytes((tmp_path / "bucket" / other.name).read_bytes())
    async with file_layer(tmp_path) as layer:
        assert await layer.contents(ino) == noise(SIZE)
        assert set(layer.daemon.asked) == {
            extent.block.id for extent in layer.replica.tree.extents(ino, 0, SIZE)
        }


class StillClock(QuickClock):
    """A clock on which no time passes but what is slept."""

    def boot(self) -> float:
        return 1000.0 + self.slept


@pytest.mark.parametrize("amiss", ["damaged", "missing"])
async def test_what_no_source_gives_right_is_an_error_and_named_and_not_fetched_again(
    tmp_path: Path, amiss: str, expected_warnings: list[str]
) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer, size=BLOCK)
        layer.daemon.evict()
    [stored] = (tmp_path / "bucket").iterdir()
    right = stored.read_bytes()
    told = f"The file file cannot be read in part: block {stored.name[:16]} is {amiss} in"
    expected_warnings.append(told)
    spoil(stored, amiss)
    async with file_layer(tmp_path, clock=StillClock()) as layer:
        for _ in range(5):
            with pytest.raises(BlockAmiss):
                await layer.contents(ino)
        assert len(layer.daemon.asked) <= 3
        assert [told in alert.cause for alert in layer.alerts.current()] == [True]
        stored.write_bytes(right)
        layer.clock.slept += 2
        assert await layer.contents(ino) == noise(BLOCK)
        assert layer.alerts.current() == []


def spoil(stored: Path, amiss: str) -> None:
    """Have a stored block be *amiss*."""
    if amiss == "missing":
        stored.unlink()
    else:
        stored.write_bytes(bytes(stored.stat().st_size))


@contextlib.asynccontextmanager
async def unreadable_files(
    home: Path, amiss: str, *names: bytes
) -> AsyncIterator[tuple[FileLayer, dict[bytes, InodeNo], dict[Path, bytes]]]:
    """Yield a layer in which each of the files *names* was read in vain, and what its block was."""
    async with file_layer(home) as layer:
        files = {name: await stored_file(layer, name, BLOCK, seed=name[0]) for name in names}
        layer.daemon.evict()
    right = {path: path.read_bytes() for path in (home / "bucket").iterdir()}
    for path in right:
        spoil(path, amiss)
    async with file_layer(home, clock=StillClock()) as layer:
        for ino in files.values():
            with pytest.raises(BlockAmiss):
                await layer.contents(ino)
        assert len(layer.alerts.current()) == len(names)
        yield layer, files, right


@pytest.mark.parametrize("amiss", ["damaged", "missing"])
async def test_what_was_put_back_is_over_though_no_program_reads_it(
    tmp_path: Path, amiss: str, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be read in part")
    async with unreadable_files(tmp_path, amiss, b"a", b"b", b"c") as (layer, files, right):
        asked = set(layer.daemon.asked)
        layer.daemon.asked.clear()
        await layer.recovered.look()
        assert len(set(layer.daemon.asked)) == 1 < len(asked), "one in its turn"
        assert len(layer.alerts.current()) == 3
        for path, content in right.items():
            path.write_bytes(content)
        await layer.recovered.look()
        assert layer.alerts.current() == []
        layer.daemon.asked.clear()
        await layer.recovered.look()
        assert not layer.daemon.asked, "nothing is looked at while nothing is bad"
        for name, ino in files.items():
            assert await layer.contents(ino) == noise(BLOCK, name[0])


async def test_all_files_that_lie_in_a_bad_block_are_told_of_and_not_those_read_alone(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be read in part")
    async with file_layer(tmp_path) as layer:
        made = [await layer.create(b"note %d" % number) for number in range(5)]
        for _, handle in made:
            await layer.files.write(handle, 0, b"a few words")
            await layer.files.flush(handle)
        layer.packer.pack()
        async with asyncio.timeout(10):
            while layer.buffer.size or any(layer.daemon.staging_dir.glob("*/*")):
                await asyncio.sleep(0.01)
        for _, handle in made:
            layer.files.release(handle)
        layer.daemon.evict()
    [stored] = (tmp_path / "bucket").iterdir()
    spoil(stored, "damaged")
    async with file_layer(tmp_path, clock=StillClock()) as layer:
        for ino, _ in (made[4], made[2]):
            with pytest.raises(BlockAmiss):
                await layer.contents(ino)
        [alert] = layer.alerts.current()
        assert alert.cause.startswith("The files note 4, note 2 cannot be read")
        await layer.recovered.look()
        [alert] = layer.alerts.current()
        assert alert.cause.startswith("The files note 4, note 2, note 0 and 2 more cannot be read")


async def test_what_the_daemon_looks_at_by_itself_is_not_asked_for(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be read in part")
    async with unreadable_files(tmp_path, "damaged", b"a") as (layer, _, right):
        layer.daemon.bad_objects = [BlockId(bytes.fromhex(path.name)) for path in right]
        layer.daemon.asked.clear()
        await layer.recovered.look()
        assert not layer.daemon.asked


async def test_what_the_bucket_lost_and_the_office_has_is_put_back_while_files_lie_in_it(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be read in part")
    async with unreadable_files(tmp_path, "missing", b"a", b"b", b"c") as (layer, files, right):
        blocks = {
            name: layer.replica.tree.extents(ino, 0, BLOCK)[0].block.id
            for name, ino in files.items()
        }
        layer.daemon.in_the_office = {
            block: content
            for path, content in right.items()
            for block in [BlockId(bytes.fromhex(path.name))]
        }
        layer.files.unlink(ROOT, b"a")
        layer.daemon.bad_objects = list(blocks.values())
        await layer.recovered.look()
        assert layer.alerts.current() == []
        assert layer.daemon.unneeded.count(blocks[b"a"]) > 0
        assert not (layer.daemon.bucket / blocks[b"a"].hex()).exists(), "nobody needs it"
        for name in (b"b", b"c"):
            assert await layer.contents(files[name]) == noise(BLOCK, name[0])


@pytest.mark.parametrize("how", ["removed", "written over"])
async def test_a_block_that_no_file_lies_in_any_more_is_no_alert(
    tmp_path: Path, how: str, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be read in part")
    async with unreadable_files(tmp_path, "missing", b"a") as (layer, files, right):
        if how == "removed":
            layer.files.unlink(ROOT, b"a")
        else:
            handle, _ = await layer.files.open(files[b"a"], os.O_RDWR)
            await layer.files.write(handle, 0, noise(BLOCK, 99))
            await layer.files.flush(handle)
            layer.files.release(handle)
        await layer.recovered.look()
        assert layer.alerts.current() == []
        assert [block.hex() for block in layer.daemon.unneeded] == [path.name for path in right]


async def test_a_block_that_another_file_lies_in_goes_on_being_an_alert(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("cannot be read in part")
    async with unreadable_files(tmp_path, "missing", b"a") as (layer, files, _):
        layer.files.link(files[b"a"], ROOT, b"b")
        layer.files.unlink(ROOT, b"a")
        await layer.recovered.look()
        assert len(layer.alerts.current()) == 1
        assert not layer.daemon.unneeded


async def test_an_outage_is_waited_for_and_then_an_error(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer)
        layer.daemon.evict()
    async with file_layer(tmp_path) as layer:
        layer.daemon.unavailable = True
        with pytest.raises(Unreadable):
            await layer.contents(ino)
        assert 30 < layer.clock.slept < 60
        layer.clock.slept += GIVEN_UP_S
        reading = asyncio.ensure_future(layer.contents(ino))
        await asyncio.sleep(0.05)
        layer.daemon.unavailable = False
        assert await reading == noise(SIZE)


async def test_one_outage_is_waited_for_once_by_a_read_however_many_blocks_it_needs(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer)
        layer.daemon.evict()
    async with file_layer(tmp_path) as layer:
        layer.daemon.unavailable = True
        with pytest.raises(Unreadable):
            await layer.contents(ino)
        waited = layer.clock.slept
        with pytest.raises(Unreadable):  # as the kernel does for a page whose reading ahead failed
            await layer.contents(ino)
        assert layer.clock.slept - waited < 1


def damage(cached: Path, how: str) -> None:
    """Have every look at the cached file *cached* fail."""
    match how:
        case "not a directory":
            shelf = cached.parent
            for each in shelf.iterdir():
                each.unlink()
            shelf.rmdir()
            shelf.touch()
        case "a loop of links":
            cached.unlink()
            cached.symlink_to(cached)
        case "a directory":
            cached.unlink()
            cached.mkdir()
        case _:
            cached.unlink()
            os.mkfifo(cached)


@pytest.mark.parametrize("how", ["not a directory", "a loop of links", "a directory", "a pipe"])
async def test_a_fault_of_the_cache_disk_is_a_miss(
    tmp_path: Path, expected_warnings: list[str], how: str
) -> None:
    expected_warnings.append("The cache fails")
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer, size=BLOCK)
    [cached] = (tmp_path / "blocks").glob("*/*")
    damage(cached, how)
    async with file_layer(tmp_path) as layer:
        stubborn = Stubborn(layer.daemon)
        layer.segments._fetcher._daemon = stubborn
        assert await layer.contents(ino) == noise(BLOCK)
        assert stubborn.asked_for_bytes
        assert layer.alerts.is_on("cache-disk")


class Stubborn:
    """A daemon that believes its cache has every block."""

    def __init__(self, daemon: FakeDaemon) -> None:
        self._daemon = daemon
        self.asked_for_bytes = False

    async def obtain(
        self,
        project: ProjectId,
        block: BlockId,
        *,
        patience_s: float,
        as_bytes: bool = False,
        reading: wire.Reading | None = None,
    ) -> tuple[wire.Source, bytes | None]:
        if as_bytes:
            self.asked_for_bytes = True
            return "cache", (self._daemon.bucket / block.hex()).read_bytes()
        return "cache", None


async def test_a_fault_of_any_kind_ends_only_the_reading_ahead(
    tmp_path: Path, expected_warnings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_warnings.append("reading ahead")

    class Faulty(Stubborn):
        async def obtain(
            self,
            project: ProjectId,
            block: BlockId,
            *,
            patience_s: float,
            as_bytes: bool = False,
            reading: wire.Reading | None = None,
        ) -> tuple[wire.Source, bytes | None]:
            raise ZeroDivisionError

    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer)
        layer.daemon.evict()
    async with file_layer(tmp_path) as layer:
        expected_warnings.append("a fetch")
        layer.segments._fetcher._daemon, sound = (
            Faulty(layer.daemon),
            layer.segments._fetcher._daemon,
        )
        for extents in layer.reader.ahead._unknown(ino, Range(0, BLOCK)):
            layer.reader.ahead._begin(extents, None, None, 0)
        async with asyncio.timeout(10):
            while not all(told in caplog.text for told in expected_warnings):
                await asyncio.sleep(0.01)
        layer.segments._fetcher._daemon = sound
        assert await layer.contents(ino) == noise(SIZE)


async def test_a_cache_without_room_still_reads_each_block_once(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer)
        layer.daemon.evict()
    async with file_layer(tmp_path) as layer:
        layer.daemon.keeps = False
        handle, _ = await layer.files.open(ino, 0)
        found = b""
        while piece := await layer.files.read(handle, len(found), 100_000):
            found += bytes(piece)
        assert found == noise(SIZE)
        assert len(layer.daemon.asked) <= 8


async def test_readers_of_one_block_share_one_question(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer, size=BLOCK)
        layer.daemon.evict()
    async with file_layer(tmp_path) as layer:
        async with asyncio.TaskGroup() as tasks:
            reads = [tasks.create_task(layer.contents(ino)) for _ in range(20)]
        assert all(read.result() == noise(BLOCK) for read in reads)
        assert len(layer.daemon.asked) == 1


async def test_a_reader_that_goes_away_leaves_the_others_their_answer(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer, size=BLOCK)
        layer.daemon.evict()
    async with file_layer(tmp_path) as layer:
        layer.daemon.unavailable = True
        second, first = [asyncio.ensure_future(layer.contents(ino)) for _ in range(2)]
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0.01)
        layer.daemon.unavailable = False
        assert await second == noise(BLOCK)


async def test_a_forward_reader_finds_its_blocks_already_there(tmp_path: Path) -> None:
    size = 40 * BLOCK
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer, size=size)
        layer.daemon.evict()
    async with file_layer(tmp_path) as layer:
        handle, _ = await layer.files.open(ino, 0)
        for offset in range(0, size, 32 * 1024):
            await layer.files.read(handle, offset, 32 * 1024)
            await asyncio.sleep(0.001)
        assert len(layer.daemon.asked) == 40
        assert layer.counts.ahead > 30 * BLOCK
        assert layer.counts.ahead_used == layer.counts.ahead


async def test_frames_of_a_sequence_come_before_they_are_opened(tmp_path: Path) -> None:
    """Opened by number alone, as the kernel opens what it knows from a listing."""
    names = [b"shot.%04d.exr" % number for number in range(30)]
    async with file_layer(tmp_path) as layer:
        frames = [
            await stored_file(layer, name, BLOCK, seed=number) for number, name in enumerate(names)
        ]
        layer.daemon.evict()
    async with file_layer(tmp_path) as layer:
        for ino in frames[:5]:
            handle, _ = await layer.files.open(ino, 0)
            layer.files.release(handle)
        async with asyncio.timeout(10):
            while layer.counts.ahead < 4 * BLOCK:
                await asyncio.sleep(0.01)


async def test_a_file_deleted_by_another_node_is_gone_and_not_empty(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer)
        handle, _ = await layer.files.open(ino, 0)
        layer.files.unlink(ROOT, b"file")
        assert bytes(await layer.files.read(handle, 0, 10)) == noise(SIZE)[:10]
        await layer.replica.barrier()
        layer.files.release(handle)
        with pytest.raises(FileMissing):
            await layer.files.open(ino, 0)


async def test_who_found_a_file_by_path_reads_it_though_it_was_replaced_meanwhile(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer)
        layer.files.lifetimes.count_lookup(layer.files.lookup(ROOT, b"file"))
        layer.files.lifetimes.count_lookup(layer.files.attributes(ino))
        layer.files.make(ROOT, b"next", 0o100644, ME)
        layer.files.rename(ROOT, b"next", ROOT, b"file", 0)
        assert await layer.contents(ino) == noise(SIZE)
        with pytest.raises(FileMissing):
            await layer.files.open(ino, os.O_RDWR)
        layer.files.lifetimes.forget_lookups(ino, 1)
        assert await layer.contents(ino) == noise(SIZE)
        layer.files.lifetimes.forget_lookups(ino, 1)
        with pytest.raises(FileMissing):
            await layer.files.open(ino, os.O_RDONLY)


async def test_a_file_that_the_kernel_forgets_is_kept_for_a_handle_that_is_still_there(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer)
        layer.files.lifetimes.count_lookup(layer.files.lookup(ROOT, b"file"))
        layer.files.make(ROOT, b"next", 0o100644, ME)
        layer.files.rename(ROOT, b"next", ROOT, b"file", 0)
        handle, _ = await layer.files.open(ino, os.O_RDONLY)
        layer.files.lifetimes.forget_lookups(ino, 1)
        assert bytes(await layer.files.read(handle, 0, 10)) == noise(SIZE)[:10]
        layer.files.release(handle)
        with pytest.raises(FileMissing):
            layer.files.attributes(ino)


async def test_pages_are_kept_until_another_node_changes_the_file(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino = await stored_file(layer)
        assert (await layer.files.open(ino, 0))[1]
        layer.files.lifetimes.content_changed(frozenset({ino}))
        assert not (await layer.files.open(ino, 0))[1]
        assert (await layer.files.open(ino, 0))[1]


async def test_an_open_drops_no_pages_where_the_kernel_has_none_yet(tmp_path: Path) -> None:
    """It would wait for those that who opened the file a moment later reads already."""
    async with file_layer(tmp_path) as layer:
        layer.files.make(ROOT, b"file", 0o100644, ME)
        found = layer.files.lookup(ROOT, b"file")
        layer.files.lifetimes.count_lookup(found)
        assert (await layer.files.open(found.ino, 0))[1]


async def test_of_a_file_that_the_kernel_forgot_it_holds_no_pages(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino = layer.files.make(ROOT, b"file", 0o100644, ME).ino
        lifetimes = layer.files.lifetimes
        lifetimes.content_changed(frozenset({ino}))
        assert (await layer.files.open(ino, 0))[1], "it was never told of it"
        layer.files.release((await layer.files.open(ino, 0))[0])
        lifetimes.count_lookup(layer.files.attributes(ino))
        lifetimes.content_changed(frozenset({ino}))
        lifetimes.forget_lookups(ino, 1)
        assert (await layer.files.open(ino, 0))[1]
