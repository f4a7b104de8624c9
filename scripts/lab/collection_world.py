"""A project with writers and collectors, all in one process: what must not be deleted, whatever happens.

Every step of anybody, and every jump of time, is taken from one source of chance, so a seed is a history.
"""

from __future__ import annotations

import asyncio
from random import Random  # noqa: TID251  # seeded: a failure can be repeated

from lab.collected_project import DAY_NS, HOUR_NS, CollectedProject, Entry
from lab.collected_writer import CollectedWriter
from lab.collector import Collector
from lucidnode.fs.format.project_facts import COLLECTED, collected_in


class World:
    """All there is. *seed* decides everything."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)  # noqa: S311  # no secret: a seed is a history
        self.project = CollectedProject(self.chance)
        self.writers = [CollectedWriter(self.project, f"w{number}") for number in range(3)]
        self._waiting: list[tuple[Collector, asyncio.Event]] = []
        """Collectors that wait for their turn."""

    def check(self) -> None:
        """Raise LostBlock unless all that is promised is in the bucket."""
        self.project.check()
        for writer in self.writers:
            writer.check()

    # -- what happens ------------------------------------------------------------------------

    async def live(self, steps: int, *, collectors: int) -> None:
        """Have *steps* things happen, with so many collectors that come and go."""
        async with asyncio.TaskGroup() as group:
            running: dict[Collector, asyncio.Task[None]] = {}
            for _ in range(steps):
                self.project.happened["steps"] += 1
                for collector in [each for each, task in running.items() if task.done()]:
                    running.pop(collector).result()
                if len(running) < collectors and self.chance.random() < 0.3:
                    started = Collector(self.project, self._turn)
                    running[started] = group.create_task(started.round())
                await _settled()
                self._pass_time()
                self._happen(running)
                await _settled()
                self.check()
            for task in running.values():
                task.cancel()
            self._waiting.clear()

    async def _turn(self, collector: Collector) -> None:
        event = asyncio.Event()
        self._waiting.append((collector, event))
        await event.wait()

    def _happen(self, running: dict[Collector, asyncio.Task[None]]) -> None:
        awake = [each for each in self._waiting if each[0].frozen_until_ns <= self.project.now_ns]
        self.chance.choice(self.writers).step()
        what = self.chance.random()
        if awake and what < 0.9:
            each = self.chance.choice(awake)
            self._waiting.remove(each)
            each[1].set()
        elif awake and what < 0.91:
            each = self.chance.choice(awake)
            self.project.happened["collectors frozen"] += 1
            each[0].frozen_until_ns = self.project.now_ns + self.chance.choice([1, 30, 80]) * DAY_NS
        elif awake and what < 0.92:
            each = self.chance.choice(awake)
            self.project.happened["collectors killed"] += 1
            running[each[0]].cancel()
            self._waiting.remove(each)
            del running[each[0]]
        if self.chance.random() < 0.01:
            self._keep_a_point()

    def _keep_a_point(self) -> None:
        project = self.project
        if project.kept and self.chance.random() < 0.5:
            project.kept.discard(self.chance.choice(sorted(project.kept)))
            return
        oldest = collected_in(project.truth.facts.get(COLLECTED))
        if oldest <= len(project.log):
            # As an entry like any other: it is ordered with what makes lists final.
            project.kept.add(self.chance.randint(oldest, len(project.log)))
            project.add(len(project.log) + 1, Entry({}, {}))

    def _pass_time(self) -> None:
        what = self.chance.random()
        if what < 0.3:
            self.project.now_ns += self.chance.randint(1, 12) * HOUR_NS
        elif what < 0.305:
            self.project.now_ns += self.chance.randint(3, 40) * DAY_NS
        else:
            self.project.now_ns += self.chance.randint(1, 60) * 10**9


async def _settled() -> None:
    for _ in range(6):
        await asyncio.sleep(0)
