"""`copy_file_range` and `fallocate` over a real replica and real blocks, against byte strings."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest
from file_layer_fixture import BLOCK, FileLayer, file_layer

from lucidnode.fs.errors import FileTooBig, Invalid, NoSpace, Unsupported
from lucidnode.fs.files.file_system import AttributeChanges
from lucidnode.fs.files.range_changes import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE
from lucidnode.fs.replica.inode import MAX_FILE_SIZE, InodeNo

PUNCH = PUNCH_HOLE | KEEP_SIZE


def noise(size: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(size)


async def copy(layer: FileLayer, source: int, start: int, target: int, at: int, size: int) -> int:
    """Copy as `cp` does: until nothing comes any more. Return how many bytes came."""
    done = 0
    while more := await layer.files.ranges.copy(
        source, start + done, target, at + done, size - done
    ):
        done += more
    return done


def _files_below(home: Path) -> int:
    return sum(1 for _ in home.rglob("*"))


async def until_staged(layer: FileLayer) -> None:
    """Return once blocks are staged that the replica does not name."""
    while not layer.unsaved.staged_blocks():
        await asyncio.sleep(0)


async def saved(layer: FileLayer, name: bytes, data: bytes) -> tuple[InodeNo, int]:
    ino, handle = await layer.create(name)
    await layer.files.write(handle, 0, data)
    await layer.files.flush(handle)
    return ino, handle


async def test_a_copy_shares_blocks_and_moves_no_bytes(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        data = noise(8 * BLOCK)
        source, reader = await saved(layer, b"source", data)
        target, writer = await layer.create(b"target")
        written, staged = layer.writer.written, _files_below(tmp_path)
        assert await copy(layer, reader, 0, writer, 0, 1 << 40) == len(data)
        await layer.files.flush(writer)
        assert layer.writer.written == written
        assert _files_below(tmp_path) == staged
        assert not layer.daemon.asked
        extents = [layer.replica.tree.extents(ino, 0, len(data)) for ino in (source, target)]
        assert extents[0] == extents[1]
        assert await layer.contents(target) == data
        # One is changed, and the other is not.
        await layer.files.write(reader, 10, b"changed")
        assert await layer.contents(target) == data
    async with file_layer(tmp_path) as again:
        assert await again.contents(target) == data


async def test_a_copy_of_what_is_not_saved_yet_has_all_of_it(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        data = noise(3 * BLOCK + 777)
        _, reader = await layer.create(b"source")
        await layer.files.write(reader, 0, data)
        before = noise(4 * BLOCK, 2)
        target, writer = await saved(layer, b"target", before)
        await layer.files.write(writer, BLOCK, b"not saved, and covered")
        await layer.files.write(writer, 0, b"above")
        assert await copy(layer, reader, 100, writer, 10, 1 << 40) == len(data) - 100
        expected = b"above" + before[5:10] + data[100:]
        expected += before[len(expected) :]
        assert await layer.contents(target) == expected
        await layer.files.flush(writer)
    async with file_layer(tmp_path) as again:
        assert await again.contents(target) == expected


async def test_a_copy_waits_for_nobody_though_its_source_is_elsewhere_and_nobody_answers(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path) as layer:
        data = noise(3 * BLOCK)
        _, reader = await saved(layer, b"source", data)
        _, writer = await layer.create(b"target")
        layer.daemon.evict()
        layer.daemon.frozen = True
        await layer.files.write(reader, BLOCK, b"not staged yet")
        assert await copy(layer, reader, 0, writer, 0, 1 << 40) == len(data)
        await layer.files.flush(writer)
        assert not layer.daemon.asked
        layer.daemon.frozen = False
        expected = data[:BLOCK] + b"not staged yet" + data[BLOCK + 14 :]
        assert await layer.files.read(writer, 0, 1 << 40) == expected


async def test_a_file_copied_in_small_pieces_has_few_extents(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        data = noise(2 * BLOCK)
        _, reader = await saved(layer, b"source", data)
        target, writer = await layer.create(b"target")
        for at in range(0, len(data), 4096):
            assert await layer.files.ranges.copy(reader, at, writer, at, 4096) == 4096
        assert len(layer.replica.tree.extents(target, 0, len(data))) == 2
        assert await layer.contents(target) == data


async def test_a_file_of_terabytes_is_copied_in_few_steps(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        _, reader = await saved(layer, b"source", b"begins")
        _, writer = await layer.create(b"target")
        far = 1 << 44
        await layer.files.write(reader, far, b"ends")
        steps = 0
        at = 0
        while more := await layer.files.ranges.copy(reader, at, writer, at, 1 << 50):
            at, steps = at + more, steps + 1
        assert (at, steps) == (far + 4, 1)
        assert await layer.files.read(writer, 0, 8) == b"begins\0\0"
        assert await layer.files.read(writer, far - 4, 8) == b"\0\0\0\0ends"


async def test_a_copy_that_goes_on_leaves_what_was_written_before_it(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        data = noise(BLOCK)
        _, reader = await saved(layer, b"source", data)
        target, writer = await layer.create(b"target")
        await layer.files.ranges.copy(reader, 0, writer, 0, 4096)
        await layer.files.write(writer, 10, b"a tail")
        await layer.files.flush(writer)
        await layer.files.ranges.copy(reader, 4096, writer, 4096, 4096)
        assert await layer.contents(target) == data[:10] + b"a tail" + data[16:8192]


async def test_a_copy_lives_on_when_its_source_is_deleted_before_it_is_uploaded(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path) as layer:
        layer.daemon.uploads = False
        source, reader = await saved(layer, b"source", noise(2 * BLOCK))
        target, writer = await layer.create(b"target")
        await copy(layer, reader, 0, writer, 0, 1 << 40)
        await layer.files.flush(writer)
        layer.files.release(writer)
        layer.files.unlink(InodeNo(1), b"source")
        layer.files.release(reader)
        assert layer.replica.tree.attributes(source) is None
        await layer.deleted_files.look()
        assert await layer.contents(target) == noise(2 * BLOCK)
    async with file_layer(tmp_path) as again:
        assert await again.contents(target) == noise(2 * BLOCK)


async def test_a_save_by_copying_ends_with_a_close(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        _, reader = await saved(layer, b"source", noise(BLOCK))
        target, writer = await layer.create(b"target")
        await copy(layer, reader, 0, writer, 0, 1 << 40)
        assert target in layer.unfinished
        await layer.files.flush(writer)
        assert target not in layer.unfinished


async def test_holes_are_punched_through_all_layers(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        data = bytearray(noise(3 * BLOCK))
        ino, handle = await saved(layer, b"file", bytes(data))
        await layer.files.write(handle, 5, b"a tail")
        await layer.files.flush(handle)
        await layer.files.write(handle, BLOCK, b"in memory")
        await layer.files.ranges.allocate(handle, 8, BLOCK, PUNCH)
        data[5:11] = b"a tail"
        data[BLOCK : BLOCK + 9] = b"in memory"
        data[8 : 8 + BLOCK] = bytes(BLOCK)
        assert await layer.contents(ino) == data
        assert layer.files.occupied(layer.files.attributes(ino)) < 2 * BLOCK + 20
        assert layer.files.attributes(ino).size == 3 * BLOCK
        await layer.files.ranges.allocate(handle, 2 * BLOCK, 4 * BLOCK, PUNCH)
        assert layer.files.attributes(ino).size == 3 * BLOCK
        await layer.files.ranges.allocate(handle, 0, 4 * BLOCK, ZERO_RANGE)
        assert await layer.contents(ino) == bytes(4 * BLOCK)
        await layer.files.flush(handle)
    async with file_layer(tmp_path) as again:
        assert await again.contents(ino) == bytes(4 * BLOCK)
        assert again.files.occupied(again.files.attributes(ino)) == 0


async def test_a_file_grows_by_fallocate_and_keeps_what_it_has(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, b"here")
        await layer.files.ranges.allocate(handle, 0, 1000, KEEP_SIZE)
        assert layer.files.attributes(ino).size == 4
        await layer.files.ranges.allocate(handle, 2, 1000, 0)
        await layer.files.ranges.allocate(handle, 0, 10, 0)
        assert await layer.contents(ino) == b"here".ljust(1002, b"\0")


async def test_what_no_file_can_have_is_refused(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        _, handle = await layer.create()
        for mode in (PUNCH_HOLE, 0x08, 0x20, 0x40 | KEEP_SIZE, PUNCH | ZERO_RANGE):
            with pytest.raises(Unsupported):
                await layer.files.ranges.allocate(handle, 0, 10, mode)
        with pytest.raises(Invalid):
            await layer.files.ranges.allocate(handle, 0, 0, 0)
        with pytest.raises(FileTooBig):
            await layer.files.ranges.allocate(handle, MAX_FILE_SIZE, 1, 0)
        with pytest.raises(FileTooBig):
            await layer.files.ranges.copy(handle, 0, handle, MAX_FILE_SIZE, 1)


async def test_a_copy_of_what_cannot_be_saved_says_so(tmp_path: Path) -> None:
    async with file_layer(tmp_path, staging_limit=0) as layer:
        _, reader = await layer.create(b"source")
        _, writer = await layer.create(b"target")
        await layer.files.write(reader, 0, noise(2 * BLOCK))
        with pytest.raises(NoSpace):
            await layer.files.ranges.copy(reader, 0, writer, 0, BLOCK)


async def test_a_mapped_page_stays_in_its_place_whatever_handle_it_comes_through(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path) as layer:
        ino, handle = await saved(layer, b"file", b"a" * 9000)
        appending, _ = await layer.files.open(ino, os.O_RDWR | os.O_APPEND)
        await layer.files.write(appending, 0, b"end")
        await layer.files.write(appending, 0, b"page", in_place=True)
        assert await layer.contents(ino) == b"page" + b"a" * 8996 + b"end"
        layer.files.release(handle)


@pytest.mark.parametrize("seed", range(2))
async def test_any_mixture_of_changes_is_that_of_byte_strings(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    async with file_layer(tmp_path) as layer:
        files = [await layer.create(b"%d" % number) for number in range(3)]
        model = [bytearray() for _ in files]
        for _ in range(60):
            of, other = random.randrange(3), random.randrange(3)
            at, start = random.randrange(3 * BLOCK), random.randrange(3 * BLOCK)
            size = random.choice((1, 5000, BLOCK // 2, 2 * BLOCK))
            handle = files[of][1]
            match random.choice(("write", "write", "copy", "copy", "punch", "grow", "cut", "save")):
                case "write":
                    data = random.randbytes(size)
                    await layer.files.write(handle, at, data)
                    _lay(model[of], at, data)
                case "copy" if of != other or abs(at - start) >= size:
                    data = bytes(model[other][start : start + size])
                    wanted = size if of != other else len(data)
                    came = await copy(layer, files[other][1], start, handle, at, wanted)
                    assert came == len(data)
                    if data:
                        _lay(model[of], at, data)
                case "copy":
                    pass  # the kernel refuses ranges that overlap
                case "punch":
                    await layer.files.ranges.allocate(handle, at, size, PUNCH)
                    held = len(model[of][at : at + size])
                    model[of][at : at + held] = bytes(held)
                case "grow":
                    await layer.files.ranges.allocate(handle, at, size, 0)
                    _lay(model[of], at + size, b"")
                case "cut":
                    await layer.files.set_attributes(files[of][0], AttributeChanges(size=at), None)
                    model[of] = model[of][:at].ljust(at, b"\0")
                case "save":
                    await layer.files.flush(handle)
                    layer.packer.pack()
            assert layer.files.attributes(files[of][0]).size == len(model[of])
        for (ino, handle), content in zip(files, model, strict=True):
            assert await layer.contents(ino) == content
            await layer.files.flush(handle)
    async with file_layer(tmp_path) as again:
        for (ino, _), content in zip(files, model, strict=True):
            assert await again.contents(ino) == content


def _lay(content: bytearray, at: int, data: bytes) -> None:
    content.extend(bytes(max(at - len(content), 0)))
    content[at : at + len(data)] = data


async def test_a_copy_ends_while_another_file_has_the_same_block_unsaved(tmp_path: Path) -> None:
    async with file_layer(tmp_path) as layer:
        data = noise(2 * BLOCK)
        _, reader = await saved(layer, b"source", data)
        _, under_way = await layer.create(b"alike")
        await layer.files.write(under_way, 0, data)
        await until_staged(layer)
        target, writer = await layer.create(b"target")
        assert await layer.files.ranges.copy(reader, 0, writer, 0, len(data)) == len(data)
        assert await layer.contents(target) == data
