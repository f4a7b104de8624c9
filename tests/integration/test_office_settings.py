"""What people set of a workstation's part in its office: real daemons' peers on loopback."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from office_fixture import PROJECT, Bucket, Node, Roll, identities, node, until

from lucidnode.node.bucket.pace import RateLimit
from lucidnode.node.client.ids import Seq

SIZE = 100_000


async def _read(reader: Node, bucket: Bucket, count: int) -> list[str]:
    """Have *reader* read *count* blocks that it holds no copy of; return where they came from."""
    blocks = bucket.fill(count, SIZE, seed=len(bucket.blocks) + 7)
    return [(await reader.source.fetch(PROJECT, block)).source for block in blocks]


async def test_who_only_consumes_takes_from_others_and_keeps_nothing_for_them(
    tmp_path: Path,
) -> None:
    keys, bucket = identities(tmp_path, 3), Bucket()
    roll = Roll(*keys)
    async with (
        node(keys[0], roll, bucket) as first,
        node(keys[1], roll, bucket, first.place) as second,
        node(keys[2], roll, bucket, first.place, second.place, serves=False) as taker,
    ):
        await until(lambda: taker.usable() == {keys[0].id, keys[1].id})
        await until(lambda: first.usable() == {keys[1].id})
        assert set(await _read(taker, bucket, 12)) == {"peer"}
        assert set(taker.office.shares()) == {keys[0].id, keys[1].id}
        for other in (first, second):
            assert keys[2].id not in other.office.shares()
            assert keys[2].id not in other.usable()
        # What is said is heard all the same, both ways.
        first.office.talk.push(PROJECT, Seq(7))
        taker.office.talk.push(PROJECT, Seq(8))
        await until(lambda: (keys[0].id, PROJECT, Seq(7)) in taker.heard.pushes)
        await until(lambda: (keys[2].id, PROJECT, Seq(8)) in first.heard.pushes)


async def test_alone_who_consumes_reads_from_the_bucket_and_who_is_off_dials_nobody(
    tmp_path: Path,
) -> None:
    keys, bucket = identities(tmp_path, 3), Bucket()
    roll = Roll(*keys)
    async with (
        node(keys[0], roll, bucket) as first,
        node(keys[1], roll, bucket, serves=False) as alone,
        node(keys[2], roll, bucket, first.place, serves=False, asks=False) as off,
    ):
        assert set(await _read(alone, bucket, 3)) == {"bucket"}
        assert set(await _read(off, bucket, 3)) == {"bucket"}
        assert not off.usable()
        assert not off.office.facts()
        assert not first.office.facts()


async def test_who_is_quiet_gives_nothing_and_costs_its_colleagues_one_question(
    tmp_path: Path,
) -> None:
    keys, bucket, quiet = identities(tmp_path, 2), Bucket(), [True]
    roll = Roll(*keys)
    async with (
        node(keys[0], roll, bucket, is_quiet=lambda: quiet[0]) as still,
        node(keys[1], roll, bucket, still.place) as reader,
    ):
        await until(lambda: reader.usable() == {keys[0].id})
        assert set(await _read(reader, bucket, 12)) == {"bucket"}
        assert reader.usable() == {keys[0].id}  # it answered: nothing is wrong with it
        quiet[0] = False
        assert "peer" in await _read(reader, bucket, 12)


@pytest.mark.parametrize("whose", ["upload_limit", "download_limit"])
async def test_blocks_within_the_office_are_held_to_a_rate(tmp_path: Path, whose: str) -> None:
    keys, bucket = identities(tmp_path, 2), Bucket(seconds=0.3)
    roll, limit = Roll(*keys), RateLimit(1_000_000)
    giver, taker = (limit, None) if whose == "upload_limit" else (None, limit)
    async with (
        node(keys[0], roll, bucket, weight=64, upload_limit=giver) as first,
        node(
            keys[1], roll, bucket, first.place, weight=1, serves=False, download_limit=taker
        ) as reader,
    ):
        await until(lambda: reader.usable() == {keys[0].id})
        blocks = bucket.fill(8, SIZE)
        async with asyncio.TaskGroup() as tasks:
            for block in blocks:
                tasks.create_task(first.source.fetch(PROJECT, block))
        began = time.monotonic()
        sources = [(await reader.source.fetch(PROJECT, block)).source for block in blocks]
        # A quarter of a second's worth passes at once; a busy machine only makes it longer.
        assert time.monotonic() - began > (8 * SIZE - 450_000) / limit.rate
        assert "peer" in sources


async def test_callers_are_heard_on_the_chosen_interfaces_only(tmp_path: Path) -> None:
    keys, bucket = identities(tmp_path, 2), Bucket()
    roll, called = Roll(*keys), list[str]()

    def admits(address: str) -> bool:
        called.append(address)
        return False

    async with (
        node(keys[0], roll, bucket, admits=admits) as first,
        node(keys[1], roll, bucket, first.place) as second,
    ):
        await until(lambda: "127.0.0.1" in called)
        assert not second.usable()
        assert not first.office.facts()
