"""Webhooks against a real HTTP server: in order, at least once, signed, across restarts."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from lab.places import REPOSITORY

from lucidnode.node.client import mount_messages, wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import NotThere, Refused, Unavailable
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.supervision import supervised
from lucidnode.node.client.webhooks import (
    ProjectWebhook,
    ProjectWebhooks,
    WebhookQuery,
    WebhookReply,
)
from lucidnode.node.mounts import Mount, MountTable
from lucidnode.node.webhooks.book import BOOK_FILE, WebhookBook
from lucidnode.node.webhooks.service import Webhooks
from lucidnode.node.webhooks.telling import ATTEMPTS

PROJECT = ProjectId("ab" * 16)
HERE, ELSEWHERE = DeviceId("d" * 32), DeviceId("e" * 32)


class QuickClock:
    """Real time, but pauses between attempts are short."""

    def boot(self) -> float:
        return asyncio.get_running_loop().time()

    def wall_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


def event(seq: int, number: int = 0, device: DeviceId = HERE) -> mount_messages.ProjectEvent:
    return mount_messages.ProjectEvent(
        seq=seq,
        number=number,
        time_ns=seq,
        event="write",
        kind="file",
        path=f"secret/{seq}",
        old_path=f"older/{seq}",
        state="cloud",
        size=7,
        member="Anna",
        workstation="edit-1",
        device=device,
    )


class Pipeline:
    """A receiver that refuses its first requests, and a daemon over a mount that tells of *events*."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.refusals = 0
        self.refusal = web.Response(status=503)
        self.alerts = Alerts(QuickClock())
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.asked = 0
        self.led_away = 0
        """Requests that came to where a redirect led."""
        self.is_owner = True
        self.events: list[mount_messages.ProjectEvent] = []
        self.missed: int | None = None
        self.configured: list[str] = []
        self.log: dict[str, ProjectWebhook] = {}
        """The webhooks of the project."""
        self.claimed: list[tuple[int, int]] = []
        """Places from which the job was asked for."""
        self.teller = HERE

    @property
    def heard(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(body) for _, body in self.requests]

    async def _take(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.asked <= self.refusals:
            return web.Response(status=self.refusal.status, headers=dict(self.refusal.headers))
        self.requests.append((dict(request.headers), await request.read()))
        return web.Response()

    async def _lead_away(self, request: web.Request) -> web.Response:
        self.led_away += 1
        return web.Response()

    @contextlib.asynccontextmanager
    async def receiving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        app.router.add_route("*", "/hook/elsewhere", self._lead_away)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        finally:
            await runner.cleanup()

    @contextlib.asynccontextmanager
    async def daemon(self) -> AsyncIterator[Webhooks]:
        """Run a daemon with one mount of the project."""
        mounts, clock = MountTable(), QuickClock()
        mount = Mount(PROJECT, mount_messages.MountHello("/mnt", 1, 0))
        mounts.add(mount)
        mount.heard(ProjectWebhooks(list(self.log.values())))
        book = WebhookBook(self.home / BOOK_FILE, self.configured, "c" * 64)
        async with supervised(self.alerts, clock) as tasks:
            webhooks = Webhooks(
                book, mounts, HERE, lambda: self.is_owner, self.alerts, clock, tasks
            )
            running = [
                tasks.create_task(webhooks.run()),
                tasks.create_task(self._serve(mount), name="a mount"),
            ]
            yield webhooks
            mounts.remove(mount)
            for task in running:
                task.cancel()

    async def _serve(self, mount: Mount) -> None:
        """Answer as a mount does, one event in a page."""
        while True:
            query = await mount.outbox.get()
            if isinstance(query, WebhookQuery):
                self._order(mount, query)
                continue
            assert isinstance(query, mount_messages.EventsQuery)
            await asyncio.sleep(0.001)  # before the answer is made: it is of one moment
            if query.after is None:
                newest = max((one.seq for one in self.events), default=0)
                page = mount_messages.EventsPage(query.number, [], newest, 0)
            elif self.missed is not None and query.after < self.missed:
                # Said again to whoever asks again: an answer may come too late for a quick clock.
                page = mount_messages.EventsPage(query.number, [], self.missed, 0, 1)
            else:
                following = [one for one in self.events if one.seq > query.after][query.told :][:1]
                page = mount_messages.EventsPage(query.number, [], query.after, query.told)
                if following:
                    [one] = following
                    is_last = not any(
                        (e.seq, e.number) == (one.seq, one.number + 1) for e in self.events
                    )
                    place = (one.seq, 0) if is_last else (one.seq - 1, one.number + 1)
                    page = mount_messages.EventsPage(query.number, following, *place)
            mount.heard(page)

    def _order(self, mount: Mount, query: WebhookQuery) -> None:
        newest = max((one.seq for one in self.events), default=0)
        known = self.log.get(query.id)
        may_tell_s = 0.0
        match query.order:
            case "add":
                self.log[query.id] = ProjectWebhook(
                    query.id, query.url, query.secret, query.paths, "", HERE, newest, 0
                )
            case "remove":
                del self.log[query.id]
            case "claim":
                self.claimed.append((query.after, query.told))
                may_tell_s = 100.0 if self.teller == HERE else 0.0
            case "told":
                assert known is not None
                place = max((known.after, known.told), (query.after, query.told))
                after, told = place
                self.log[query.id] = msgspec.structs.replace(known, after=after, told=told)
        mount.heard(ProjectWebhooks(list(self.log.values())))
        now = self.log.get(query.id)
        place = (0, 0) if now is None else (now.after, now.told)
        mount.heard(WebhookReply(query.number, may_tell_s, *place))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.requests) < count:
                await asyncio.sleep(0.005)


async def begun(webhooks: Webhooks) -> None:
    """Return once each webhook has its place."""
    async with asyncio.timeout(20):
        while not all(each["behind"] for each in (await webhooks.facts())["webhooks"]):
            await asyncio.sleep(0.005)


async def added(webhooks: Webhooks, url: str, *, paths: bool = False) -> wire.WebhookAdded:
    found = await webhooks.add(wire.WebhookWish(url, PROJECT, paths))
    await begun(webhooks)
    return found


async def test_every_entry_is_told_in_order_and_without_names(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    async with pipeline.receiving() as url, pipeline.daemon() as webhooks:
        await added(webhooks, url)
        pipeline.events = [event(1), event(2, device=ELSEWHERE), event(2, 1, ELSEWHERE)]
        await pipeline.until(3)
    assert [(one["event"], one["seq"], one["project"]) for one in pipeline.heard] == [
        ("commit", 1, PROJECT),
        ("commit", 2, PROJECT),
        ("commit", 2, PROJECT),
    ]
    assert pipeline.heard[0]["changes"] == [
        {"number": 0, "event": "write", "kind": "file", "state": "cloud", "size": 7}
    ]
    told = b"".join(body for _, body in pipeline.requests)
    assert not any(name in told for name in (b"secret", b"older", b"Anna", b"edit-1"))


async def test_paths_are_for_owners_only(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    async with pipeline.receiving() as url, pipeline.daemon() as webhooks:
        pipeline.is_owner = False
        with pytest.raises(Refused, match="only an owner"):
            await added(webhooks, url, paths=True)
        pipeline.is_owner = True
        with pytest.raises(Refused, match="say https"):
            await added(webhooks, "http://elsewhere.example/hook", paths=True)
        await added(webhooks, url, paths=True)
        pipeline.events = [event(1)]
        await pipeline.until(1)
        assert pipeline.heard[0]["changes"][0]["path"] == "secret/1"


async def test_one_that_must_not_be_told_from_here_is_told_nothing_more_and_says_why(
    tmp_path: Path,
) -> None:
    pipeline = Pipeline(tmp_path)
    async with pipeline.receiving() as url:
        for ident, why, its_url in (
            ("0" * 8, "its owner left", url),
            ("1" * 8, "", "ftp://here/x"),
            ("2" * 8, "", url),
        ):
            pipeline.log[ident] = ProjectWebhook(ident, its_url, "s" * 64, False, why, HERE, 0, 0)
        pipeline.events = [event(1)]
        async with pipeline.daemon() as webhooks:
            await pipeline.until(1)
            refused = ["its owner left", "ftp://here/x i", ""]
            async with asyncio.timeout(20):
                while [
                    one["refused"][:14] for one in (await webhooks.facts())["webhooks"]
                ] != refused:
                    await asyncio.sleep(0.005)
            with pytest.raises(Refused, match="its owner left"):
                await webhooks.test("0" * 8)
    assert len(pipeline.requests) == 1


async def test_who_has_not_the_job_tells_nothing_and_goes_on_behind_what_was_told(
    tmp_path: Path,
) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.teller = ELSEWHERE
    async with pipeline.receiving() as url, pipeline.daemon() as webhooks:
        ident = (await added(webhooks, url)).id
        pipeline.events = [event(1), event(2), event(3)]
        async with asyncio.timeout(20):
            while not pipeline.claimed:
                await asyncio.sleep(0.005)
        assert pipeline.requests == []
        known = pipeline.log[ident]
        pipeline.log[ident] = msgspec.structs.replace(known, teller=ELSEWHERE, after=2)
        async with asyncio.timeout(20):
            while pipeline.claimed[-1] != (2, 0):
                await asyncio.sleep(0.005)
        assert pipeline.requests == []
        pipeline.teller = HERE  # the other is silent
        await pipeline.until(1)
    assert [one["seq"] for one in pipeline.heard] == [3]


async def test_a_workstations_own_webhooks_of_an_earlier_version_go_on_from_their_places(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("no owner of the studio any more")
    pipeline = Pipeline(tmp_path)
    pipeline.events = [event(1), event(2)]
    async with pipeline.receiving() as url:
        one = {"id": "1c9e0a42", "url": url, "secret": "s" * 64, "project": PROJECT, "paths": True}
        book = {
            "webhooks": [{**one, "only_own": False}],
            "places": {"1c9e0a42": {PROJECT: {"after": 1, "told": 0}}},
        }
        (tmp_path / BOOK_FILE).write_bytes(msgspec.json.encode(book))
        ident = "1c9e0a42"
        async with pipeline.daemon():
            await pipeline.until(1)
            pipeline.refusals = 10**9
            pipeline.events.append(event(3))
            async with asyncio.timeout(20):
                while pipeline.asked < 3:
                    await asyncio.sleep(0.005)
        pipeline.refusals = 0
        async with pipeline.daemon() as webhooks:
            await pipeline.until(2)
            pipeline.is_owner = False
            pipeline.events.append(event(4))
            async with asyncio.timeout(20):
                while not pipeline.alerts.current():
                    await asyncio.sleep(0.005)
            [shown] = (await webhooks.facts())["webhooks"]
            assert "no owner" in shown["refused"]
            told = len(pipeline.requests)
            await webhooks.remove(ident)
    numbers = [each["seq"] for each in pipeline.heard]
    assert numbers in ([2, 3], [2, 2, 3]), "what was not noted in time comes once more"
    assert told == len(numbers), "an owner who is none any more has nothing told"
    assert WebhookBook(tmp_path / BOOK_FILE, [], "").webhooks() == []


async def test_what_a_receiver_did_not_take_comes_after_a_restart_of_the_daemon(
    tmp_path: Path,
) -> None:
    pipeline = Pipeline(tmp_path)
    async with pipeline.receiving() as url:
        async with pipeline.daemon() as webhooks:
            await added(webhooks, url)
            pipeline.events = [event(1)]
            await pipeline.until(1)
            pipeline.refusals = 10**9
            pipeline.events.append(event(2))
            async with asyncio.timeout(20):
                while pipeline.asked < 3:
                    await asyncio.sleep(0.005)
        pipeline.refusals = 0
        async with pipeline.daemon():
            await pipeline.until(2)
    numbers = [one["seq"] for one in pipeline.heard]
    assert numbers[-1] == 2
    assert numbers in ([1, 2], [1, 1, 2]), "what was not noted in time comes once more"


async def test_a_receiver_that_is_away_for_long_is_an_alert_and_misses_nothing(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("does not take what it is told: status 503")
    pipeline = Pipeline(tmp_path)
    pipeline.refusals = ATTEMPTS
    async with pipeline.receiving() as url, pipeline.daemon() as webhooks:
        await added(webhooks, url)
        pipeline.events = [event(1), event(2)]
        await pipeline.until(2)
        assert pipeline.alerts.current() == []
    assert [one["seq"] for one in pipeline.heard] == [1, 2]


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    pipeline.refusals = 1
    async with pipeline.receiving() as url, pipeline.daemon() as webhooks:
        pipeline.refusal = web.Response(status=307, headers={"Location": f"{url}/elsewhere"})
        await added(webhooks, url)
        pipeline.events = [event(1)]
        await pipeline.until(1)
    assert pipeline.asked == 2
    assert pipeline.led_away == 0


async def test_those_of_the_settings_are_told_what_this_workstation_commits(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    async with pipeline.receiving() as url:
        pipeline.configured = [url]
        async with pipeline.daemon() as webhooks:
            await begun(webhooks)
            pipeline.events = [event(1, device=ELSEWHERE), event(2)]
            await pipeline.until(1)
            [webhook] = (await webhooks.facts())["webhooks"]
            with pytest.raises(Refused, match=r"node\.json"):
                await webhooks.remove(webhook["id"])
    assert [one["seq"] for one in pipeline.heard] == [2]


async def test_what_cannot_be_told_any_more_is_told_as_missed(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    async with pipeline.receiving() as url, pipeline.daemon() as webhooks:
        await added(webhooks, url)
        pipeline.missed = 4
        pipeline.events = [event(5)]
        await pipeline.until(2)
    assert pipeline.heard[0] == {"event": "missed", "project": PROJECT, "first": 1, "last": 4}
    assert pipeline.heard[1]["seq"] == 5


async def test_a_removed_webhook_is_told_nothing_and_can_not_be_tested(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    async with pipeline.receiving() as url, pipeline.daemon() as webhooks:
        ident = (await added(webhooks, url)).id
        await webhooks.test(ident)
        assert pipeline.heard == [{"event": "test"}]
        pipeline.refusals = 10**9
        with pytest.raises(Unavailable, match="status 503"):
            await webhooks.test(ident)
        await webhooks.remove(ident)
        with pytest.raises(NotThere, match="webhook list"):
            await webhooks.test(ident)
    assert pipeline.log == {}


async def test_the_receiver_can_tell_by_the_documented_lines_that_it_is_us(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs/webhooks.md").read_text("utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)  # our own page
    pipeline = Pipeline(tmp_path)
    async with pipeline.receiving() as url, pipeline.daemon() as webhooks:
        secret = (await added(webhooks, url)).secret
        pipeline.events = [event(1)]
        await pipeline.until(1)
    [(headers, body)] = pipeline.requests
    assert names["is_authentic"](secret, headers, body)
    assert not names["is_authentic"](secret, headers, body + b" ")
    assert not names["is_authentic"]("another", headers, body)
    assert not names["is_authentic"](secret, {**headers, "X-Lucidnode-Timestamp": "1"}, body)
