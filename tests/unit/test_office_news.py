"""What the office says reaches the mounts, whatever was lost on the way, and forks reach people."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from disk_fixture import FastClock
from journal_fixture import PROJECT, SIGNATURE, NoCache, Node, unsigned

from lucidnode.node.bucket.keys import journal_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import wire
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.mounts import Mount, Mounts
from lucidnode.node.office_news import OfficeNews
from lucidnode.node.troubles import Troubles

PEER = DeviceId("12" * 16)
HASH = bytes(32)


class Listening:
    """One mount that has seen the journal up to entry 1, and what the daemon tells it."""

    def __init__(self, node: Node, tasks: asyncio.TaskGroup) -> None:
        self.node = node
        self.mount = Mount(PROJECT, wire.Hello("/mnt", 1, head=1))
        mounts = Mounts()
        mounts.add(self.mount)
        self.troubles = Troubles(mounts)
        self.news = OfficeNews(mounts, self.troubles, FastClock())
        self.news.journal, self.news.tasks = node.journal, tasks

    async def write(self, *numbers: int) -> None:
        """Have others commit these entries."""
        for seq in numbers:
            entry = unsigned(seq) + SIGNATURE
            await self.node.bucket.create(journal_key(PROJECT, Seq(seq)), entry)

    async def told(self) -> wire.FromDaemon:
        return await asyncio.wait_for(self.mount.outbox.get(), 5)


@pytest.fixture
async def listening(tmp_path: Path) -> AsyncIterator[Listening]:
    async with (
        Staging.open(tmp_path, NoCache(), SystemClock()) as staging,
        asyncio.TaskGroup() as tasks,
    ):
        yield Listening(Node(staging, MemoryBucket()), tasks)


async def test_a_pushed_entry_goes_to_the_mount_of_its_project(listening: Listening) -> None:
    listening.news.pushed(PEER, PROJECT, Seq(2), b"entry")
    assert await listening.told() == wire.Entry(2, b"entry")
    listening.news.pushed(PEER, ProjectId("34" * 16), Seq(2), b"of another project")
    assert listening.mount.outbox.empty()


async def test_an_entry_whose_push_was_lost_is_fetched(listening: Listening) -> None:
    await listening.write(1, 2, 3)
    for _ in range(3):  # said with every pulse, fetched once
        listening.news.heads(PEER, {PROJECT: (Seq(3), HASH)})
    assert [(await listening.told()), (await listening.told())] == [
        wire.Entry(seq, await listening.node.journal.entry(PROJECT, Seq(seq))) for seq in (2, 3)
    ]
    assert listening.mount.outbox.empty()


async def test_an_entry_that_came_meanwhile_is_not_fetched(listening: Listening) -> None:
    await listening.write(1, 2)
    listening.news.heads(PEER, {PROJECT: (Seq(2), HASH)})
    listening.mount.heard(wire.MountStats(head=2))
    await FastClock().sleep(10)
    assert listening.mount.outbox.empty()
    # And the next loss is noticed again.
    await listening.write(3)
    listening.news.heads(PEER, {PROJECT: (Seq(3), HASH)})
    told = await listening.told()
    assert isinstance(told, wire.Entry)
    assert told.seq == 3


async def test_a_peer_s_different_history_is_a_trouble_once(
    listening: Listening, expected_warnings: list[str]
) -> None:
    expected_warnings.append("see different histories")
    await listening.write(1)
    await listening.node.journal.following(PROJECT, Seq(0))
    seq, ours = listening.node.journal.heads()[PROJECT]
    listening.news.heads(PEER, {PROJECT: (seq, ours)})
    listening.news.heads(PEER, {PROJECT: (Seq(seq + 1), secrets.token_bytes(32))})
    listening.news.heads(PEER, {ProjectId("34" * 16): (seq, secrets.token_bytes(32))})
    assert listening.troubles.last() == []
    for _ in range(3):
        listening.news.heads(PEER, {PROJECT: (seq, secrets.token_bytes(32))})
    [trouble] = listening.troubles.last()
    assert "rolled back or tampered with" in trouble
    assert await listening.told() == wire.Trouble(trouble)
