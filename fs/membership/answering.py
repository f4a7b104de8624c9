"""Answers requests to join, where the keys of who may are.

They are in his mounts, in a process of the moment where nothing is mounted, and in his commands. Those
who may are owners, and editors who may invite. Whoever comes first answers; the bucket takes one
answer for each invitation.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec
from blake3 import blake3

from lucidnode.fs.errors import FormatError, MembershipError
from lucidnode.fs.membership.asking import (
    Offered,
    confirmation_words,
    ident_of,
    open_offer,
    open_request,
    seal_answer,
)
from lucidnode.fs.membership.member import Label
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_client import RosterClient
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError, Refused
from lucidnode.node.client.roster_entry import Role

log = logging.getLogger(__name__)

LOOK_EVERY_S = 3.0
"""Between two questions to the daemon, which asks the bucket when there is something to ask."""

_MAX_PASSED_OVER = 256
"""Requests remembered that are not to be answered from here: they lie in the bucket, and are read once."""


class InvitationClient(Protocol):
    """The part of the daemon that carries invitations (DaemonInvitations)."""

    async def asked(self) -> list[wire.Invitation]: ...
    async def way_in(self, role: Role) -> wire.WayIn: ...
    async def create(self, ident: bytes, part: Literal["offer", "answer"], body: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class Answered:
    """Who has asked: *let_in*, or for an owner to confirm first. *ident* is the invitation's, in hex digits."""

    ident: str
    label: Label
    role: Role
    words: str
    let_in: bool = True

    @property
    def topic(self) -> str:
        """Of the alert that tells of it."""
        return f"invited:{self.words}"

    def told(self) -> tuple[str, str]:
        """Return what came of it and what is to be done, two sentences for who invited."""
        who = f"{self.label.member} on {self.label.device}"
        if self.let_in:
            return (
                f"{who} asked to join with your invitation and was let in as {self.role}; "
                f"the words are {self.words}.",
                "If the newcomer's screen shows other words, somebody else has used the "
                "ticket: put him out, and change the bucket's credentials.",
            )
        return (
            f"{who} asks to join as {self.role}; the words are {self.words}.",
            "If the newcomer's screen shows the same, let him in with `lucidnode invite "
            f"answer {self.words}`; if not, withdraw the invitation.",
        )


class Answering:
    """Answers what the member with *mine* is asked. Nothing is answered for who may not invite.

    With *words* only the request that has them is answered; without, those that need no words.
    """

    def __init__(
        self,
        invitations: InvitationClient,
        roster: RosterClient,
        mine: Membership,
        clock: Clock,
        words: str = "",
    ) -> None:
        self._invitations = invitations
        self._roster = roster
        self._mine = mine
        self._clock = clock
        self._words = words
        self._passed_over: dict[bytes, None] = {}

    async def answer(self) -> list[Answered]:
        """Answer all that wait now; returns who was, and who needs a confirmation, once. Raises a NodeError."""
        waiting = [
            one for one in await self._invitations.asked() if _hash(one) not in self._passed_over
        ]
        if not waiting:
            return []
        view = RosterView.read(await self._roster.entries(), self._mine)
        answered: list[Answered] = []
        left: Refused | None = None
        for one in waiting:
            try:
                found = await self._answer(one, view)
            except Refused as error:
                # The credentials of the role are others' secret as yet: another owner answers, or we do.
                log.info("a request to join is left to other owners: %s", error)
                left = error
            except FormatError as error:
                # Whoever has the bucket's credentials can put anything there.
                log.info("a request to join that does not hold: %s", error)
                self._pass_over(one)
            else:
                answered += [] if found is None else [found]
                if found is not None and not found.let_in:
                    self._pass_over(one)
        if left is not None and not answered:
            raise left
        return answered

    def _pass_over(self, one: wire.Invitation) -> None:
        self._passed_over[_hash(one)] = None
        while len(self._passed_over) > _MAX_PASSED_OVER:
            del self._passed_over[next(iter(self._passed_over))]

    async def _answer(self, one: wire.Invitation, view: RosterView) -> Answered | None:
        try:
            ident = bytes.fromhex(one.ident)
        except ValueError as error:
            raise FormatError("the name of an invitation") from error
        invite = next(
            (each for each in view.roster.invites.values() if ident_of(each.public) == ident), None
        )
        if invite is None or self._clock.wall_ns() > invite.expires_ns or not view.me.can_invite:
            return None
        offered = open_offer(one.offer, ident, view)
        request = open_request(one.request, ident, offered.ask_key)
        words = confirmation_words(ident, one.request)
        if words != self._words and (offered.confirm or self._words):
            return Answered(one.ident, request.label, invite.role, words, let_in=False)
        found = await self._invitations.way_in(invite.role)
        if found.credentials:
            # Those of the role, and of now: the offer may be older than they are.
            ticket = msgspec.structs.replace(
                offered.ticket, credentials=found.credentials, slots=found.slots
            )
            offered = Offered(offered.ask_key, ticket, offered.confirm)
        body = seal_answer(ident, offered, request)
        if not await self._invitations.create(ident, "answer", body):
            return None  # another owner's workstation was quicker, or it was withdrawn
        return Answered(one.ident, request.label, invite.role, words)


async def answer_always(answering: Answering, alerts: Alerts, clock: Clock) -> None:
    """Answer until cancelled, and tell of each who was let in, or waits for a word of the owner."""
    while True:
        # Out of reach, or not a member any more: what else needs the daemon tells of that.
        with contextlib.suppress(NodeError, MembershipError):
            for one in await answering.answer():
                alerts.begin(one.topic, *one.told(), lasts_s=EVENT_S)
        await clock.sleep(LOOK_EVERY_S)


def _hash(one: wire.Invitation) -> bytes:
    return blake3(one.offer + one.request).digest()
