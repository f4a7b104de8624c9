"""Which of two workstations tells a project's webhooks, on virtual time: one at a time, whoever dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from file_layer_fixture import PROJECT
from lab.soak_files import VirtualClock
from lab.virtual_loop import run_virtual
from write_seats import NAMES, WriteOffice, WriteSeat, WriteStudio

from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import Lease
from lucidnode.fs.webhooks.webhook_jobs import GRACE_S, JOB_TTL_S
from lucidnode.fs.webhooks.webhook_keeper import CLAIM_S, NOTE_S, QUIET_S, WebhookKeeper
from lucidnode.fs.webhooks.webhook_record import job_name, record_in, record_name
from lucidnode.node.client.supervision import Tasks, supervised
from lucidnode.node.client.webhooks import MAX_WEBHOOKS, WebhookOrder, WebhookQuery, WebhookReply

HOOK = "1c9e0a42"
URL = "https://pipeline.example/lucid"
SECRET = "5" * 64
AWAY = "cannot be"
"""Its journal is out of reach."""


class Log:
    """The log of members, as one of them reads it."""

    def __init__(self) -> None:
        self.keys = [MemberKeys.new() for _ in NAMES]
        self.roles: dict[bytes, str] = {keys.public: "owner" for keys in self.keys}

    may_write = True

    def writer_boxes(self) -> list[bytes]:
        return [keys.box for keys in self.keys if self.role_of(keys.public) in {"owner", "editor"}]

    def role_of(self, member: bytes) -> str | None:
        return self.roles.get(member) or None


class Kept:
    """The webhooks at one seat."""

    def __init__(self, seat: WriteSeat, keys: MemberKeys, log: Log, clock: VirtualClock) -> None:
        committer = seat.layer.committer
        assert committer is not None
        self.seat = seat
        self.clock = clock
        self.keeper = WebhookKeeper(
            replica=seat.layer.replica,
            project=PROJECT,
            device=seat.door.device,
            keys=keys,
            rights=log,
            committer=committer,
            clock=clock,
            read_only=False,
        )

    async def order(
        self, order: WebhookOrder, after: int = 0, told: int = 0, **more: Any
    ) -> WebhookReply:
        query = WebhookQuery(number=1, order=order, id=HOOK, after=after, told=told, **more)
        return await self.keeper.ordered(query)

    async def add(self, *, paths: bool = False) -> WebhookReply:
        return await self.order("add", url=URL, secret=SECRET, paths=paths)

    def shown(self) -> Any:
        [one] = self.keeper.shown().webhooks
        return one

    def head(self) -> int:
        return int(self.seat.layer.replica.pending.head().seq)

    async def claimed(self) -> float:
        """Ask again and again, as a daemon does that has something to tell; return how long that took."""
        begun = self.clock.boot()
        place = self.shown().after, self.shown().told
        async with asyncio.timeout(1000):
            while not (reply := await self.order("claim", *place)).may_tell_s:
                place = reply.after, reply.told
                await asyncio.sleep(0.1)
        return self.clock.boot() - begun


class Pair(WriteOffice):
    """Two seats with webhooks."""

    log: Log
    clock: VirtualClock
    ana: Kept
    ben: Kept

    def entries(self) -> int:
        return len(self.bucket.entries)


def by_turns(home: Path, work: Callable[[Pair], Awaitable[None]]) -> None:
    """Do *work* at two workstations that keep webhooks."""

    @asynccontextmanager
    async def kept(pair: Pair, tasks: Tasks) -> AsyncIterator[None]:
        pair.ana, pair.ben = (
            Kept(seat, keys, pair.log, pair.clock)
            for seat, keys in zip((pair.a, pair.b), pair.log.keys, strict=True)
        )
        running = [
            tasks.create_task(each.keeper.run(), name="noting") for each in (pair.ana, pair.ben)
        ]
        yield
        for task in running:
            task.cancel()

    async def run() -> None:
        studio, clock = WriteStudio.of(home), VirtualClock()
        async with (
            studio.seat(NAMES[0], None, clock) as a,
            studio.seat(NAMES[1], None, clock) as b,
            supervised(a.layer.alerts, clock) as tasks,
        ):
            pair = Pair(studio.bucket, a, b, studio.links)
            pair.log, pair.clock = Log(), clock
            async with kept(pair, tasks):
                await work(pair)

    run_virtual(run, 1)


def test_who_adds_a_webhook_tells_it_and_others_know_it_and_wait(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        assert not (await pair.ana.add()).refused
        await pair.until(lambda: pair.ben.keeper.shown().webhooks)
        for each in (pair.ana, pair.ben):
            shown = each.shown()
            assert (shown.url, shown.secret, shown.why) == (URL, SECRET, "")
            assert shown.teller == pair.a.door.device
        begun = pair.clock.boot()
        reply = await pair.ben.order("claim", pair.ben.shown().after)
        assert reply.may_tell_s == 0.0
        assert CLAIM_S <= pair.clock.boot() - begun < 2 * CLAIM_S
        assert await pair.ana.claimed() < 5.0

    by_turns(tmp_path, work)


def test_nothing_is_renewed_while_there_is_nothing_to_tell(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        await pair.ana.add()
        await pair.until(lambda: pair.ben.keeper.shown().webhooks and not pair.is_busy())
        before = pair.entries()
        await asyncio.sleep(10 * JOB_TTL_S)
        assert pair.entries() == before
        assert await pair.ana.claimed() < 5.0, "and it is his when there is something again"
        assert pair.entries() == before + 1

    by_turns(tmp_path, work)


def test_a_holder_who_was_silent_since_nothing_happened_is_given_time_to_say_so(
    tmp_path: Path,
) -> None:
    async def work(pair: Pair) -> None:
        await pair.ana.add()
        await pair.until(lambda: pair.ben.keeper.shown().webhooks)
        await asyncio.sleep(10 * JOB_TTL_S)
        other = asyncio.ensure_future(pair.ben.order("claim", pair.ben.shown().after))
        await asyncio.sleep(6.0)  # she hears of it later than he
        assert await pair.ana.claimed() < 5.0
        assert (await other).may_tell_s == 0.0
        assert pair.ben.shown().teller == pair.a.door.device

    by_turns(tmp_path, work)


def test_a_holder_who_is_silent_loses_the_job_and_two_never_have_it(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += [AWAY]

    async def work(pair: Pair) -> None:
        await pair.ana.add()
        await pair.until(lambda: pair.ben.keeper.shown().webhooks)
        await pair.ana.claimed()
        await pair.ana.order("told", pair.ana.head())
        pair.a.door.reachable = False
        cut_at = pair.clock.boot()
        last_of_ana = 0.0

        async def use() -> None:
            nonlocal last_of_ana
            while True:
                reply = await pair.ana.order("claim", pair.ana.head())
                if reply.may_tell_s:
                    last_of_ana = max(last_of_ana, pair.clock.boot() + reply.may_tell_s)
                await asyncio.sleep(1.0)

        using = asyncio.ensure_future(use())
        took_s = await pair.ben.claimed()
        assert JOB_TTL_S <= took_s <= JOB_TTL_S + GRACE_S + 2 * CLAIM_S
        assert last_of_ana > cut_at
        assert pair.clock.boot() > last_of_ana, "it was over for her before it began for him"
        assert pair.ben.shown().teller == pair.b.door.device
        using.cancel()
        pair.a.door.reachable = True
        await pair.until(lambda: pair.ana.shown().teller == pair.b.door.device)
        assert (await pair.ana.order("claim", pair.ana.head())).may_tell_s == 0.0

    by_turns(tmp_path, work)


def test_the_log_says_how_far_it_is_and_who_takes_the_job_goes_on_there(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        await pair.ana.add()
        await pair.until(lambda: pair.ben.keeper.shown().webhooks)
        await pair.ana.claimed()
        begun = pair.clock.boot()
        before = pair.entries()
        for number in range(round(2 * NOTE_S)):
            await pair.ana.order("told", 100 + number, 3)
            await asyncio.sleep(1.0)
        assert pair.entries() - before <= 3, "not each step of it"
        await asyncio.sleep(2 * QUIET_S)
        place = (100 + round(2 * NOTE_S) - 1, 3)
        assert (pair.ben.shown().after, pair.ben.shown().told) == place
        assert pair.clock.boot() - begun < JOB_TTL_S
        written = pair.entries()
        await asyncio.sleep(10 * NOTE_S)
        assert pair.entries() == written, "what was noted is not noted again"

    by_turns(tmp_path, work)


def test_who_unmounts_leaves_the_job_to_the_next_one_at_once(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        await pair.ana.add()
        await pair.until(lambda: pair.ben.keeper.shown().webhooks)
        await pair.ana.claimed()
        pair.ana.keeper.resign()
        await asyncio.sleep(5.0)
        assert pair.ben.shown().teller == pair.a.door.device, "she may be telling something now"
        await pair.ana.order("told", 100, 2)
        pair.ana.keeper.resign()
        await pair.until(lambda: not pair.ben.shown().teller)
        assert (pair.ben.shown().after, pair.ben.shown().told) == (100, 2)
        assert await pair.ben.claimed() < 5.0
        assert pair.ben.shown().teller == pair.b.door.device

    by_turns(tmp_path, work)


def test_what_another_has_told_is_said_to_who_waits_for_the_job(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        await pair.ana.add()
        await pair.until(lambda: pair.ben.keeper.shown().webhooks)
        await pair.ana.claimed()
        waiting = asyncio.ensure_future(pair.ben.order("claim", pair.ben.shown().after))
        await asyncio.sleep(1.0)
        await pair.ana.order("told", 100, 0)
        reply = await waiting
        assert (reply.may_tell_s, reply.after, reply.told) == (0.0, 100, 0)

    by_turns(tmp_path, work)


def test_it_is_told_by_those_who_may_and_others_say_why_not(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        ana, ben = (keys.public for keys in pair.log.keys)
        await pair.ana.add(paths=True)
        await pair.until(lambda: pair.ben.keeper.shown().webhooks)
        assert not pair.ben.shown().why
        for role, why in (("editor", "no owner of the studio any more"), ("", "no member")):
            pair.log.roles[ana] = role
            shown = pair.ben.shown()
            assert why in shown.why
            assert not shown.secret
            assert (await pair.ben.order("claim", shown.after)).may_tell_s == 0.0
        pair.log.roles[ana] = "owner"
        pair.log.roles[ben] = "editor"
        assert (await pair.ben.add(paths=True)).refused.startswith("only an owner")
        await pair.ana.order("remove")
        await pair.until(lambda: not pair.ben.keeper.shown().webhooks)
        assert not (await pair.ben.add()).refused
        await pair.until(lambda: pair.ana.keeper.shown().webhooks)
        assert "his own workstations" in pair.ana.shown().why
        assert pair.ben.shown().secret

    by_turns(tmp_path, work)


def test_who_came_later_is_let_in_and_who_may_write_no_more_is_left_out(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        _, ben = (keys.public for keys in pair.log.keys)
        pair.log.roles[ben] = "viewer"
        await pair.ana.add()
        await pair.until(lambda: pair.ben.keeper.shown().webhooks)
        assert "not been let in" in pair.ben.shown().why
        pair.log.roles[ben] = "editor"
        await pair.until(lambda: pair.ben.shown().secret == SECRET)
        pair.log.roles[ben] = "viewer"
        await pair.until(lambda: not pair.ben.shown().secret)

    by_turns(tmp_path, work)


def test_what_somebody_else_has_changed_in_a_webhook_is_told_nothing(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        await pair.ana.add()
        await pair.until(lambda: pair.ben.keeper.shown().webhooks)
        replica, name = pair.b.layer.replica, record_name(HOOK)
        value = replica.tree.fact(name)
        assert value is not None
        record = record_in(value)
        assert record is not None
        for changed in (
            msgspec.structs.replace(record, url="https://evil.example/"),
            msgspec.structs.replace(record, paths=True),
        ):
            replica.apply(Lease(ROOT, replica.tree.fact(name), changed.encoded(), name=name))
            await pair.until(lambda: pair.ana.shown().why)
            assert not pair.ana.shown().secret
            assert not pair.ben.shown().secret
        for nonsense in (b"", b"\x80", b"\xff" * 100):
            replica.apply(Lease(ROOT, replica.tree.fact(name), nonsense, name=name))
            assert pair.ben.keeper.shown().webhooks == []
        job = job_name(HOOK)
        replica.apply(Lease(ROOT, replica.tree.fact(job), b"\xc0", name=job))
        replica.apply(Lease(ROOT, replica.tree.fact(name), value, name=name))
        assert await pair.ben.claimed() < 5.0, "a job that is none is nobody's"

    by_turns(tmp_path, work)


def test_there_are_so_many_of_a_project(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        for number in range(MAX_WEBHOOKS):
            query = WebhookQuery(number=1, order="add", id=f"{number:08x}", url=URL, secret=SECRET)
            assert not (await pair.ana.keeper.ordered(query)).refused
        assert "remove one first" in (await pair.ana.add()).refused

    by_turns(tmp_path, work)
