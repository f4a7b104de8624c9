"""Which program reads is known by its command line, and who is held back harms no other."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from disk_fixture import ManualClock
from file_layer_fixture import BLOCK, FileLayer, file_layer

from lucidnode.fs.errors import HeldBack
from lucidnode.fs.read.reading_programs import (
    KNOWN_S,
    ReadingPrograms,
    command_line,
    name_of,
)
from lucidnode.fs.replica.inode import InodeNo

ME = name_of(command_line(os.getpid()))
BLOCKS = 40


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["/usr/bin/totem-video-thumbnailer", "-s"], "totem-video-thumbnailer"),
        (["tumblerd"], "tumblerd"),
        (["/usr/bin/python3", "/usr/bin/blender-thumbnailer.py"], "blender-thumbnailer.py"),
        (["python3.13", "-m"], "python3.13"),
        (["/usr/lib/kf6/kioworker", "/usr/lib/qt6/plugins/kf6/kio/thumbnail.so"], "thumbnail.so"),
        (["cp", "/usr/bin/ffmpegthumbnailer"], "cp"),
        (["\ud800", ""], "\ufffd" * 3),
        (["x" * 300], "x" * 255),
        ([""], ""),
        ([], ""),
    ],
)
def test_a_program_is_called_as_it_was_started(words: list[str], name: str) -> None:
    assert name_of([word.encode(errors="surrogatepass") for word in words]) == name


def test_a_thread_is_the_program_whose_thread_it_is_and_what_is_gone_is_none() -> None:
    ids: list[int] = []
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        pass
    thread = threading.Thread(target=lambda: ids.append(threading.get_native_id()))
    thread.start()
    thread.join()
    assert command_line(threading.get_native_id()) == command_line(os.getpid()) != []
    assert command_line(process.pid) == []
    assert ReadingPrograms(ManualClock(), command_line).of(process.pid) is None


def test_who_cannot_be_seen_is_none_and_a_number_that_is_used_again_is_another() -> None:
    asked: list[int] = []

    def line(pid: int) -> list[bytes]:
        asked.append(pid)
        return [b"cat", b""] if len(asked) == 1 else [b"tumblerd"]

    clock = ManualClock()
    programs = ReadingPrograms(clock, line)
    assert programs.of(0) is None
    for _ in range(3):
        first = programs.of(7)
        assert first is not None
        assert first.name == "cat"
    assert asked == [7]
    clock.now += KNOWN_S
    then = programs.of(7)
    assert then is not None
    assert then.name == "tumblerd"


async def _cold_file(home: Path) -> InodeNo:
    async with file_layer(home) as layer:
        ino, handle = await layer.create()
        await layer.files.write(handle, 0, os.urandom(BLOCKS * BLOCK))
        await layer.files.flush(handle)
        layer.packer.pack()
        async with asyncio.timeout(10):
            while any(layer.daemon.staging_dir.glob("*/*")):
                await asyncio.sleep(0.001)
        layer.daemon.evict()
    return ino


def _hold_back(layer: FileLayer) -> None:
    layer.daemon.withholds = lambda reading: (
        reading.program == ME and (reading.ahead or reading.opening.endswith("-9"))
    )


async def test_nothing_is_fetched_ahead_of_who_is_held_back_and_what_he_reads_is(
    tmp_path: Path,
) -> None:
    ino = await _cold_file(tmp_path)
    async with file_layer(tmp_path) as layer:
        _hold_back(layer)
        handle, _ = await layer.files.open(ino, 0, os.getpid())
        said, ahead = layer.daemon.readings, 0
        for block in range(BLOCKS):
            if block == BLOCKS // 2:
                ahead = sum(reading is None or reading.ahead for reading in said)
            for offset in (block * BLOCK, block * BLOCK + BLOCK // 2):
                assert len(await layer.files.read(handle, offset, BLOCK // 2)) == BLOCK // 2
                await asyncio.sleep(0.002)
        assert layer.counts.ahead == 0
        assert sum(reading is None or reading.ahead for reading in said) == ahead > 0, "once told"
        assert len(said) - ahead == BLOCKS
        assert {reading.size for reading in said if reading is not None} == {BLOCK}


async def test_who_waits_for_the_same_block_as_one_who_is_held_back_gets_it(
    tmp_path: Path,
) -> None:
    ino = await _cold_file(tmp_path)
    async with file_layer(tmp_path) as layer:
        layer.daemon.withholds = lambda reading: reading.program == ME
        layer.daemon.frozen = True
        held, _ = await layer.files.open(ino, 0, os.getpid())
        free, _ = await layer.files.open(ino, 0)
        reads = [
            asyncio.ensure_future(layer.files.read(handle, 0, 4096)) for handle in (held, free)
        ]
        await asyncio.sleep(0.01)
        layer.daemon.frozen = False
        with pytest.raises(HeldBack) as refused:
            await reads[0]
        assert refused.value.errno == 5
        assert len(await reads[1]) == 4096
        # And what is here then is his as well.
        assert len(await layer.files.read(held, 0, 4096)) == 4096
