"""Laws of the node's copy of the membership log: whole, each entry once, never rolled back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from studio_fixture import Studio

from lucidnode.fs.membership.member import MemberKeys
from lucidnode.node.bucket.bucket import MAX_OBJECT_BYTES
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.keys import roster_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import AccessDenied, NodeError, Refused, Unavailable
from lucidnode.node.client.ids import DeviceId, Seq
from lucidnode.node.client.roster_entry import (
    MAX_FORMAT,
    RosterEntry,
    entry_hash,
    signing_message,
    stand_in,
)
from lucidnode.node.client.roster_rules import verified
from lucidnode.node.roster.service import RosterService

PAGE = b"<html><title>Welcome to our hotel</title></html>"
SEED = b"d" * 32


class PatientClock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now = 1000.0

    def boot(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return int(self.now * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class FaultyBucket(MemoryBucket):
    """Answers after others have had their turn, and then what *fault* makes of the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Callable[[str, bytes | None], bytes | None] | None = None
        self.requests = 0
        self.refuses: NodeError | None = None

    async def create(self, key: str, body: bytes) -> None:
        if self.refuses is not None:
            raise self.refuses
        await super().create(key, body)

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        await asyncio.sleep(0)
        self.requests += 1
        if self.fault is not None:
            changed = self.fault(key, self.objects.get(key))
            if changed is not None:
                return changed
        return await super().get(key, span)


def away(key: str, body: bytes | None) -> bytes | None:
    raise Unavailable("away")


def denied(key: str, body: bytes | None) -> bytes | None:
    raise AccessDenied("denied")


def portal(key: str, body: bytes | None) -> bytes | None:
    return PAGE


class Scene:
    """A studio in a bucket, and services of one node over it."""

    def __init__(self, folder: Path) -> None:
        self.studio = Studio()
        self.bucket = FaultyBucket()
        self.saved = folder / "roster.bin"
        self.clock = PatientClock()
        self.alerts = Alerts(self.clock)
        self.changes = 0

    def publish(self) -> None:
        for seq, entry in enumerate(self.studio.entries, start=1):
            self.bucket.objects[roster_key(Seq(seq))] = entry

    def service(self) -> RosterService:
        service = RosterService(
            bucket=self.bucket,
            genesis=self.studio.ada.genesis,
            saved=self.saved,
            clock=self.clock,
            jitter=lambda: 0.5,
            alerts=self.alerts,
        )
        service.watch(self._count)
        return service

    def _count(self) -> None:
        self.changes += 1

    async def known(self) -> RosterService:
        """Return a service that has read the log as published."""
        self.publish()
        service = self.service()
        await service.know()
        return service

    def lose(self, seq: int) -> bytes:
        return self.bucket.objects.pop(roster_key(Seq(seq)))

    def topics(self) -> set[str]:
        return {alert.topic for alert in self.alerts.current()}

    def causes(self) -> str:
        return " ".join(alert.cause for alert in self.alerts.current())

    def cause(self, topic: str) -> str:
        (alert,) = (one for one in self.alerts.current() if one.topic == topic)
        return alert.cause


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@contextlib.asynccontextmanager
async def running(service: RosterService) -> AsyncIterator[None]:
    task = asyncio.ensure_future(service.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def rounds(scene: Scene, service: RosterService, count: int = 3) -> None:
    """Let *service* make at least *count* rounds."""
    async with running(service):
        for _ in range(count):
            until = scene.clock.now + 1.0
            service.look_soon()
            while scene.clock.now < until:
                await asyncio.sleep(0)


async def until(scene: Scene, service: RosterService, holds: Callable[[], bool]) -> None:
    """Wait until *holds* while *service* runs, for twenty minutes of the scene's clock at most."""
    end = scene.clock.now + 1200
    while not holds():
        assert scene.clock.now < end
        service.look_soon()
        await asyncio.sleep(0)


# -- an ordinary log -----------------------------------------------------------------------------


async def test_looks_at_the_same_time_take_each_entry_once(scene: Scene) -> None:
    service = await scene.known()
    scene.studio.join()
    scene.publish()
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(service.refresh())
    assert await service.entries() == scene.studio.entries
    assert not service.current.voids


async def test_an_entry_appended_is_known_at_once(scene: Scene) -> None:
    service = await scene.known()
    invite = scene.studio.invite()
    assert invite.public not in service.current.invites
    reply = await service.append(Seq(2), scene.studio.entries[1])
    assert reply.outcome == "committed"
    assert invite.public in service.current.invites


async def test_what_no_reader_would_count_is_not_appended(scene: Scene) -> None:
    service = await scene.known()
    stranger = Studio()
    stranger.invite()
    for wrong in (PAGE, b"", scene.studio.entries[0], stranger.entries[1]):
        with pytest.raises(Refused):
            await service.append(Seq(2), wrong)
    assert list(scene.bucket.objects) == [roster_key(Seq(1))]


@pytest.mark.parametrize(
    ("refusal", "kind", "words"),
    [
        (AccessDenied("The bucket refuses access", "give write access"), AccessDenied, "refuses"),
        (
            Unavailable("The bucket is full", "make room there"),
            Unavailable,
            "is full: make room there; whether",
        ),
    ],
)
async def test_who_appends_to_a_bucket_that_takes_nothing_hears_why(
    scene: Scene, refusal: Unavailable, kind: type[Unavailable], words: str
) -> None:
    service = await scene.known()
    scene.studio.invite()
    scene.bucket.refuses = refusal
    began = scene.clock.now
    with pytest.raises(kind, match=words) as raised:
        await service.append(Seq(2), scene.studio.entries[1])
    assert type(raised.value) is kind
    assert scene.clock.now - began <= 20


async def test_hints_without_end_cause_a_look_a_second(scene: Scene) -> None:
    service = await scene.known()
    before, start = scene.bucket.requests, scene.clock.now
    async with running(service):
        while scene.clock.now < start + 20:
            service.look_soon()
            await asyncio.sleep(0)
    assert scene.bucket.requests - before < 20 * 4


# -- a daemon with a saved roster always starts --------------------------------------------------


@pytest.mark.parametrize("fault", [away, denied, portal])
async def test_whatever_the_bucket_answers_a_node_starts_with_what_it_knows(
    scene: Scene, fault: Callable[[str, bytes | None], bytes | None], expected_warnings: list[str]
) -> None:
    await scene.known()
    scene.bucket.fault = fault
    service = scene.service()
    await service.know()
    assert service.current.head == len(scene.studio.entries)
    assert await service.entries() == scene.studio.entries
    await rounds(scene, service)
    assert service.current.head == len(scene.studio.entries)
    if fault is portal:
        expected_warnings.append("Something between here and the bucket answers in its place")


async def test_a_first_look_needs_the_bucket_and_a_studio_in_it(scene: Scene) -> None:
    with pytest.raises(WrongBucket):
        await scene.service().know()
    scene.bucket.fault = away
    with pytest.raises(Unavailable, match="has not met it before"):
        await scene.service().know()


async def test_another_studios_bucket_is_refused_at_first_and_ignored_later(
    scene: Scene, expected_warnings: list[str]
) -> None:
    other = Studio()
    other.invite()
    other.join()
    foreign = {roster_key(Seq(seq)): raw for seq, raw in enumerate(other.entries, start=1)}
    scene.bucket.objects = dict(foreign)
    with pytest.raises(WrongBucket, match="another studio"):
        await scene.service().know()
    scene.bucket.objects.clear()
    await scene.known()
    scene.bucket.objects = dict(foreign)
    service = scene.service()
    await service.know()
    await rounds(scene, service, 20)
    assert await service.entries() == scene.studio.entries
    assert scene.bucket.objects == foreign  # and nothing of ours is put there
    assert "roster-history" in scene.topics()
    scene.bucket.objects.clear()
    scene.studio.invite()
    scene.publish()
    await rounds(scene, service, 70)
    assert await service.entries() == scene.studio.entries
    assert "roster-history" not in scene.topics()
    expected_warnings += ["The bucket shows another log"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"\0" * len(raw),
        lambda raw: msgspec.msgpack.encode(wire.RosterLog(Studio().entries)),
    ],
    ids=["emptied", "cut", "zeros", "another studio's"],
)
async def test_a_damaged_copy_is_set_aside_and_fetched_anew(
    scene: Scene, damage: Callable[[bytes], bytes], expected_warnings: list[str]
) -> None:
    await scene.known()
    good = scene.saved.read_bytes()
    damaged = damage(good)
    scene.saved.write_bytes(damaged)
    service = scene.service()
    await service.know()
    assert await service.entries() == scene.studio.entries
    assert scene.saved.read_bytes() == good
    assert scene.saved.with_name("roster.bin.damaged").read_bytes() == damaged
    assert "roster-copy" in scene.topics()
    expected_warnings.append("copy of the log of members")


async def test_a_disk_without_room_stops_nothing(
    scene: Scene, expected_warnings: list[str]
) -> None:
    scene.publish()
    scene.saved.mkdir()  # neither readable nor replaceable as a file
    service = scene.service()
    await service.know()
    assert await service.entries() == scene.studio.entries
    assert {"roster-copy", "roster-disk"} <= scene.topics()
    scene.saved.rmdir()
    await service.refresh()
    assert "roster-disk" not in scene.topics()
    assert scene.saved.is_file()
    expected_warnings += ["copy of the log of members", "cannot be kept on this disk"]


def later(studio: Studio, author: MemberKeys) -> bytes:
    """Return an entry of a later format for the next slot."""
    head = studio.roster()
    seq, body = Seq(head.head + 1), b"what it means is not known here"
    signature = author.sign(
        signing_message(seq, head.head_hash, author.public, body, MAX_FORMAT + 1)
    )
    return RosterEntry(MAX_FORMAT + 1, seq, head.head_hash, author.public, body, signature).encode()


async def test_an_owners_later_version_leaves_the_last_roster_in_force(
    scene: Scene, expected_warnings: list[str]
) -> None:
    scene.studio.join()
    scene.studio.entries.append(later(scene.studio, scene.studio.ada.keys))
    for _ in range(2):  # fresh, and from the copy
        service = await scene.known()
        assert len(service.current.members) == 2
        assert service.current.newer == 4
        assert "later version" in scene.cause("roster-newer")
        with pytest.raises(Refused, match="update"):
            await service.append(Seq(5), scene.studio.entries[1])
        await rounds(scene, service)
    expected_warnings.append("later version")


async def test_a_later_format_by_anybody_else_is_void(
    scene: Scene, expected_warnings: list[str]
) -> None:
    invite = scene.studio.invite("viewer")
    scene.studio.entries.append(later(scene.studio, invite))
    service = await scene.known()
    assert service.current.newer is None
    assert [void.seq for void in service.current.voids] == [3]
    scene.studio.entries.append(scene.studio.joining(invite, scene.studio.newcomer()))
    scene.publish()
    await service.refresh()
    assert len(service.current.members) == 2
    assert "later format" in scene.cause("roster-void")
    expected_warnings.append("counts for nothing")


async def test_what_was_read_before_a_failure_counts_and_is_kept(scene: Scene) -> None:
    scene.studio.join()
    scene.publish()
    scene.bucket.fault = lambda key, body: away(key, body) if key == roster_key(Seq(3)) else None
    service = scene.service()
    await service.know()
    assert service.current.head == 2
    scene.bucket.fault = away
    again = scene.service()
    await again.know()
    assert again.current == service.current


# -- no decision for good on one look ------------------------------------------------------------


async def test_a_page_in_place_of_an_entry_is_no_entry(
    scene: Scene, expected_warnings: list[str]
) -> None:
    service = await scene.known()
    scene.bucket.fault = portal
    before = scene.bucket.requests
    await rounds(scene, service, 20)
    assert service.current.head == 1
    assert scene.bucket.requests - before < 100
    assert "roster-answers" in scene.topics()
    scene.bucket.fault = None
    scene.studio.invite()
    scene.publish()
    await rounds(scene, service, 20)
    assert await service.entries() == scene.studio.entries
    assert "roster-answers" not in scene.topics()
    assert not service.current.voids
    expected_warnings.append("Something between here and the bucket answers in its place")


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
        lambda raw: raw[:-1],
        lambda raw: raw + b"\0",
        lambda raw: raw[:40] + bytes([raw[40] ^ 1]) + raw[41:],
        lambda raw: b"",
    ],
    ids=["signature", "cut", "extended", "hash", "empty"],
)
async def test_an_entry_damaged_in_one_answer_is_read_again(
    scene: Scene, damage: Callable[[bytes], bytes]
) -> None:
    service = await scene.known()
    scene.studio.invite()
    scene.publish()
    left = [1]

    def once(key: str, body: bytes | None) -> bytes | None:
        return damage(body) if body is not None and left and left.pop() else None

    scene.bucket.fault = once
    with contextlib.suppress(Unavailable):
        await service.refresh()
    await rounds(scene, service, 20)
    assert await service.entries() == scene.studio.entries
    assert not service.current.voids


@pytest.mark.parametrize("number", [2, 3, 4])
async def test_an_entry_that_was_garbled_for_a_while_counts_soon_after_with_those_behind_it(
    scene: Scene, number: int, expected_warnings: list[str]
) -> None:
    """Always in the same way: that passes every proof, and whoever it names would be unknown."""
    expected_warnings += ["counts for nothing", "counts as empty"]

    def garbled(key: str, body: bytes | None) -> bytes | None:
        wanted = body is not None and key == roster_key(Seq(number))
        return b"?" + body[1:] if wanted and body is not None else None

    service = await scene.known()
    scene.studio.join()
    scene.studio.join()
    scene.publish()
    scene.bucket.fault = garbled
    await service.refresh()
    assert service.current.head_hash != scene.studio.roster().head_hash
    scene.bucket.fault = None
    begun = scene.clock.now
    async with running(service):
        while service.current.head_hash != scene.studio.roster().head_hash:
            service.look_soon()  # the regular poll is on a real clock
            await asyncio.sleep(0)
            assert scene.clock.now - begun < 30, "not soon"
    assert not service.current.voids
    assert scene.topics() == set(), "what was no entry is one"


async def test_what_is_too_large_is_void_and_the_log_goes_on_behind_it(
    scene: Scene, expected_warnings: list[str]
) -> None:
    scene.publish()
    huge = bytes(MAX_OBJECT_BYTES + 1)
    scene.bucket.objects[roster_key(Seq(2))] = huge
    scene.bucket.objects[roster_key(Seq(3))] = bytes(2 * 1024 * 1024)
    service = scene.service()
    await service.know()
    assert service.current.head == 3
    assert [void.seq for void in service.current.voids] == [2, 3]
    assert sum(map(len, await service.entries())) < len(scene.studio.entries[0]) + 100
    scene.studio.entries = await service.entries()
    scene.studio.invite()
    reply = await service.append(Seq(4), scene.studio.entries[3])
    assert reply.outcome == "committed"
    other = scene.service()
    await other.know()
    assert other.current.invites == service.current.invites
    expected_warnings += ["counts for nothing", "no entry of the log"]


async def test_who_starts_behind_much_nonsense_gets_past_more_of_it(
    scene: Scene, expected_warnings: list[str]
) -> None:
    """Nothing right below tells whether it is the bucket that answers, and what did is forgotten."""
    expected_warnings += ["counts for nothing", "no entry of the log"]
    scene.studio.entries += [b"nonsense"] * 6
    await scene.known()
    scene.studio.entries += [b"nonsense"] * 2
    scene.studio.invite()
    scene.publish()
    again = scene.service()
    await again.know()
    async with running(again):
        await until(scene, again, lambda: bool(again.current.invites))


async def test_what_was_cleared_away_before_anybody_built_on_it_is_forgotten(
    scene: Scene, expected_warnings: list[str]
) -> None:
    scene.studio.entries.append(b"garbage")
    service = await scene.known()
    assert service.current.head == 2
    scene.lose(2)
    scene.studio.entries.pop()
    scene.studio.invite()
    scene.publish()
    await rounds(scene, service, 80)
    assert await service.entries() == scene.studio.entries
    assert not service.current.voids
    assert "roster-history" not in scene.topics()
    expected_warnings += ["counts for nothing", "no entry of the log"]


@pytest.mark.parametrize("is_seen_first", [True, False])
async def test_nobody_builds_on_nonsense_that_has_become_an_entry(
    scene: Scene, is_seen_first: bool, expected_warnings: list[str]
) -> None:
    """What stands on nonsense names the last of it alone: the others are looked at again.

    Numbers 3 and 4 are nonsense when they are read here. 3 is cleared away, and somebody else, who
    has not read it, creates a project in its place.
    """
    expected_warnings += ["counts for nothing", "no entry of the log"]
    scene.studio.invite()
    before = list(scene.studio.entries)
    scene.studio.entries += [b"nonsense", b"more of it"]
    service = await scene.known()
    scene.studio.invite()
    ours = scene.studio.entries.pop()
    scene.studio.entries = before
    scene.studio.project("trailer")
    scene.studio.entries += [b"more of it"]
    scene.bucket.objects.clear()
    scene.publish()
    if is_seen_first:
        with pytest.raises(Refused, match="as this workstation has read it"):
            await service.append(Seq(5), ours)
        assert roster_key(Seq(5)) not in scene.bucket.objects
    else:
        scene.studio.entries.append(ours)  # another one's, who had read the same as we
        scene.publish()
    await rounds(scene, service, 80)
    newcomer = verified(scene.studio.entries, scene.studio.ada.genesis)
    assert list(service.current.projects) == list(newcomer.projects) != []
    assert service.current.head_hash == newcomer.head_hash
    assert "roster-history" not in scene.topics()


async def test_what_became_an_entry_while_we_built_on_it_is_no_foundation(
    scene: Scene, expected_warnings: list[str]
) -> None:
    """It is seen once more when ours is there: whoever reads ours reads it on top of something else."""
    expected_warnings += ["counts for nothing", "no entry of the log"]
    scene.studio.entries += [b"nonsense", b"more of it"]
    service = await scene.known()
    trunk = scene.studio.entries
    scene.studio.invite()
    ours = trunk.pop()
    scene.studio.entries = trunk[:1]
    scene.studio.project("trailer")
    theirs = scene.studio.entries[1]

    def exchanged(key: str, body: bytes | None) -> bytes | None:
        if roster_key(Seq(4)) in scene.bucket.objects:
            scene.bucket.objects[roster_key(Seq(2))] = theirs
        return None

    scene.bucket.fault = exchanged
    with pytest.raises(Unavailable, match="number 2; whether the change arrived"):
        await service.append(Seq(4), ours)
    await rounds(scene, service, 80)
    assert len(service.current.projects) == len(service.current.invites) == 1
    assert await service.entries() == [trunk[0], theirs, stand_in(entry_hash(trunk[2])), ours]
    assert "roster-history" not in scene.topics()


@pytest.mark.parametrize("is_over", [True, False])
async def test_an_entry_behind_nonsense_does_not_confirm_what_was_garbled_before_it(
    scene: Scene, is_over: bool, expected_warnings: list[str]
) -> None:
    """The entry at 5 names the nonsense at 4 and says nothing of 2 and 3, which were read garbled.

    If they still are, they count for nothing: that is what the bucket holds, as far as can be told.
    """
    expected_warnings += ["counts for nothing", "counts as empty"]

    def garbled(key: str, body: bytes | None) -> bytes | None:
        wanted = body is not None and key == roster_key(Seq(2))
        return b"?" + body[1:] if wanted and body is not None else None

    service = await scene.known()
    scene.studio.join()
    scene.studio.entries.append(b"nonsense")
    scene.publish()
    scene.bucket.fault = garbled
    await service.refresh()
    assert service.current.head == 4
    if is_over:
        scene.bucket.fault = None
    scene.studio.invite()
    scene.publish()
    await rounds(scene, service, 80)
    assert len(service.current.members) == (2 if is_over else 1)
    assert len(service.current.invites) == 1
    assert "roster-history" not in scene.topics()


# -- a bucket that loses or exchanges entries ----------------------------------------------------


async def test_what_the_bucket_loses_is_put_back_and_said(
    scene: Scene, expected_warnings: list[str]
) -> None:
    for _ in range(3):
        scene.studio.join()
    service = await scene.known()
    published = dict(scene.bucket.objects)
    for lost in ((7,), (6, 7), (3,), (2, 4, 6)):
        for seq in lost:
            scene.lose(seq)
        await rounds(scene, service, 600)
        assert scene.bucket.objects == published, lost
        assert await service.entries() == scene.studio.entries
        assert "put it back" in scene.cause("roster-lost")
    assert "roster-history" not in scene.topics()
    expected_warnings.append("The bucket had lost")


async def test_lost_garbage_is_put_back_so_that_newcomers_get_past_it(
    scene: Scene, expected_warnings: list[str]
) -> None:
    scene.studio.entries.append(b"garbage")
    scene.studio.invite()
    service = await scene.known()
    scene.lose(2)
    await rounds(scene, service, 200)
    assert scene.bucket.objects[roster_key(Seq(2))] == stand_in(entry_hash(b"garbage"))
    scene.saved.unlink()
    newcomer = scene.service()
    await newcomer.know()
    assert newcomer.current.invites == service.current.invites
    assert newcomer.log_head() == service.log_head()
    await rounds(scene, service, 200)
    assert "roster-history" not in scene.topics()
    expected_warnings += ["counts for nothing", "no entry of the log", "The bucket had lost"]


async def test_an_emptied_bucket_is_not_filled_again(
    scene: Scene, expected_warnings: list[str]
) -> None:
    scene.studio.join()
    service = await scene.known()
    scene.bucket.objects.clear()
    await rounds(scene, service, 100)
    assert not scene.bucket.objects
    assert "roster-history" in scene.topics()
    assert len(service.current.members) == 2
    expected_warnings.append("The bucket shows another log")


async def test_an_exchanged_entry_is_an_alert_and_changes_nothing_here(
    scene: Scene, expected_warnings: list[str]
) -> None:
    """The newest entry is deleted, and a used ticket joins again in its place."""
    invite = scene.studio.invite()
    before = list(scene.studio.entries)
    scene.studio.entries.append(scene.studio.joining(invite, scene.studio.newcomer()))
    service = await scene.known()
    members = dict(service.current.members)
    again = Studio(entries=[])
    again.__dict__.update(scene.studio.__dict__)
    again.entries = before
    second = again.joining(invite, again.newcomer("Mallory"))
    scene.bucket.objects[roster_key(Seq(3))] = second
    await rounds(scene, service, 100)
    assert service.current.members == members
    assert "number 3 was deleted or exchanged" in scene.cause("roster-history")
    scene.studio.invite()
    with pytest.raises(Refused, match="as this workstation has read it"):
        await service.append(Seq(4), scene.studio.entries[3])
    assert roster_key(Seq(4)) not in scene.bucket.objects
    expected_warnings.append("The bucket shows another log")


async def test_that_an_older_entry_is_exchanged_is_told_until_it_is_back(
    scene: Scene, expected_warnings: list[str]
) -> None:
    """However many other numbers are found right meanwhile, one after the other."""
    for _ in range(3):
        scene.studio.join()
    service = await scene.known()
    right = dict(scene.bucket.objects)
    wrong = [Seq(3), Seq(5)]
    for seq in wrong:
        scene.bucket.objects[roster_key(seq)] = right[roster_key(Seq(2))]
    async with running(service):
        await until(scene, service, lambda: "roster-history" in scene.topics())
        end = scene.clock.now + 600
        await until(
            scene, service, lambda: "roster-history" not in scene.topics() or scene.clock.now > end
        )
        for seq in wrong:
            assert f"number {seq} was deleted or exchanged" in scene.cause("roster-history")
            scene.bucket.objects[roster_key(seq)] = right[roster_key(seq)]
            await until(scene, service, lambda seq=seq: f"number {seq} " not in scene.causes())  # type: ignore[misc]
    assert "roster-history" not in scene.topics()
    expected_warnings += ["The bucket shows another log", "is not the entry", "that is no entry"]


async def test_what_goes_on_is_read_while_an_older_entry_is_exchanged_and_nothing_is_put_back(
    scene: Scene, expected_warnings: list[str]
) -> None:
    """Who has read another log than the others would put back what was never there for them."""
    for _ in range(2):
        scene.studio.join()
    scene.studio.entries.append(b"nonsense")
    service = await scene.known()
    scene.bucket.objects[roster_key(Seq(3))] = scene.bucket.objects[roster_key(Seq(2))]
    async with running(service):
        await until(scene, service, lambda: "roster-history" in scene.topics())
    lost = scene.lose(4)
    scene.lose(6)
    scene.studio.entries.pop()
    scene.studio.invite()
    scene.bucket.objects[roster_key(Seq(6))] = scene.studio.entries[5]
    async with running(service):
        await until(scene, service, lambda: bool(service.current.invites))
        await until(scene, service, lambda end=scene.clock.now + 300: scene.clock.now > end)  # type: ignore[misc]
        assert roster_key(Seq(4)) not in scene.bucket.objects
        assert "number 3 was deleted or exchanged" in scene.cause("roster-history")
        scene.bucket.objects[roster_key(Seq(3))] = scene.studio.entries[2]
        await until(scene, service, lambda: roster_key(Seq(4)) in scene.bucket.objects)
    assert scene.bucket.objects[roster_key(Seq(4))] == lost
    expected_warnings += ["The bucket shows another log", "is not the entry", "no entry"]
    expected_warnings += ["counts for nothing", "The bucket had lost"]


async def test_nothing_is_appended_on_top_of_a_lost_entry(
    scene: Scene, expected_warnings: list[str]
) -> None:
    scene.studio.join()
    service = await scene.known()
    scene.lose(3)
    scene.studio.invite()
    with pytest.raises(Refused):
        await service.append(Seq(4), scene.studio.entries[3])
    # By then it has been put back, and the next try is good.
    reply = await service.append(Seq(4), scene.studio.entries[3])
    assert reply.outcome == "committed"
    expected_warnings.append("The bucket had lost")


async def test_a_log_that_got_shorter_changes_nothing(scene: Scene) -> None:
    scene.studio.join()
    service = await scene.known()
    scene.lose(len(scene.studio.entries))
    await service.refresh()
    assert await service.entries() == scene.studio.entries


# -- a person decides that the bucket is right ---------------------------------------------------


async def other_log(scene: Scene) -> tuple[RosterService, list[bytes]]:
    """Return a service that goes by another log from 2 on than the bucket has, and its items."""
    scene.studio.join()
    service = await scene.known()
    known = await service.entries()
    scene.studio.entries = scene.studio.entries[:1]
    scene.studio.project("trailer")
    scene.studio.entries.append(PAGE)
    scene.publish()
    async with running(service):
        await until(scene, service, lambda: "roster-history" in scene.topics())
    return service, known


async def test_who_is_told_to_goes_by_the_bucket_again_and_keeps_what_he_knew(
    scene: Scene, expected_warnings: list[str]
) -> None:
    service, known = await other_log(scene)
    assert "members repair" in scene.alerts.current()[-1].remedy
    peer = a_peer(scene, service)
    service.heard(peer, Seq(2), entry_hash(scene.studio.entries[1]))
    shown = await service.shown()
    assert list(map(entry_hash, shown.entries))[:2] == list(
        map(entry_hash, scene.studio.entries[:2])
    )
    assert (shown.agreeing, shown.disagreeing) == ([peer], [])
    assert await service.entries() == known
    changes = scene.changes
    await service.start_again(Seq(2), entry_hash(shown.entries[1]))
    assert await service.entries() == shown.entries
    assert scene.changes > changes
    aside = scene.saved.with_name(f"roster.bin.{entry_hash(known[-1])[:8].hex()}")
    assert msgspec.msgpack.decode(aside.read_bytes(), type=wire.RosterLog).entries == known
    async with running(service):
        await until(scene, service, lambda: "roster-history" not in scene.topics())
    scene.studio.entries = list(shown.entries)
    scene.studio.invite()
    reply = await service.append(Seq(4), scene.studio.entries[3])
    assert reply.outcome == "committed"
    again = scene.service()
    await again.know()
    assert await again.entries() == scene.studio.entries
    expected_warnings += ["The bucket shows another log", "no entry"]


async def test_a_log_that_a_person_has_not_seen_is_not_gone_by(
    scene: Scene, expected_warnings: list[str]
) -> None:
    service, known = await other_log(scene)
    seen = entry_hash((await service.shown()).entries[-1])
    scene.bucket.objects[roster_key(Seq(3))] = PAGE + b" "
    for seq in (3, 4):
        with pytest.raises(Refused, match="look again"):
            await service.start_again(Seq(seq), seen)
    scene.bucket.objects[roster_key(Seq(1))] = Studio().entries[0]
    with pytest.raises(Refused, match="not the one of this studio"):
        await service.shown()
    scene.bucket.objects.clear()
    with pytest.raises(Refused, match="emptied"):
        await service.shown()
    assert await service.entries() == known
    expected_warnings += ["The bucket shows another log", "no entry"]


async def test_what_was_known_is_given_up_only_once_it_is_kept(
    scene: Scene, expected_warnings: list[str]
) -> None:
    service, known = await other_log(scene)
    shown = await service.shown()
    aside = scene.saved.with_name(f"roster.bin.{entry_hash(known[-1])[:8].hex()}")
    aside.mkdir()
    with pytest.raises(Refused, match="on this disk"):
        await service.start_again(Seq(3), entry_hash(shown.entries[-1]))
    assert await service.entries() == known
    expected_warnings += ["The bucket shows another log", "no entry"]


# -- what peers say ------------------------------------------------------------------------------


def a_peer(scene: Scene, service: RosterService) -> DeviceId:
    return list(service.current.devices)[-1]


async def test_peers_with_the_same_log_agree_whoever_is_ahead(scene: Scene) -> None:
    scene.studio.join()
    service = await scene.known()
    peer = a_peer(scene, service)
    hashes = [entry_hash(raw) for raw in scene.studio.entries]
    service.heard(peer, Seq(2), hashes[1])
    await rounds(scene, service)
    assert service.log_head() == (3, hashes[2])
    scene.studio.invite()
    scene.publish()
    service.heard(peer, Seq(4), entry_hash(scene.studio.entries[3]))
    await rounds(scene, service)
    assert service.current.head == 4
    assert not scene.topics()


async def test_a_peer_that_was_shown_another_log_is_an_alert_until_it_is_over(
    scene: Scene, expected_warnings: list[str]
) -> None:
    scene.studio.join()
    service = await scene.known()
    peer = a_peer(scene, service)
    for word in ((Seq(3), bytes(32)), (Seq(9), bytes(32))):
        service.heard(peer, *word)
        await rounds(scene, service)
        assert f"roster-peer:{peer}" in scene.topics()
        service.heard(peer, *service.log_head())
        await rounds(scene, service)
        assert not scene.topics()
    expected_warnings.append("another log of members")


async def test_the_word_of_who_is_no_device_of_the_studio_counts_for_nothing(scene: Scene) -> None:
    service = await scene.known()
    service.heard(DeviceId("ab" * 16), Seq(7), bytes(32))
    await rounds(scene, service)
    assert not scene.topics()


async def test_all_nodes_come_to_the_same_whatever_lies_between(
    scene: Scene, expected_warnings: list[str]
) -> None:
    """A node that read step by step, one that reads at once, and a member who gets the items."""
    service = await scene.known()
    scene.studio.join()
    scene.studio.entries.append(PAGE)
    scene.publish()
    await service.refresh()
    scene.studio.entries.append(bytes(MAX_OBJECT_BYTES // 8))
    scene.studio.project("trailer")
    scene.publish()
    await service.refresh()
    scene.saved.unlink()
    fresh = scene.service()
    await fresh.know()
    read_by_member = verified(await service.entries(), scene.studio.ada.genesis)
    for other in (fresh.current, read_by_member, scene.studio.roster()):
        assert other.head_hash == service.current.head_hash
        assert other.members == service.current.members
        assert other.projects == service.current.projects
    expected_warnings += ["counts for nothing", "no entry of the log"]


async def test_the_alert_about_what_is_no_entry_ends_soon_after_the_entries_are_back(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings += ["counts as empty", "another log of members"]
    for _ in range(30):
        scene.studio.invite()
    service = await scene.known()
    for seq, spoilt in ((1, b""), (9, PAGE)):
        scene.bucket.objects[roster_key(Seq(seq))] = spoilt
    async with running(service):
        while "of 2 numbers from 1 to 9," not in scene.causes():
            service.look_soon()
            await asyncio.sleep(0)
        noted = scene.clock.now
        while scene.clock.now < noted + 100:
            service.look_soon()
            await asyncio.sleep(0)
        scene.publish()
        restored = scene.clock.now
        while "roster-answers:foreign" in scene.topics():
            service.look_soon()
            await asyncio.sleep(0)
    assert scene.clock.now - restored < 130, "the log comes round in half an hour"
