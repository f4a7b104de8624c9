"""What others make this process hold stays within one budget, and somebody always gets on."""

from __future__ import annotations

import asyncio
from random import Random  # noqa: TID251 - seeded

import pytest
from lab.virtual_loop import run_virtual

from lucidnode.node.peers.memory_budget import MAX_SHARE, MemoryBudget

LIMIT = 100


@pytest.mark.parametrize("seed", range(20))
def test_blocks_and_connections_never_pass_the_limit_together_and_all_blocks_pass(
    seed: int,
) -> None:

    chance = Random(seed)
    memory, connections, done = MemoryBudget(LIMIT), [0], 0
    memory.watch(lambda: connections[0])
    mine: dict[str, int] = {}

    async def block(who: str) -> None:
        nonlocal done
        size = chance.randrange(1, 50)
        async with memory.hold(who, size) as hold:
            mine[who] = mine.get(who, 0) + size
            assert memory.used <= LIMIT
            assert mine[who] <= LIMIT * MAX_SHARE or mine[who] == size
            await asyncio.sleep(chance.random())
            smaller = chance.randrange(size + 1)
            hold.change(smaller)
            mine[who] -= size - smaller
            await asyncio.sleep(chance.random())
            mine[who] -= smaller
        done += 1

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as tasks:
            for n in range(60):
                tasks.create_task(block(chance.choice("abc")))
                connections[0] = 10 if n % 2 and memory.has_room(10) else 0
                await asyncio.sleep(chance.random() / 10)

    run_virtual(all_of_them, seed)
    assert done == 60
    connections[0] = 0
    assert memory.used == 0


async def test_a_block_goes_on_even_where_connections_hold_everything() -> None:
    memory = MemoryBudget(LIMIT)
    memory.watch(lambda: LIMIT)
    async with asyncio.timeout(1), memory.hold("a", 50):
        assert not memory.has_room(1)


async def test_one_that_gives_up_waiting_holds_nothing() -> None:
    memory = MemoryBudget(LIMIT)
    async with memory.hold("a", 90):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), memory.hold("b", 50):
                raise AssertionError("it fits")
        assert memory.used == 90
    async with asyncio.timeout(1), memory.hold("b", 50):
        pass
    assert memory.used == 0
