"""Webhooks against a real HTTP server: each commit is told in order, also after a failure."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.webhooks import Webhooks

PROJECT = ProjectId("ab" * 16)


class QuickClock:
    """Real time, but pauses between attempts are short."""

    def boot(self) -> float:
        return asyncio.get_running_loop().time()

    def wall_ns(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


class Pipeline:
    """A receiver that refuses the first *refusals* requests with a server's error."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.asked = 0
        self.heard: list[dict[str, Any]] = []

    async def take(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.asked <= self.refusals:
            return web.Response(status=503)
        self.heard.append(await request.json())
        return web.Response()

    async def told(self, count: int, commits: int) -> None:
        """Run webhooks that announce *commits* until *count* of them arrived here."""
        app = web.Application()
        app.router.add_post("/hook", self.take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        webhooks = Webhooks([f"http://127.0.0.1:{runner.addresses[0][1]}/hook"], QuickClock())
        for seq in range(1, commits + 1):
            webhooks.announce(PROJECT, Seq(seq))
        try:
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                running = group.create_task(webhooks.run())
                while len(self.heard) < count:
                    await asyncio.sleep(0.01)
                running.cancel()
        finally:
            await runner.cleanup()


async def test_every_commit_is_told_in_order_by_id_and_number() -> None:
    pipeline = Pipeline(refusals=0)
    await pipeline.told(3, commits=3)
    assert pipeline.heard == [
        {"event": "commit", "project": PROJECT, "seq": seq} for seq in (1, 2, 3)
    ]


async def test_a_receiver_that_fails_twice_is_told_all_the_same() -> None:
    pipeline = Pipeline(refusals=2)
    await pipeline.told(1, commits=1)
    assert pipeline.asked == 3


async def test_a_receiver_that_keeps_failing_holds_nobody_up(expected_warnings: list[str]) -> None:
    expected_warnings.append("did not take entry 1")
    pipeline = Pipeline(refusals=3)
    await pipeline.told(1, commits=2)
    assert [news["seq"] for news in pipeline.heard] == [2]
