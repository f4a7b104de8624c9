"""What a question for a block says besides the block."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from socket_fixture import served

from lucidnode.node.client import wire
from lucidnode.node.client.errors import Malformed, Withheld
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.daemon_socket.blocks import MAX_PATIENCE_S, BlockRoutes

PROJECT = ProjectId("0" * 32)
BLOCK = BlockId(b"b" * 32)


class Blocks:
    """A cache that has every block, but for an indexer."""

    def __init__(self) -> None:
        self.readings: list[wire.Reading | None] = []

    async def obtain(
        self, project: ProjectId, block: BlockId, *, reading: wire.Reading | None, **_more: object
    ) -> tuple[wire.Source, None]:
        self.readings.append(reading)
        if reading is not None and reading.program == "tumblerd":
            raise Withheld("not for it")
        return "cache", None


def room(blocks: Blocks) -> BlockRoutes:
    return BlockRoutes(cast("Any", blocks))


async def test_the_daemon_hears_which_program_reads_and_through_which_opening(
    tmp_path: Path,
) -> None:
    blocks = Blocks()
    said = [
        None,
        wire.Reading("DaVinci Resolve & é/?=", "a-1", 1 << 20, ahead=True),
        wire.Reading("x" * 255, "a-2", 0, ahead=False),
    ]
    async with served(tmp_path / "daemon.sock", room(blocks)) as client:
        ask = partial(client.blocks.obtain, PROJECT, BLOCK, patience_s=5)
        for reading in said:
            assert await ask(reading=reading) == ("cache", None)
        assert blocks.readings == said
        with pytest.raises(Withheld, match="not for it"):
            await ask(reading=wire.Reading("tumblerd", "a-3", 1, ahead=False))
        for bad in (
            wire.Reading("x" * 256, "a-1", 1, ahead=False),
            wire.Reading("", "a-1", 1, ahead=False),
            wire.Reading("x", "a" * 65, 1, ahead=False),
            wire.Reading("x", "", 1, ahead=False),
            wire.Reading("x", "a-1", 1 << 40, ahead=False),
            wire.Reading("x", "a-1", -1, ahead=False),
        ):
            with pytest.raises(Malformed):
                await ask(reading=bad)


async def test_nobody_waits_longer_for_a_block_than_the_daemon_lets_him(tmp_path: Path) -> None:
    blocks = Blocks()
    async with served(tmp_path / "daemon.sock", room(blocks)) as client:
        for patience in (f"{MAX_PATIENCE_S + 1}", "nan", "inf", "-1", "soon"):
            headers, path = {wire.PATIENCE_HEADER: patience}, f"/v1/p/{PROJECT}/block/{BLOCK.hex()}"
            with pytest.raises(Malformed, match="patience"):
                async with client.blocks._transport.request("GET", path, headers=headers):
                    pass
    assert not blocks.readings
