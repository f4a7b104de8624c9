"""What the daemon asks the bucket about invitations: nothing while none waits, and little else."""

from __future__ import annotations

import pytest
from studio_fixture import EXPIRES, NOW, Studio

from lucidnode.node.bucket.bucket import Listed
from lucidnode.node.bucket.keys import invitation_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.errors import Malformed
from lucidnode.node.roster.invitations import LOOK_EVERY_S, MOUNTS_ASK_S, Invitations

_DAY_NS = 86_400 * 10**9


class CountingBucket(MemoryBucket):
    def __init__(self) -> None:
        super().__init__()
        self.lists = self.reads = 0

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        self.lists += 1
        return await super().list(prefix, after, limit)

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        self.reads += 1
        return await super().get(key, span)


class Office:
    """An owner's daemon, as its mounts see it; each question is later than the one before."""

    def __init__(self) -> None:
        self.studio, self.bucket = Studio(), CountingBucket()
        self.answers = self.is_owner = True
        self.now, self.now_ns = 0.0, NOW
        self.served = Invitations(
            self.bucket, self.studio.roster, lambda: self.answers, lambda: self.is_owner, self
        )

    def boot(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        raise AssertionError

    def invited(self, *parts: str, expires_ns: int = EXPIRES) -> str:
        ident = self.studio.invite(expires_ns=expires_ns).public[:16].hex()
        self.put(ident, *parts)
        return ident

    def put(self, ident: str, *parts: str) -> None:
        for part in parts:
            self.bucket.objects[invitation_key(ident, part)] = part.encode()

    async def asked(self, later_s: float = LOOK_EVERY_S) -> list[str]:
        self.now += later_s
        return [one.ident for one in await self.served.asked()]

    async def unanswered(self, later_s: float = LOOK_EVERY_S) -> list[str]:
        self.now += later_s
        return [one.ident for one in await self.served.unanswered()]

    async def create(self, ident: str, part: str, body: bytes) -> bool:
        return await self.served.create(ident, part, body)


async def test_nothing_is_asked_of_the_bucket_while_nobody_is_invited() -> None:
    office = Office()
    assert await office.asked() == []
    assert office.bucket.lists == 0


async def test_an_invite_that_works_unattended_is_looked_for_once() -> None:
    office = Office()
    office.invited()
    for _ in range(5):
        assert await office.asked() == []
    assert office.bucket.lists == 1


async def test_requests_are_told_while_they_wait_and_each_part_is_read_once() -> None:
    office = Office()
    ident = office.invited("offer")
    assert await office.asked() == []
    office.put(ident, "request")
    assert await office.asked(later_s=LOOK_EVERY_S - 1) == []  # not so soon
    for _ in range(3):
        assert await office.asked() == [ident]
    assert office.bucket.reads == 2
    assert await office.create(ident, "answer", b"yes")
    assert await office.asked(later_s=0) == []
    assert await office.asked() == []


async def test_who_may_not_invite_is_told_nothing_and_asks_nothing() -> None:
    office = Office()
    office.invited("offer", "request")
    office.answers = False
    assert await office.asked() == []
    assert office.bucket.lists == 0


async def test_requests_are_unanswered_where_no_mount_asks() -> None:
    office = Office()
    ident = office.invited("offer", "request")
    assert await office.unanswered() == []  # mounts of before come back first
    assert await office.unanswered(later_s=MOUNTS_ASK_S) == [ident]
    assert await office.asked(later_s=0) == [ident]
    assert await office.unanswered() == []
    assert office.bucket.lists == 1  # who asks twice is told what is known
    assert await office.unanswered(later_s=MOUNTS_ASK_S) == [ident]
    office.answers = False
    assert await office.unanswered(later_s=MOUNTS_ASK_S) == []


async def test_an_answer_is_created_once_and_a_repeated_try_is_the_same() -> None:
    office = Office()
    ident = office.invited("offer", "request")
    assert await office.create(ident, "answer", b"yes")
    assert await office.create(ident, "answer", b"yes")
    assert not await office.create(ident, "answer", b"no")
    assert office.bucket.objects[invitation_key(ident, "answer")] == b"yes"


async def test_what_belongs_to_a_used_or_long_expired_invitation_is_taken_away() -> None:
    office = Office()
    office.invited("offer", "request", "answer", expires_ns=NOW)
    used = office.studio.invite()
    office.put(used.public[:16].hex(), "offer", "request", "answer")
    others = {"invitations/zz/offer": b"of another program", "studio": b""}
    office.bucket.objects |= others
    await office.asked()
    assert len(office.bucket.objects) == len(others) + 6
    office.studio.entries.append(office.studio.joining(used, office.studio.newcomer()))
    office.now_ns += _DAY_NS + 1
    await office.asked()
    assert office.bucket.objects == others


@pytest.mark.parametrize(
    ("ident", "part", "body"),
    [
        ("../roster", "offer", b""),
        ("0" * 31, "offer", b""),
        ("0" * 32, "other", b""),
        ("0" * 32, "../x", b""),
        ("0" * 32, "answer", bytes(64 * 1024)),
    ],
)
async def test_a_socket_writes_nothing_else_through_invitations(
    ident: str, part: str, body: bytes
) -> None:
    office = Office()
    with pytest.raises(Malformed):
        await office.create(ident, part, body)
    assert office.bucket.objects == {}


async def test_parts_that_are_too_large_are_none() -> None:
    office = Office()
    ident = office.invited("offer", "request")
    office.bucket.objects[invitation_key(ident, "request")] = bytes(5000)
    assert await office.asked() == []
    assert (await office.served.parts(ident)).request == b""
