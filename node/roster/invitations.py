"""Invitations that ask, as the daemon carries them between bucket and who has keys: it opens none.

While an invitation is open that somebody has to answer, the bucket is listed for requests; at no
other time. Which invitations those are the bucket tells once: their offer is there before the
roster names them, so an invitation without one works unattended and is never looked for again.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Literal, get_args

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import AlreadyThere, Oversize
from lucidnode.node.bucket.keys import INVITATIONS, invitation_key
from lucidnode.node.client import wire
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed, NotThere
from lucidnode.node.client.roster import Roster

LOOK_EVERY_S = 5.0
"""Between two listings: some 8 cents a day on S3, while an invitation waits for its request."""

MOUNTS_ASK_S = 15.0
"""Seconds for which nobody else answers once a mount has asked: it does so every few seconds."""

MAX_PART_BYTES = {"offer": 512 * 1024, "request": 4096, "answer": 32 * 1024}
"""Bytes of an offer to 1,800 owners, and more than the others can have."""

_KEPT_NS = 86_400 * 10**9
"""How long what belongs to an expired invitation is left lying, for people who ask what became of it."""

_IDENT = re.compile(r"[0-9a-f]{32}")
_PAGE = 1000

Part = Literal["offer", "request", "answer"]
_PARTS = frozenset(get_args(Part))
_UNANSWERED = {"offer", "request"}


class Invitations:
    """The invitations of one studio.

    *answers* tells whether who uses this machine may let others in, and *is_owner* whether an owner
    does: only his credentials may delete what is over.
    """

    def __init__(
        self,
        bucket: Bucket,
        roster: Callable[[], Roster],
        answers: Callable[[], bool],
        is_owner: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._bucket = bucket
        self._roster = roster
        self._answers = answers
        self._is_owner = is_owner
        self._clock = clock
        self._unattended: set[str] = set()
        self._attended: set[str] = set()
        self._waiting: list[wire.Invitation] = []
        self._held: dict[str, wire.Invitation] = {}
        """What was read of those whose request waits: each part is created once."""
        self._looked_at = float("-inf")
        self._asked_at = clock.boot()  # mounts of before are about to come back
        self._turn = asyncio.Lock()

    async def asked(self) -> list[wire.Invitation]:
        """Return the requests that wait for an answer; none unless who uses this machine may answer."""
        self._asked_at = self._clock.boot()
        return await self._now()

    async def unanswered(self) -> list[wire.Invitation]:
        """Return the same where no mount of this machine asks; where one does, it answers, and this is none."""
        if self._clock.boot() - self._asked_at < MOUNTS_ASK_S:
            return []
        return await self._now()

    async def _now(self) -> list[wire.Invitation]:
        async with self._turn:
            if self._clock.boot() - self._looked_at >= LOOK_EVERY_S:
                self._waiting = await self._look() if self._answers() else []
                self._looked_at = self._clock.boot()
            return self._waiting

    def look(self) -> None:
        """Have the next question look into the bucket: a person asks it, just after somebody has come."""
        self._looked_at = float("-inf")

    async def parts(self, ident: str) -> wire.Invitation:
        """Return what the bucket has of one invitation. Raises Malformed."""
        return await self._read(_checked(ident))

    async def create(self, ident: str, part: str, body: bytes) -> bool:
        """Create a part of an invitation, once; tell whether it is this one that stands there now.

        Raises Malformed.
        """
        ident = _checked(ident)
        if part not in _PARTS or len(body) > MAX_PART_BYTES[part]:
            raise Malformed("no part of an invitation")
        key = invitation_key(ident, part)
        try:
            await self._bucket.create(key, body)
            created = True
        except AlreadyThere:
            created = await self._bucket.get(key) == body  # by a try that was not told
        self._waiting = [one for one in self._waiting if one.ident != ident]
        return created

    async def _look(self) -> list[wire.Invitation]:
        roster, now_ns = self._roster(), self._clock.wall_ns()
        invites = {invite.public[:16].hex(): invite for invite in roster.invites.values()}
        is_open = {ident for ident, one in invites.items() if one.expires_ns >= now_ns}
        over: set[str] = set()
        if self._is_owner():
            over = {id_ for id_, one in invites.items() if one.expires_ns + _KEPT_NS < now_ns}
            over |= self._attended - invites.keys()
        if not (is_open - self._unattended) and not (over & self._attended):
            return []
        there = await self._listed()
        self._unattended |= is_open - there.keys()
        self._attended |= (is_open | over) & there.keys()
        for ident in sorted(over & self._attended):
            await self._clear(ident)
        waiting = [one for one in sorted(is_open & there.keys()) if there[one] == _UNANSWERED]
        self._held = {ident: self._held.get(ident) or await self._read(ident) for ident in waiting}
        return list(self._held.values())

    async def _listed(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        after = None
        while True:
            page = await self._bucket.list(INVITATIONS, after, _PAGE)
            for key, size in page:
                words = key.split("/")
                if len(words) == 3 and words[2] in _PARTS and size <= MAX_PART_BYTES[words[2]]:
                    found[words[1]].add(words[2])
            if len(page) < _PAGE:
                return found
            after = page[-1].key

    async def _read(self, ident: str) -> wire.Invitation:
        parts = [await self._part(ident, part) for part in get_args(Part)]
        return wire.Invitation(ident, *parts)

    async def _part(self, ident: str, part: Part) -> bytes:
        key = invitation_key(ident, part)
        try:
            size = await self._bucket.size(key)
            if size is None or size > MAX_PART_BYTES[part]:
                return b""
            return await self._bucket.get(key)
        except (NotThere, Oversize):
            return b""

    async def _clear(self, ident: str) -> None:
        for part in get_args(Part):
            await self._bucket.delete(invitation_key(ident, part))
        self._attended.discard(ident)


def _checked(ident: str) -> str:
    if _IDENT.fullmatch(ident) is None:
        raise Malformed("the name of an invitation")
    return ident
