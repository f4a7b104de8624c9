"""What the office says is a hint: the bucket is looked at, and forks reach people."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from disk_fixture import FastClock, ManualClock
from journal_fixture import PROJECT, NoCache, Node, Shelf, entry

from lucidnode.node.bucket.keys import journal_key
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import entry_hash
from lucidnode.node.mounts import Mount, MountTable
from lucidnode.node.peer_events import MAX_SEQS_AHEAD, PeerEventHandlers

PEER = DeviceId("12" * 16)
HASH = bytes(32)


class Listening:
    """A node that has read the journal up to entry 1, its one mount, and what that is told."""

    def __init__(self, node: Node, tasks: asyncio.TaskGroup) -> None:
        self.node = node
        self.mount = Mount(PROJECT, mount_messages.MountHello("/mnt", 1, head=1))
        mounts = MountTable()
        mounts.add(self.mount)
        self.alerts = Alerts(SystemClock())
        self.roster_heads: list[tuple[DeviceId, Seq, bytes]] = []
        self.news = PeerEventHandlers(
            mounts,
            node.journal,
            tasks,
            lambda: [PROJECT],
            lambda *head: self.roster_heads.append(head),
            lambda *_: None,
            self.alerts,
            FastClock(),
        )

    async def write(self, *numbers: int) -> list[bytes]:
        """Have others commit these entries; return their hashes."""
        hashes = []
        for seq in numbers:
            body = entry(seq)
            await self.node.bucket.create(journal_key(PROJECT, Seq(seq)), body)
            hashes.append(entry_hash(body))
        return hashes

    async def read(self, *numbers: int) -> None:
        for seq in numbers:
            await self.node.journal.entry(PROJECT, Seq(seq))

    async def told(self) -> mount_messages.FromDaemon:
        return await asyncio.wait_for(self.mount.outbox.get(), 5)

    async def alert(self, about: str) -> str:
        """Return the remedy of the alert with these words, once there is one."""
        async with asyncio.timeout(5):
            while True:
                for alert in self.alerts.current():
                    if about in alert.cause:
                        return alert.remedy
                await asyncio.sleep(0.005)


@pytest.fixture
async def listening(tmp_path: Path) -> AsyncIterator[Listening]:
    async with (
        Staging.open(CacheMark(tmp_path, None), NoCache(), SystemClock()) as staging,
        asyncio.TaskGroup() as tasks,
    ):
        yield Listening(Node(staging, Shelf()), tasks)


async def test_a_pushed_entry_has_the_mount_of_its_project_look(listening: Listening) -> None:
    listening.news.pushed(PEER, PROJECT, Seq(2))
    assert await listening.told() == mount_messages.Look(2)
    listening.news.pushed(PEER, ProjectId("34" * 16), Seq(2))
    assert listening.mount.outbox.empty()


async def test_a_device_that_cries_wolf_is_soon_heard_no_more(listening: Listening) -> None:
    for seq in (*range(2, 1000), 2**40, 2**53 - 1):
        for _ in range(3):
            listening.news.pushed(PEER, PROJECT, Seq(seq))
    looks = [listening.mount.outbox.get_nowait() for _ in range(listening.mount.outbox.qsize())]
    assert looks == [mount_messages.Look(seq) for seq in range(2, 2 + MAX_SEQS_AHEAD)]
    await listening.write(1, 2, 3)
    await listening.read(1, 2, 3)
    listening.news.pushed(DeviceId("34" * 16), PROJECT, Seq(4))
    assert await listening.told() == mount_messages.Look(4), "and others are heard"


async def test_an_entry_whose_push_was_lost_is_looked_for(listening: Listening) -> None:
    hashes = await listening.write(1, 2, 3)
    await listening.read(1)
    for _ in range(3):  # said with every pulse, looked for once
        listening.news.heads(PEER, {PROJECT: [(Seq(3), hashes[2])]})
    assert await listening.told() == mount_messages.Look(3)
    assert listening.mount.outbox.empty()
    assert listening.alerts.current() == []


async def test_an_entry_that_came_meanwhile_is_not_looked_for(listening: Listening) -> None:
    hashes = await listening.write(1, 2)
    await listening.read(1)
    listening.news.heads(PEER, {PROJECT: [(Seq(2), hashes[1])]})
    await listening.read(2)
    await FastClock().sleep(10)
    assert listening.mount.outbox.empty()


async def test_a_device_on_another_history_than_the_bucket_is_an_alert_until_it_agrees(
    listening: Listening, expected_warnings: list[str]
) -> None:
    expected_warnings.append("has another journal entry 1")
    ours, second = await listening.write(1, 2)
    await listening.read(1, 2)
    # Ours is the bucket's, and theirs is ahead by entries that we never saw.
    claims = [(Seq(1), secrets.token_bytes(32)), (Seq(8), secrets.token_bytes(32))]
    listening.news.heads(PEER, {PROJECT: claims})
    assert "lucidnode repair" in await listening.alert("than the bucket")
    assert await listening.told() == mount_messages.Look(1), (
        "and the mount sees that its own head stands"
    )
    listening.news.heads(PEER, {PROJECT: [(Seq(1), ours), (Seq(2), second)]})
    assert listening.alerts.current() == []


async def test_what_was_said_before_we_knew_better_is_weighed_again(
    listening: Listening, expected_warnings: list[str]
) -> None:
    expected_warnings.append("has another journal entry 2")
    await listening.write(1, 2)
    listening.news.heads(PEER, {PROJECT: [(Seq(2), HASH)]})
    weighing = asyncio.create_task(listening.news.run())  # noqa: TID251
    await listening.read(1, 2)
    await listening.alert("than the bucket")
    weighing.cancel()


async def test_an_entry_that_a_device_has_and_the_bucket_lost_is_an_alert(
    listening: Listening, expected_warnings: list[str]
) -> None:
    expected_warnings.append("the bucket has not")
    first, *_ = await listening.write(1)
    await listening.read(1)
    claims = [(Seq(7), secrets.token_bytes(32)), (Seq(8), secrets.token_bytes(32))]
    listening.news.heads(PEER, {PROJECT: claims})
    assert "--put-back" in await listening.alert("has journal entry 8")
    listening.news.heads(PEER, {PROJECT: [(Seq(1), first)]})
    assert listening.alerts.current() == []


async def test_when_the_bucket_has_what_a_peer_has_it_is_we_who_have_lost_our_way(
    listening: Listening, expected_warnings: list[str]
) -> None:
    expected_warnings.append("no longer has journal entry 1")
    await listening.write(1)
    await listening.read(1)
    del listening.node.bucket.objects[journal_key(PROJECT, Seq(1))]
    theirs = await listening.write(1)
    listening.news.heads(PEER, {PROJECT: [(Seq(1), theirs[0])]})
    assert await listening.told() == mount_messages.Look(1)
    [alert] = listening.node.alerts.current()
    assert "no longer has journal entry 1" in alert.cause
    assert listening.alerts.current() == [], "it is not that device which has lost its way"


async def test_what_a_peer_claims_of_projects_never_read_here_makes_nobody_look(
    listening: Listening,
) -> None:
    await listening.write(1)
    await listening.read(1)
    for number in range(1000):
        project = ProjectId(f"{number:032x}")
        listening.news.heads(PEER, {project: [(Seq(2**40), HASH)]})
    await FastClock().sleep(10)
    assert listening.news._claims == {}
    assert list(listening.node.journal.newest(1)) == [PROJECT]


class Errands:
    """Counts what was begun, and does none of it. Implements Tasks."""

    begun = 0

    def create_task(self, coro: Coroutine[Any, Any, Any], *, name: str | None = None) -> Any:
        self.begun += 1
        coro.close()


class Read:
    """A journal of which entry 1 was read, of every project. Stands in for a JournalService."""

    def recent(self, project: ProjectId) -> dict[Seq, bytes]:
        return {Seq(1): HASH}


def test_what_one_device_says_of_many_projects_makes_us_look_at_a_bounded_rate() -> None:
    clock, errands = ManualClock(), Errands()
    studio = [ProjectId(f"{number:032x}") for number in range(500)]
    read = cast("Any", Read())
    news = PeerEventHandlers(
        MountTable(),
        read,
        errands,
        lambda: studio,
        lambda *_: None,
        lambda *_: None,
        Alerts(clock),
        clock,
    )
    news.heads(PEER, {project: [(Seq(9), HASH)] for project in studio})
    assert errands.begun == 16
    clock.now += 60
    news.heads(PEER, {project: [(Seq(10), HASH)] for project in studio})
    assert errands.begun == 32
    news.heads(DeviceId("34" * 16), {project: [(Seq(9), HASH)] for project in studio})
    assert errands.begun == 48, "what one device uses up is not taken from the others"


async def test_words_of_a_peers_mount_go_to_ours_as_they_are_and_only_so_many(
    listening: Listening,
) -> None:
    listening.news.word(PEER, ProjectId("f" * 32), b"of no project of the studio")
    listening.news.word(PEER, PROJECT, b"sealed")
    assert await listening.told() == mount_messages.OfficeMessage(PEER, b"sealed")
    for _ in range(10_000):
        listening.news.word(PEER, PROJECT, b"and again")
        if not listening.mount.outbox.empty():
            await listening.told()
            continue
        break
    else:
        raise AssertionError("a peer may say as much as it likes")
    listening.news.word(DeviceId("34" * 16), PROJECT, b"of another")
    assert await listening.told() == mount_messages.OfficeMessage("34" * 16, b"of another")
