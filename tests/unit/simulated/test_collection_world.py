"""Collectors that crash, freeze and race with writers delete nothing that anybody was promised."""

from __future__ import annotations

from collections import Counter

import pytest
from lab.collected_project import DAY_NS, CollectedProject
from lab.collection_world import World
from lab.collector import Collector
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
    project = world.project
    for _ in range(3):
        project.now_ns += 40 * DAY_NS
        await alone(project)
    world.check()
    assert project.happened["blocks deleted"]
    assert project.bucket == project.needed_now().union(*project.checkpoints.values())


async def alone(project: CollectedProject) -> None:
    """Have one collector do a round that nobody disturbs."""
    collector = Collector(project, _at_once)
    collector._ahead_ns = 0
    collector.most = None
    await collector.round()


async def _at_once(_collector: Collector) -> None:
    return
