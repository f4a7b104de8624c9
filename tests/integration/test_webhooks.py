"""Webhooks against a real HTTP server: each commit is told in order, also after a failure."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from aiohttp import web
from lab.places import REPOSITORY

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.webhooks import ATTEMPTS, Webhooks

PROJECT = ProjectId("ab" * 16)
SECRET = "cd" * 32


class QuickClock:
    """Real time, but pauses between attempts are short."""

    def boot(self) -> float:
        return asyncio.get_running_loop().time()

    def wall_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


class Pipeline:
    """A receiver that answers the first *refusals* requests with *refusal*."""

    def __init__(self, refusals: int, refusal: web.Response | None = None) -> None:
        self.refusals = refusals
        self.refusal = refusal
        self.alerts = Alerts(QuickClock())
        self.signed: list[tuple[dict[str, str], bytes]] = []
        self.asked = 0
        self.heard: list[dict[str, Any]] = []

    async def take(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.asked <= self.refusals:
            headers = {} if self.refusal is None else dict(self.refusal.headers)
            status = 503 if self.refusal is None else self.refusal.status
            return web.Response(status=status, headers=headers)
        self.signed.append((dict(request.headers), await request.read()))
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
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        webhooks = Webhooks([url], SECRET, self.alerts, QuickClock())
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
    expected_warnings.append("does not take what it is told: status 503")
    pipeline = Pipeline(refusals=ATTEMPTS)
    await pipeline.told(1, commits=2)
    assert [news["seq"] for news in pipeline.heard] == [2]
    assert pipeline.alerts.current() == [], "it is over with the first that is taken"


async def test_a_redirect_is_not_followed() -> None:
    away = web.Response(status=307, headers={"Location": "http://127.0.0.1:1/elsewhere"})
    pipeline = Pipeline(refusals=1, refusal=away)
    await pipeline.told(1, commits=1)
    assert pipeline.asked == 2


async def test_the_receiver_can_tell_by_the_documented_lines_that_it_is_us() -> None:
    page = (REPOSITORY / "docs/webhooks.md").read_text("utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)  # our own page
    pipeline = Pipeline(refusals=0)
    await pipeline.told(1, commits=1)
    [(headers, body)] = pipeline.signed
    assert names["is_authentic"](SECRET, headers, body)
    assert not names["is_authentic"](SECRET, headers, body + b" ")
    assert not names["is_authentic"]("another", headers, body)
    assert not names["is_authentic"](SECRET, {**headers, "X-Lucidnode-Timestamp": "1"}, body)
