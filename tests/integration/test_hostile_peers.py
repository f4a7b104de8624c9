"""Whatever a peer does, a read gets the right bytes, soon, and the next one does not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import hostile_peer
import pytest
from hostile_peer import Behaviour, Impostor, chunk, impostor
from loop_time import lasted
from office_fixture import PROJECT, Bucket, Node, Roll, identities, node, until

from lucidnode.node.blocks.hedge_policy import UNKNOWN_DELAY_S
from lucidnode.node.client.ids import BlockId
from lucidnode.node.peers.body_client import HEAD_START_S, HUNG_TIMEOUT_S, LOOKUP_TIMEOUT_S

PROMISE = 0.6
"""Half a second, and a tenth for what is done with the answer."""

HANG = HUNG_TIMEOUT_S + 0.6
"""A host that answers while its daemon is silent is given longer: it may only be busy."""

AT_ONCE = 0.15
"""Less than any patience: a read that takes this has waited for nobody."""

MISLEADING = [
    hostile_peer.sends_another_block,
    hostile_peer.sends_without_end,
    hostile_peer.announces_too_much,
    hostile_peer.floods_signs_of_life,
    hostile_peer.packs_a_bomb,
]
HANGING = [hostile_peer.hangs, hostile_peer.stops_midway]
FAILING = [
    hostile_peer.hangs_up,
    hostile_peer.breaks_off,
    hostile_peer.speaks_nonsense,
    hostile_peer.sends_elsewhere,
    hostile_peer.endless_head,
]


@asynccontextmanager
async def beside(
    behaviour: Behaviour, directory: Path, bucket: Bucket
) -> AsyncIterator[tuple[Node, Impostor, list[BlockId]]]:
    """Run an honest node beside a hostile one; yield the blocks the hostile one owns, too."""
    honest, hostile = identities(directory, 2)
    roll = Roll(honest, hostile)
    async with (
        impostor(hostile, roll, behaviour) as peer,
        node(honest, roll, bucket, peer.place) as reader,
    ):
        await until(lambda: reader.usable() == {hostile.id})
        blocks = bucket.fill(64, 200_000)
        yield reader, peer, [b for b in blocks if not reader.office.owns(b)]


async def timed(reader: Node, bucket: Bucket, block: BlockId) -> float:
    fetched, seconds = await lasted(reader.source.fetch(PROJECT, block))
    assert fetched.ciphertext == bucket.blocks[block]
    assert fetched.source == "bucket"
    return seconds


async def timed_together(reader: Node, bucket: Bucket, blocks: list[BlockId]) -> float:
    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as tasks:
            for block in blocks:
                tasks.create_task(timed(reader, bucket, block))

    _, seconds = await lasted(all_of_them())
    return seconds


@pytest.mark.parametrize("behaviour", MISLEADING + FAILING + HANGING, ids=lambda b: b.__name__)
async def test_one_read_waits_a_bounded_time_and_the_next_not_at_all(
    behaviour: Behaviour, tmp_path: Path
) -> None:
    bucket = Bucket()
    async with beside(behaviour, tmp_path, bucket) as (reader, peer, blocks):
        bound = HANG if behaviour in HANGING else PROMISE
        assert await timed(reader, bucket, blocks[0]) < bound
        asked = len(peer.requests)
        assert asked == 1
        assert not any(b"User-Agent" in head for head in peer.requests)
        assert await timed(reader, bucket, blocks[1]) < AT_ONCE
        assert len(peer.requests) == asked


@pytest.mark.parametrize("behaviour", MISLEADING, ids=lambda b: b.__name__)
async def test_a_peer_that_misleads_is_named_and_never_asked_again(
    behaviour: Behaviour, tmp_path: Path
) -> None:
    bucket = Bucket()
    async with beside(behaviour, tmp_path, bucket) as (reader, _, blocks):
        await timed(reader, bucket, blocks[0])
        [facts] = reader.office.facts()
        assert facts.state == "banned"
        assert facts.share == 0.0
        assert len(reader.told) == 1
        assert facts.device in reader.told[0]
        assert reader.traffic.failures == {"lied": 1}
        assert (
            sum(reader.traffic.bytes.values()) - reader.traffic.bytes["received"]
            == (reader.traffic.bytes["received"])
        )  # all it sent of a block is counted as waste
        assert reader.office.owns(blocks[0])


@pytest.mark.parametrize(
    "behaviour", [hostile_peer.hangs, hostile_peer.breaks_off], ids=lambda b: b.__name__
)
async def test_a_peer_that_fails_rests_until_a_probe_finds_it_well(
    behaviour: Behaviour, tmp_path: Path
) -> None:
    bucket = Bucket()
    async with beside(behaviour, tmp_path, bucket) as (reader, peer, blocks):
        await timed(reader, bucket, blocks[0])
        [facts] = reader.office.facts()
        assert facts.state == "resting"
        assert not reader.told
        asked = len(peer.requests)
        await until(lambda: reader.office.facts()[0].state == "linked")
        assert len(peer.requests) == asked  # no reader paid for finding out
        await timed(reader, bucket, blocks[1])
        assert len(peer.requests) > asked


async def test_a_slow_body_is_given_up_within_its_deadline(tmp_path: Path) -> None:
    bucket = Bucket()
    async with beside(hostile_peer.dribbles, tmp_path, bucket) as (reader, _, blocks):
        assert await timed(reader, bucket, blocks[0]) < HEAD_START_S + 0.6
        assert reader.traffic.failures.keys() == {"slow"}
        assert 0 < reader.traffic.bytes["unfinished"] < 100_000
        assert await timed(reader, bucket, blocks[1]) < AT_ONCE


async def test_requests_that_fail_together_wait_together(tmp_path: Path) -> None:
    bucket = Bucket()
    async with beside(hostile_peer.hangs, tmp_path, bucket) as (reader, peer, blocks):
        assert await timed_together(reader, bucket, blocks) < HANG
        assert len(peer.requests) == min(len(blocks), 32)


async def test_an_owner_that_stays_busy_is_overtaken_by_the_bucket(tmp_path: Path) -> None:
    bucket = Bucket()
    async with beside(hostile_peer.stays_busy, tmp_path, bucket) as (reader, _, blocks):
        # One hedge is in the budget; its success frees the others.
        assert await timed_together(reader, bucket, blocks[:8]) < UNKNOWN_DELAY_S + 0.6
        assert reader.traffic.failures["overtaken"] == 1
        assert await timed(reader, bucket, blocks[8]) < AT_ONCE


async def test_an_owner_waits_a_bounded_time_for_a_peer_that_looks_up_for_ever(
    tmp_path: Path,
) -> None:
    bucket = Bucket()
    async with beside(hostile_peer.stays_busy, tmp_path, bucket) as (reader, peer, _):
        # The hostile one weighs sixteen times as much: of few blocks the reader may own none.
        own = next(b for b in bucket.fill(1_000, 1_000, seed=2) if reader.office.owns(b))
        assert await timed(reader, bucket, own) < LOOKUP_TIMEOUT_S + 0.6
        assert peer.requests[0].split()[1].endswith(b"?fetch=0")
        assert reader.traffic.failures.keys() == {"slow"}


async def test_a_peer_that_is_only_busy_is_waited_for_and_nothing_is_fetched_twice(
    tmp_path: Path,
) -> None:
    bucket = Bucket()

    async def dawdles(
        head: bytes, stream: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        block = BlockId(bytes.fromhex(head.split(b"/")[3][:64].decode()))
        ciphertext = bucket.blocks[block]
        await asyncio.sleep(0.8)
        writer.write(hostile_peer.PLAIN + chunk(b"\x01" + len(ciphertext).to_bytes(4)))
        await asyncio.sleep(0.6)
        writer.write(chunk(ciphertext) + hostile_peer.END)

    async with beside(dawdles, tmp_path, bucket) as (reader, _, blocks):
        fetched = await reader.source.fetch(PROJECT, blocks[0])
        assert fetched.source == "peer"
        assert not bucket.gets
        assert not reader.traffic.failures
