"""What the daemon is asked for, and what is looked for on this disk first."""

from __future__ import annotations

import contextlib
from pathlib import Path

from file_layer_fixture import KEYS, PROJECT, FakeDaemon

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.read.block_fetcher import BlockAsker, BlockFetcher
from lucidnode.fs.read.block_files import BlockFiles
from lucidnode.fs.read.reading_programs import ReadingPrograms
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.bad_blocks import BadBlocks
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.guarded_disk import DiskAlert, GuardedDisk
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.supervision import supervised


async def test_only_a_block_that_came_lately_is_looked_for_on_this_disk(tmp_path: Path) -> None:
    """Who wants it has looked just before, and the daemon says so in the rare case that it is there."""
    daemon = FakeDaemon(tmp_path / "bucket", tmp_path / "blocks", tmp_path / "staging")
    daemon.bucket.mkdir()
    names = [BlockName(BlockId(bytes([number]) * 32), 1, bytes(32), 4096) for number in range(2)]
    clock = SystemClock()
    alerts = Alerts(clock)
    looks = GuardedDisk("the cache", threads=1, clock=clock, alert=DiskAlert("the cache", alerts))
    with contextlib.closing(looks):
        async with supervised(alerts, clock) as tasks:
            files = BlockFiles(
                KEYS, daemon.blocks_dir, daemon.staging_dir, looks, most_open=8, channel=False
            )
            bad: BadBlocks[BlockId] = BadBlocks(clock, lambda _: None)
            programs = ReadingPrograms(clock, lambda _: [])
            fetcher = BlockFetcher(
                PROJECT, files, daemon, clock, lambda *_: None, bad, tasks, programs, "layer"
            )
            asker = BlockAsker(fetcher.deadline())
            for name in names:
                (daemon.bucket / name.id.hex()).write_bytes(b"ciphertext")
                for _ in range(2):
                    await fetcher.fetch(name, asker, as_bytes=False)
            assert daemon.asked == [name.id for name in names]
            daemon.evict()
            await fetcher.fetch(names[0], asker, as_bytes=False)
            assert daemon.asked[2:] == [names[0].id]
            await fetcher.fetch(names[0], asker, as_bytes=True)
            assert daemon.asked[3:] == [names[0].id]
