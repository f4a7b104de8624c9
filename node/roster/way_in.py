"""What a newcomer of a role gets beside the studio's keys: the role's credentials, and a way into the log.

A role whose credentials cannot write could not enter himself in the log of members. So he gets
presigned URLs, each of which creates one of the next entries: the store lets nobody replace one, and
what his invite does not allow counts for nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.keys import roster_key
from lucidnode.node.client import wire
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.roster import Roster
from lucidnode.node.client.roster_entry import Role

SLOTS = 12
"""Entries that others may add between the answer and the join, seconds later as a rule."""

LASTS_S = 24 * 3600

Presign = Callable[[Sequence[str], int], Awaitable[list[str]]]


class WaysIn:
    """Answers mounts that let somebody in. *presign* is None where the store knows no such URLs."""

    def __init__(
        self,
        newest: Callable[[Role], Awaitable[Credentials | None]],
        roster: Callable[[], Roster],
        presign: Presign | None,
    ) -> None:
        self._newest = newest
        self._roster = roster
        self._presign = presign

    async def of_role(self, role: Role) -> wire.WayIn:
        """Return what a newcomer of *role* needs. Raises a NodeError of the bucket."""
        found = await self._newest(role)
        if found is None:
            return wire.WayIn({}, {})
        slots: dict[int, str] = {}
        if role == "viewer" and self._presign is not None:
            head = self._roster().head
            seqs = [Seq(head + 1 + at) for at in range(SLOTS)]
            urls = await self._presign([roster_key(seq) for seq in seqs], LASTS_S)
            slots = dict(zip(seqs, urls, strict=True))
        return wire.WayIn(found.plain(), slots)
