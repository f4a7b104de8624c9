"""Joining: a ticket admits one, and what the bucket shows decides nothing at one look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from studio_fixture import NOW, Studio, claim

from lucidnode.fs.errors import TicketSpent
from lucidnode.fs.membership.member import Label
from lucidnode.fs.membership.ticket import Ticket
from lucidnode.joining import join_log, join_studio
from lucidnode.new_home import NodeOptions
from lucidnode.node.bucket.keys import roster_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.bucket.network import Network
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import AccessDenied, Refused, Unavailable
from lucidnode.node.client.ids import Seq

LOCAL = NodeOptions(cache_dir=None, cache_limit_mib=None)
ADA = Label("Ada", "edit-1")


class FaultyBucket(MemoryBucket):
    """Answers what *fault* makes of the answer."""

    fault: Callable[[str], bytes | None] = staticmethod(lambda key: None)
    refuses: Unavailable | None = None

    async def create(self, key: str, body: bytes) -> None:
        if self.refuses is not None:
            raise self.refuses
        await super().create(key, body)

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        changed = self.fault(key)
        return await super().get(key, span) if changed is None else changed


class PatientClock(SystemClock):
    """Time that passes only in sleep, from the year of the studio's tickets on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def boot(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return NOW

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class Guest:
    """Somebody with a ticket to a studio whose log is in a bucket."""

    def __init__(self) -> None:
        self.studio = Studio()
        self.invite = self.studio.invite(expires_ns=2 * NOW)
        self.bucket = FaultyBucket()
        self.who = self.studio.newcomer()

    def publish(self) -> None:
        for seq, raw in enumerate(self.studio.entries, start=1):
            self.bucket.objects[roster_key(Seq(seq))] = raw

    def ticket(self) -> Ticket:
        return Ticket(
            bucket="",
            endpoint=None,
            region=None,
            credentials={},
            studio=self.studio.studio,
            genesis=self.studio.ada.genesis,
            lan_key=bytes(32),
            name_key=bytes(32),
            invite=self.invite,
            expires_ns=2 * NOW,
            suggested_name="",
        )

    async def join(self) -> None:
        device = claim(self.studio.studio, self.who.keys, b"d" * 32)
        await join_log(self.bucket, self.ticket(), self.who, device, PatientClock())
        seqs = sorted(self.bucket.objects)
        self.studio.entries = [self.bucket.objects[key] for key in seqs]

    def is_member(self) -> bool:
        return self.who.keys.public in self.studio.roster().members


async def test_garbage_in_the_log_keeps_nobody_from_joining(expected_warnings: list[str]) -> None:
    guest = Guest()
    guest.studio.entries += [b"<html>", guest.studio.entries[1]]
    guest.publish()
    await guest.join()
    assert guest.is_member()
    await guest.join()  # once more: the first run was not told how it ended
    assert len(guest.studio.roster().members) == 2
    expected_warnings += ["something that is no entry", "mixes its answers up"]


async def test_a_gateways_page_does_not_use_up_a_ticket(expected_warnings: list[str]) -> None:
    guest = Guest()
    guest.publish()
    before = dict(guest.bucket.objects)
    guest.bucket.fault = lambda key: b"<html>Welcome to our hotel</html>"
    with pytest.raises(Unavailable):
        await guest.join()
    guest.bucket.fault = lambda key: None if key in before else b"<html></html>"
    with pytest.raises(Unavailable):
        await guest.join()
    assert guest.bucket.objects == before
    guest.bucket.fault = lambda key: None
    await guest.join()
    assert guest.is_member()
    expected_warnings.append("answers in its place")


async def test_nobody_joins_in_the_place_of_a_lost_entry() -> None:
    guest = Guest()
    guest.studio.join()
    guest.studio.project("trailer")
    guest.publish()
    lost = guest.bucket.objects.pop(roster_key(Seq(3)))
    with pytest.raises(Unavailable, match="puts it back"):
        await guest.join()
    assert roster_key(Seq(3)) not in guest.bucket.objects
    guest.bucket.objects[roster_key(Seq(3))] = lost
    await guest.join()
    assert guest.is_member()


async def test_nobody_joins_on_top_of_nonsense_that_has_become_an_entry(
    expected_warnings: list[str],
) -> None:
    """Behind it stands more, of which alone the guest's entry would speak."""
    guest = Guest()
    before = list(guest.studio.entries)
    guest.studio.entries += [b"<html>", b"<body>"]
    guest.publish()
    guest.studio.entries = before
    guest.studio.project("trailer")
    looks: list[str] = []

    def exchanged(key: str) -> bytes | None:
        looks.append(key)
        if looks.count(roster_key(Seq(5))) == 1:  # all is read: now the guest would write
            guest.bucket.objects[roster_key(Seq(3))] = guest.studio.entries[2]
        return None

    guest.bucket.fault = exchanged
    with pytest.raises(Unavailable, match="puts it back"):
        await guest.join()
    guest.bucket.fault = lambda key: None
    await guest.join()
    assert guest.is_member()
    assert len(guest.studio.roster().projects) == 1
    expected_warnings.append("something that is no entry")


async def test_who_joins_in_a_bucket_that_takes_nothing_hears_why() -> None:
    guest = Guest()
    guest.publish()
    guest.bucket.refuses = AccessDenied("The bucket refuses access", "ask for rights")
    with pytest.raises(AccessDenied, match="ask for rights"):
        await guest.join()
    guest.bucket.refuses = Unavailable("The bucket is full", "make room")
    with pytest.raises(Unavailable, match="is full: make room; that you joined is not confirmed"):
        await guest.join()
    guest.bucket.refuses = None
    await guest.join()
    assert guest.is_member()


async def test_a_stray_object_behind_the_end_keeps_nobody_out() -> None:
    guest = Guest()
    guest.publish()
    stray = {roster_key(Seq(9)): b"nonsense", roster_key(Seq(12)): Studio().entries[0]}
    guest.bucket.objects.update(stray)
    await guest.join()
    assert guest.studio.entries[2] != b"nonsense"
    assert guest.is_member()


async def test_a_ticket_admits_one() -> None:
    guest = Guest()
    guest.publish()
    await guest.join()
    guest.who = guest.studio.newcomer("Mallory")
    with pytest.raises(TicketSpent):
        await guest.join()


async def test_a_ticket_with_odd_credentials_is_refused_in_words(tmp_path: Path) -> None:
    ticket = msgspec.structs.replace(Guest().ticket(), credentials={"odd": "x"})
    with pytest.raises(Refused, match="credentials"):
        await join_studio(tmp_path / "home", ticket, Network(), LOCAL, "words", ADA)
