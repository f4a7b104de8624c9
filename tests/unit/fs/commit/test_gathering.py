"""How long work gathers before it becomes an entry: little after a rest, for others wait to see a save."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from file_layer_fixture import ME
from lab.soak_files import VirtualClock
from lab.virtual_loop import run_virtual
from write_seats import NAMES, WriteSeat, WriteStudio

from lucidnode.fs.commit.sender import BATCH_INTERVAL_S, FIRST_INTERVAL_S, REST_S
from lucidnode.fs.replica.inode import ROOT

_STEP_S = 0.001


async def saved(seat: WriteSeat, name: bytes) -> None:
    _, (handle, _) = seat.layer.files.create(ROOT, name, 0o644, ME, os.O_RDWR, 0)
    await seat.write(handle, b"a small save")
    await seat.close(handle)


def test_the_first_save_after_a_rest_goes_at_once_and_those_that_follow_gather(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        studio = WriteStudio.of(tmp_path)
        now = asyncio.get_running_loop().time
        async with studio.seat(NAMES[0], None, VirtualClock()) as seat:

            async def until_entries(count: int) -> None:
                while len(studio.bucket.entries) < count:
                    await asyncio.sleep(_STEP_S)

            await saved(seat, b"first of all")
            await until_entries(1)
            await asyncio.sleep(10 * REST_S)
            before = len(studio.bucket.entries)
            begun = now()
            await saved(seat, b"first")
            await until_entries(before + 1)
            assert FIRST_INTERVAL_S <= now() - begun < BATCH_INTERVAL_S
            for number in range(20):
                await saved(seat, b"%d" % number)
                await asyncio.sleep(REST_S / 10)
            while seat.layer.replica.pending.has_work():
                await asyncio.sleep(_STEP_S)
            assert len(studio.bucket.entries) <= before + 2 * REST_S / BATCH_INTERVAL_S + 2

    run_virtual(run, 1)
