"""Two daemons with one device key notice each other through the bucket, and nobody else makes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from committer_fixture import VirtualClock
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.errors import AccessDenied, Unavailable
from lucidnode.node.client.roster_entry import device_id
from lucidnode.node.peers.instance_record import (
    MAX_BYTES,
    MAX_SEEN,
    InstanceRecord,
    SeenInstance,
    folder_of,
    instance_in,
    key_of,
    record_in,
    signed_record,
)
from lucidnode.node.peers.instances import FORGET_S, LOOK_S, Instances

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
ME = device_id(PUBLIC)


class Bucket(MemoryBucket):
    """Counts what is asked, and is away, closed to writers, or shows what was, as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.away = self.closed = False

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000):  # type: ignore[no-untyped-def]
        self.asked.append("list")
        if self.away:
            raise Unavailable("the bucket does not answer")
        return await super().list(prefix, after, limit)

    async def put(self, key: str, body: bytes) -> None:
        self.asked.append("put")
        if self.closed:
            raise AccessDenied("viewers do not write")
        await super().put(key, body)


class Home:
    """A daemon of the one device, that began as number *began*."""

    def __init__(self, world: World, began: int) -> None:
        self.instance = began.to_bytes(8, "big") + b"at chance"[:8]
        self.met: list[bytes] = []
        self.instances = Instances(
            bucket=world.bucket,
            me=ME,
            device_key=PUBLIC,
            instance=self.instance,
            sign=KEY.sign,
            met=self._meet,
            clock=world.clock,
        )

    def _meet(self, instance: bytes, host: str, lasts_s: float) -> None:
        assert host
        assert lasts_s > LOOK_S
        self.met.append(instance)


class World:
    """A bucket, and homes around it that know nothing else of each other."""

    def __init__(self) -> None:
        self.bucket = Bucket()
        self.clock = VirtualClock()

    @contextlib.asynccontextmanager
    async def running(self, *homes: Home) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(home.instances.run()) for home in homes]
            yield
            for loop in loops:
                loop.cancel()

    def records(self) -> set[bytes]:
        return {instance_in(key, ME) or b"" for key in self.bucket.objects}


@pytest.fixture
async def world() -> World:
    return World()


async def test_both_of_two_that_never_meet_hear_of_the_other(world: World) -> None:
    first, copy = Home(world, 1), Home(world, 2)
    async with world.running(first):
        await world.clock.pass_by(3 * LOOK_S)
        async with world.running(copy):
            await world.clock.pass_by(2 * LOOK_S)
            assert set(first.met) == {copy.instance}
            assert set(copy.met) == {first.instance}
            # As long as both live: for whatever is mounted later.
            first.met.clear()
            copy.met.clear()
            await world.clock.pass_by(6 * LOOK_S)
            assert len(first.met) > 100
            assert len(copy.met) > 100
        # It ends with the copy.
        await world.clock.pass_by(3 * LOOK_S)
        first.met.clear()
        await world.clock.pass_by(3 * LOOK_S)
        assert first.met == []


async def test_a_reason_has_both_look_at_once(world: World) -> None:
    first, copy = Home(world, 1), Home(world, 2)
    async with world.running(first):
        await world.clock.pass_by(3 * LOOK_S)
        async with world.running(copy):
            first.instances.suspect()  # the copy has committed something
            await world.clock.pass_by(11)
            assert first.met
            assert copy.met


async def test_a_reason_that_is_given_all_the_time_costs_a_look_in_twenty_seconds(
    world: World,
) -> None:
    home = Home(world, 1)
    async with world.running(home):
        await world.clock.pass_by(LOOK_S)
        world.bucket.asked.clear()
        for _ in range(100):
            home.instances.suspect()
            await world.clock.pass_by(1)
        assert 3 <= world.bucket.asked.count("list") <= 6


async def test_an_earlier_life_of_this_workstation_is_no_copy_and_its_record_goes(
    world: World,
) -> None:
    before, now = Home(world, 1), Home(world, 2)
    async with world.running(before):
        await world.clock.pass_by(3 * LOOK_S)
    async with world.running(now):
        await world.clock.pass_by(3 * LOOK_S)
        assert world.records() == {before.instance, now.instance}
        world.bucket.asked.clear()
        await world.clock.pass_by(2 * FORGET_S)
        assert world.records() == {now.instance}
        assert world.bucket.asked.count("put") <= 1, "who is alone says nothing more"
    assert now.met == []


async def test_a_copy_that_slept_is_noticed_when_it_wakes(world: World) -> None:
    first, copy = Home(world, 1), Home(world, 2)
    async with world.running(copy):
        await world.clock.pass_by(LOOK_S)
    async with world.running(first):
        await world.clock.pass_by(2 * FORGET_S)
        assert first.met == []
        async with world.running(copy):  # goes on where it was
            await world.clock.pass_by(3 * LOOK_S)
    assert set(first.met) == {copy.instance}
    assert set(copy.met) == {first.instance}


async def test_a_bucket_that_shows_what_was_said_before_proves_nothing(world: World) -> None:
    copy = Home(world, 1)
    said: list[dict[str, bytes]] = []
    for began in (2, 3, 4):
        async with world.running(copy, Home(world, began)):
            await world.clock.pass_by(4 * LOOK_S)
            said.append(dict(world.bucket.objects))
    now = Home(world, 5)
    world.bucket.objects.clear()
    async with world.running(now):
        for _ in range(10):
            for objects in said:
                world.bucket.objects.update(objects)
                await world.clock.pass_by(LOOK_S)
    assert now.met == []


async def test_who_has_no_key_of_the_device_makes_nobody_read_only(world: World) -> None:
    home, stranger = Home(world, 5), Ed25519PrivateKey.generate()
    async with world.running(home):
        await world.clock.pass_by(LOOK_S)
        key = key_of(ME, b"\0" * 16)
        for turn in range(10):
            said = InstanceRecord(1, [SeenInstance(home.instance, turn)])
            world.bucket.objects[key] = signed_record(said, key, stranger.sign)
            # What the device has said under another name is not said here.
            other = key_of(ME, b"\1" * 16)
            world.bucket.objects[other] = signed_record(said, key, KEY.sign)
            world.bucket.objects[f"{folder_of(ME)}/000001700000"] = b"where it can be reached"
            await world.clock.pass_by(LOOK_S)
    assert home.met == []


async def test_a_bucket_that_is_away_or_closed_stops_nobody(world: World) -> None:
    home, other = Home(world, 1), Home(world, 2)
    world.bucket.away = True
    async with world.running(home):
        await world.clock.pass_by(LOOK_S)
        world.bucket.away, world.bucket.closed = False, True
        await world.clock.pass_by(LOOK_S)
        assert world.bucket.objects == {}
        world.bucket.closed = False
        async with world.running(other):
            await world.clock.pass_by(3 * LOOK_S)
    assert home.met
    assert other.met


def test_what_is_said_is_read_as_it_was_and_has_room() -> None:
    seen = [SeenInstance(bytes([each]) * 16, 2**53 - 1) for each in range(MAX_SEEN)]
    said, key = InstanceRecord(2**53 - 1, seen), key_of(ME, b"\1" * 16)
    body = signed_record(said, key, KEY.sign)
    assert len(body) <= MAX_BYTES
    assert record_in(body, key, PUBLIC) == said
    assert instance_in(key, ME) == b"\1" * 16
    assert instance_in(f"{folder_of(ME)}/000001700000", ME) is None
    plain = InstanceRecord(7, [SeenInstance(b"\2" * 16, 3)])
    text = signed_record(plain, key, KEY.sign)[65:]
    assert text.hex() == "920791" + "92c410" + "02" * 16 + "03"


@given(st.binary(max_size=2 * MAX_BYTES))
def test_anything_else_says_nothing(body: bytes) -> None:
    assert record_in(body, key_of(ME, b"\1" * 16), PUBLIC) is None


async def test_a_record_that_somebody_took_away_is_made_again(world: World) -> None:
    home = Home(world, 1)
    async with world.running(home):
        await world.clock.pass_by(LOOK_S)
        world.bucket.objects.clear()
        await world.clock.pass_by(LOOK_S)
    assert world.records() == {home.instance}
