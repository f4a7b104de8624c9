"""Collectors that crash, freeze and race with writers, on one source of chance.

What must hold is checked after every step (`lab.collection_world`): what is named, what was named
within the retention, what is kept, and what waits on workstations that were not away for longer is
in the bucket.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from lab.collection_world import World

STEPS = 1200


def run_seed(seed: int, steps: int = STEPS) -> Counter[str]:
    """Run one project through *steps* steps; return what happened."""
    world = World(seed)
    asyncio.run(world.live(steps, collectors=3))
    return world.project.happened
