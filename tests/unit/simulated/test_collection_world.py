"""Collectors that crash, freeze and race with writers delete nothing that anybody was promised."""

from __future__ import annotations

from collections import Counter

import pytest
from lab.collection_world import DAY_NS, Collector, World
from lab.soak_collection import run_seed


@pytest.mark.timeout(300)  # 2 s of processor time, of which there may be little
def test_whatever_crashes_sleeps_or_races_nothing_that_is_used_is_deleted() -> None:
    happened: Counter[str] = Counter()
    for seed in range(20):
        happened += run_seed(seed, steps=1200)
    # Each of these is a way in which it could go wrong: a world without them proves nothing.
    for what in (
        "blocks deleted",
        "blocks final",
        "blocks taken back",
        "collectors frozen",
        "collectors killed",
        "entries of collectors that came second",
        "works sealed anew",
        "rounds of a part",
        "checkpoints made",
        "checkpoints deleted",
        "checkpoints of pieces that are listed",
    ):
        assert happened[what], what


@pytest.mark.timeout(300)
async def test_what_nobody_uses_is_gone_in_the_end() -> None:
    world = World(1)
    await world.live(600, collectors=2)
    world.writers.clear()
    for _ in range(3):
        world.now_ns += 40 * DAY_NS
        await alone(world)
    world.check()
    assert world.happened["blocks deleted"]
    assert world.bucket == world.needed_now().union(*world.checkpoints.values())


async def alone(world: World) -> None:
    """Have one collector do a round that nobody disturbs."""
    collector = Collector(world)
    collector._ahead_ns = 0
    collector.most = None
    collector.turn = _at_once  # type: ignore[method-assign]
    await collector.round()


async def _at_once() -> None:
    return
