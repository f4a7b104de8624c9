"""Checking blocks against their names."""

from __future__ import annotations

import asyncio

import pytest

from lucidnode.node.cache.verified import block_id, verified_aside
from lucidnode.node.client.errors import Corrupt

LARGE = bytes(range(256)) * 4096


async def test_a_large_block_is_hashed_while_the_loop_goes_on() -> None:
    async with asyncio.TaskGroup() as tasks:
        checking = tasks.create_task(verified_aside(block_id(LARGE), LARGE))
        await asyncio.sleep(0)  # its first step
        assert not checking.done()
    assert checking.result() is LARGE


@pytest.mark.parametrize("size", [1, len(LARGE)])
async def test_what_is_not_the_block_is_refused_wherever_it_is_hashed(size: int) -> None:
    with pytest.raises(Corrupt):
        await verified_aside(block_id(b"another"), LARGE[:size])
