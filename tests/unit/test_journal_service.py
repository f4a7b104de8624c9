"""Laws of committing through the daemon: blocks first, once, and never forgotten."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from journal_fixture import PROJECT, SIGNATURE, NoCache, Node, unsigned

from lucidnode.node import register
from lucidnode.node.block import block_id
from lucidnode.node.bucket.keys import journal_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import wire
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import Refused, Unavailable
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.staging import stage


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with Staging.open(tmp_path, NoCache(), SystemClock()) as staging:
        yield Node(staging, MemoryBucket())


async def test_an_entry_exists_only_after_its_blocks(node: Node) -> None:
    body = secrets.token_bytes(5000)
    block = block_id(body)
    stage(node.staging.directory, PROJECT, block, body)
    node.needs = [block]
    async with asyncio.TaskGroup() as group:
        work = group.create_task(node.uploads.run())
        reply = await node.journal.commit(
            PROJECT, Seq(1), wire.CommitRequest(unsigned(1), [bytes(block)])
        )
        work.cancel()
    assert reply.outcome == "committed"
    assert node.uploaded_at_commit == [True]
    assert await node.bucket.get(journal_key(PROJECT, Seq(1))) == reply.body


async def test_the_second_of_two_writers_gets_the_winner_s_entry(node: Node) -> None:
    first = await node.journal.commit(PROJECT, Seq(1), wire.CommitRequest(unsigned(1), []))
    second = await node.journal.commit(PROJECT, Seq(1), wire.CommitRequest(unsigned(1), []))
    assert (first.outcome, second.outcome) == ("committed", "lost")
    assert second.body == first.body
    assert node.announced == [1]


async def test_asking_again_with_the_same_request_is_the_same_commit(node: Node) -> None:
    request = wire.CommitRequest(unsigned(1), [])
    first = await node.journal.commit(PROJECT, Seq(1), request)
    assert await node.journal.commit(PROJECT, Seq(1), request) == first


async def test_an_unsettled_commit_is_finished_by_the_next_daemon(
    node: Node, tmp_path: Path
) -> None:
    node.answers = [register.Unknown(Unavailable("gone"))]
    request = wire.CommitRequest(unsigned(1), [])
    assert (await node.journal.commit(PROJECT, Seq(1), request)).outcome == "unknown"
    async with Staging.open(tmp_path, NoCache(), SystemClock()) as staging:
        successor = Node(staging, node.bucket)
        await successor.journal.resume()
        assert await node.bucket.get(journal_key(PROJECT, Seq(1))) == request.unsigned + SIGNATURE
        assert await staging.prepared() == {}


async def test_an_entry_for_another_place_is_refused(node: Node) -> None:
    for entry in (unsigned(2), unsigned(1, ProjectId("ef" * 16))):
        with pytest.raises(Refused):
            await node.journal.commit(PROJECT, Seq(1), wire.CommitRequest(entry, []))


async def test_what_follows_is_read_up_to_the_end(node: Node) -> None:
    for seq in (1, 2, 3):
        await node.bucket.create(journal_key(PROJECT, Seq(seq)), unsigned(seq) + SIGNATURE)
    found = await node.journal.following(PROJECT, Seq(1))
    assert [entry.seq for entry in found] == [2, 3]
    assert node.journal.heads()[PROJECT][0] == 3
    assert await node.journal.following(PROJECT, Seq(3)) == []
