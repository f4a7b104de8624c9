"""Daemons of one office over real TLS and HTTP on loopback."""

from __future__ import annotations

import asyncio
from pathlib import Path

from office_fixture import PROJECT, Bucket, office_of


async def test_a_block_crosses_the_uplink_once_for_three_cold_nodes(tmp_path: Path) -> None:
    bucket = Bucket(seconds=0.05)
    blocks = bucket.fill(64, 100_000)
    async with office_of(3, tmp_path, bucket) as nodes:
        async with asyncio.TaskGroup() as tasks:
            for node in nodes:
                for block in blocks:
                    tasks.create_task(node.source.fetch(PROJECT, block))
        assert bucket.gets.total() == len(blocks)
        assert all(len(n.cache.blocks) == len(blocks) for n in nodes)
        print([n.traffic for n in nodes])
