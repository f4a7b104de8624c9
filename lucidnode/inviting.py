"""Inviting: tickets that ask, tickets that work unattended, and what becomes of them.

Touches both planes: invitations are sealed with an owner's keys, and name bucket and credentials.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from lucidnode.fs.errors import FormatError, NotAllowed
from lucidnode.fs.membership.answering import Answered, Answering
from lucidnode.fs.membership.asking import (
    Offered,
    answerers,
    confirmation_words,
    ident_of,
    is_withdrawal,
    new_ask_key,
    open_offer,
    open_request,
    seal_offer,
    seal_withdrawal,
)
from lucidnode.fs.membership.asking_ticket import AskingTicket, seal_asking
from lucidnode.fs.membership.entries import invite_entry, require_may_invite
from lucidnode.fs.membership.join_token import JoinToken
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.fs.membership.ticket import Ticket, new_code, seal_ticket
from lucidnode.membership import append_entry, read_roster
from lucidnode.node import sealed_file
from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.keys import invitation_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.presigned import PresignedPair, presigned_pair
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.bucket.signature import MAX_PRESIGNED_S
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.client import wire
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.errors import Malformed, Refused, Unavailable
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.json_text import json_in
from lucidnode.node.client.roster_entry import Role
from lucidnode.node.config import BUCKET_FILE, lan_key_of, load_config, load_credentials
from lucidnode.putting_out import revoke

Standing = Literal["waiting", "asked", "answered", "withdrawn", "unattended", "expired"]

_SHORTEST_ID = 6


@dataclass(frozen=True, slots=True)
class InviteWish:
    """Who is invited. *projects* are names of those there are now; None means all that we can open."""

    role: Role
    lasts_s: int
    who: str = ""
    projects: Collection[str] | None = None
    confirm: bool = False
    """Whether somebody has to say the words before the newcomer is let in."""


@dataclass(frozen=True, slots=True)
class MadeTicket:
    """A ticket and the code that opens it; *ident* names it to `invite list` and `cancel`."""

    ident: str
    ticket: str
    code: str


@dataclass(frozen=True, slots=True)
class ListedInvite:
    """An open invite, for people. *asked_by* and *words* are there once somebody has asked."""

    ident: str
    label: Label
    role: Role
    expires_ns: int
    standing: Standing
    asked_by: Label | None = None
    words: str = ""


async def invite_unattended(
    home: Path, socket: Path, mine: Membership, wish: InviteWish
) -> MadeTicket:
    """Make a ticket that joins by itself: it has the studio's keys, and the bucket's credentials.

    Raises NotAllowed, NoSuchProject, Unavailable.
    """
    ticket = await _unattended_ticket(home, socket, mine, wish)
    await _open_invite(socket, mine, ticket, wish)
    code = new_code()
    text = await asyncio.to_thread(seal_ticket, ticket, code)
    return MadeTicket(ident_of(ticket.invite.public).hex(), text, code)


async def invite_machines(
    home: Path, socket: Path, mine: Membership, wish: InviteWish, count: int
) -> JoinToken:
    """Make a token with which *count* machines join by themselves. Raises as `invite_unattended` does."""
    ticket = await _unattended_ticket(home, socket, mine, wish)
    invites = [ticket.invite, *(MemberKeys.new() for _ in range(count - 1))]
    for invite in invites:
        await _open_invite(socket, mine, msgspec.structs.replace(ticket, invite=invite), wish)
    return JoinToken(ticket, invites)


async def invite_asking(home: Path, socket: Path, mine: Membership, wish: InviteWish) -> MadeTicket:
    """Make a ticket that only asks. Raises NotAllowed, NoSuchProject, Refused, Unavailable."""
    # The credentials in it are of now; who is answered gets those that his role has then.
    full, ask_key = await _full_ticket(home, mine, wish), new_ask_key()
    ident, offered = ident_of(full.invite.public), Offered(ask_key, full, wish.confirm)
    urls = await _urls(home, ident, wish.lasts_s)
    async with DaemonClient(socket) as client:
        view = RosterView.read(await client.roster.entries(), mine)
        require_may_invite(view, wish.role)
        wanted = _wanted(view, wish)
        opens = {
            one.id for one in view.projects_and_deleted() if wanted is None or one.id in wanted
        }
        by_editors, credentials = await fit_for_editors(
            client.invitations.way_in, client.credentials.of_role, view, wish.role
        )
        if credentials:
            ticket = msgspec.structs.replace(full, credentials=credentials)
            offered = Offered(ask_key, ticket, wish.confirm)
        to = answerers(view, wish.role, opens, by_editors=by_editors)
        # Before the roster names the invite: one that has no offer works unattended.
        await client.invitations.create(ident, "offer", seal_offer(view, offered, to))
    await _open_invite(socket, mine, full, wish)
    asking = AskingTicket(
        bucket=full.bucket,
        studio=full.studio,
        genesis=full.genesis,
        invitation=ident,
        ask_key=ask_key,
        request_url=urls.create if urls else "",
        answer_url=urls.read if urls else "",
        expires_ns=full.expires_ns,
        host=f"{mine.label.member} ({mine.label.device})",
    )
    code = new_code()
    return MadeTicket(ident.hex(), await asyncio.to_thread(seal_asking, asking, code), code)


async def list_invites(socket: Path, mine: Membership) -> list[ListedInvite]:
    """Return the open invites, and how they stand, in the order in which they were made."""
    now_ns, listed = time.time_ns(), []
    async with DaemonClient(socket) as client:
        view = RosterView.read(await client.roster.entries(), mine)
        for public, shown in zip(view.roster.invites, view.invites(), strict=True):
            found = await client.invitations.parts(ident_of(public))
            standing: Standing = "waiting"
            words, asked_by = "", None
            if found.request and view.me.can_invite:
                try:
                    offered = open_offer(found.offer, ident_of(public), view)
                    asked_by = open_request(found.request, ident_of(public), offered.ask_key).label
                    words, standing = confirmation_words(ident_of(public), found.request), "asked"
                except FormatError:
                    asked_by = None  # nobody invited put it there: it is not answered
            if found.answer:
                standing = "withdrawn" if is_withdrawal(found.answer) else "answered"
            elif not found.offer:
                standing = "unattended"
            if shown.expires_ns < now_ns and standing != "answered":
                standing = "expired"
            listed.append(
                ListedInvite(
                    ident=found.ident,
                    label=shown.label,
                    role=shown.role,
                    expires_ns=shown.expires_ns,
                    standing=standing,
                    asked_by=asked_by,
                    words=words,
                )
            )
    return listed


async def cancel_invite(socket: Path, mine: Membership, prefix: str) -> tuple[ListedInvite, bool]:
    """Withdraw the invite whose id begins with *prefix*; nobody is let in with its ticket.

    Returns it, and whether keys had left with it already: with an unattended ticket, or an answer.
    Then the roster has closed it, and epochs are to be ended as after `putting_out.revoke`. An editor
    who may invite withdraws what he opened and nobody was answered for. Raises Refused if there is
    none, or several, NotAllowed, Unavailable.
    """
    if len(prefix) < _SHORTEST_ID:
        raise Refused(f"name the invite by at least {_SHORTEST_ID} characters of its id")
    found = [
        one for one in await list_invites(socket, mine) if one.ident.startswith(prefix.lower())
    ]
    if len(found) != 1:
        raise Refused(
            f"{len(found) or 'no'} open invites have an id that begins so: `lucidnode invite list` "
            "names them"
        )
    async with DaemonClient(socket) as client:
        view = RosterView.read(await client.roster.entries(), mine)
        ident = bytes.fromhex(found[0].ident)
        author = next(
            (one.author for key, one in view.roster.invites.items() if ident_of(key) == ident), b""
        )
        is_owner = view.me.role == "owner"
        if not is_owner and not (view.me.can_invite and author == view.me.public):
            raise NotAllowed("only an owner of the studio can withdraw an invite of somebody else")
        raw = (await client.invitations.parts(ident)).offer
        if raw:
            try:
                offered = open_offer(raw, ident, view)
            except FormatError as error:
                raise Refused(f"the invite's offer cannot be used ({error})") from error
            withdrawal = seal_withdrawal(ident, offered.ask_key)
            if await client.invitations.create(ident, "answer", withdrawal):
                return found[0], False
            if found[0].standing == "withdrawn":
                return found[0], False
    if not is_owner:
        raise NotAllowed(
            "the studio's keys have left with it already: have an owner withdraw it, with `lucidnode "
            f"invite cancel {found[0].ident[:12]}`, or put out who joins with it"
        )
    await revoke(socket, mine, [one for one in view.roster.invites if ident_of(one) == ident])
    return found[0], True


async def cancel_token(socket: Path, mine: Membership, token: JoinToken) -> int:
    """Close what is left of *token*, so that nobody joins with it; returns how many places that were.

    Epochs are to be ended after it, as after `putting_out.revoke`. Raises NotAllowed, Unavailable.
    """
    view = await read_roster(socket, mine)
    left = [one.public for one in token.invites if one.public in view.roster.invites]
    if left:
        await revoke(socket, mine, left)
    return len(left)


async def answer_now(socket: Path, mine: Membership, words: str = "") -> list[Answered]:
    """Answer the requests to join that wait: the one with *words*, or those that need none.

    Returns those that wait on, too. Raises NotAllowed for who may not invite, Refused if nobody has
    asked with *words*.
    """
    if not (await read_roster(socket, mine)).me.can_invite:
        raise NotAllowed(
            "only an owner of the studio can let somebody in, or an editor whom an owner lets"
        )
    async with DaemonClient(socket) as client:
        await client.invitations.look()
        found = await Answering(
            client.invitations, client.roster, mine, SystemClock(), words
        ).answer()
    if words and not any(one.let_in for one in found):
        raise Refused(
            "nobody waits who has asked with these words: if the newcomer's screen shows them, "
            "somebody else has used his ticket, so withdraw it with `lucidnode invite cancel`"
        )
    return found


async def _unattended_ticket(
    home: Path, socket: Path, mine: Membership, wish: InviteWish
) -> Ticket:
    if (await read_roster(socket, mine)).me.role != "owner":
        # Nobody could withdraw it without beginning an era, which is an owner's.
        raise NotAllowed(
            "only an owner of the studio can make tickets that work by themselves: invite without "
            "--unattended and --join-token"
        )
    ticket = await _full_ticket(home, mine, wish)
    async with DaemonClient(socket) as client:
        found = await client.invitations.way_in(wish.role)
    if found.slots:
        raise Refused(
            "a viewer's credentials cannot write the entry by which he joins: invite without "
            "--unattended and --join-token, and an owner's workstation gives him what he needs when he asks"
        )
    if not found.credentials:
        return ticket
    return msgspec.structs.replace(ticket, credentials=found.credentials)


async def _full_ticket(home: Path, mine: Membership, wish: InviteWish) -> Ticket:
    config = load_config(home)
    return Ticket(
        bucket=config.bucket_url,
        endpoint=config.endpoint_url,
        region=config.region,
        credentials=await asyncio.to_thread(_credentials, home),
        studio=mine.studio,
        genesis=mine.genesis,
        lan_key=lan_key_of(home, config),
        name_key=mine.name_key,
        invite=MemberKeys.new(),
        expires_ns=time.time_ns() + wish.lasts_s * 10**9,
        suggested_name=wish.who,
    )


async def _open_invite(socket: Path, mine: Membership, ticket: Ticket, wish: InviteWish) -> None:
    def entry(view: RosterView) -> bytes:
        return invite_entry(
            *(view, ticket.invite, wish.role, ticket.expires_ns, ticket.suggested_name),
            _wanted(view, wish),
        )

    await append_entry(socket, mine, entry)


def _wanted(view: RosterView, wish: InviteWish) -> set[ProjectId] | None:
    if wish.projects is None:
        return None
    return {view.project(name).id for name in wish.projects}


async def fit_for_editors(
    way_in: Callable[[Role], Awaitable[wire.WayIn]],
    credentials_of: Callable[[Role], Awaitable[wire.RoleSet]],
    view: RosterView,
    role: Role,
) -> tuple[bool, dict[str, str]]:
    """Tell whether editors may see what an offer of ours for *role* holds, and the role's credentials.

    Where owners have credentials of their own and the role has none, an owner's would be in it.
    """
    try:
        own = (await way_in(role)).credentials
    except Refused:
        return False, {}
    of_owners = view.me.role == "owner" and (await credentials_of("owner")).number > 0
    return bool(own) or not of_owners, own


async def _urls(home: Path, ident: bytes, lasts_s: int) -> PresignedPair | None:
    """Return what lets a stranger ask and hear; None where whoever joins has the bucket itself.

    Raises Refused where neither is so.
    """
    config = load_config(home)
    address = parse_address(config.bucket_url, config.endpoint_url, config.region)
    if address.scheme == "file":
        return None
    if not isinstance(address, S3Address):
        raise Refused(
            "tickets that only ask are for S3 and for directories: make one with --unattended"
        )
    if lasts_s > MAX_PRESIGNED_S:
        raise Refused("stores let nobody ask for longer than 7 days: choose a shorter --expires")
    network = Network.of(os.environ, config.authorities)
    credentials = await asyncio.to_thread(load_credentials, home)
    name = ident.hex()
    return await presigned_pair(
        address,
        credential_source(credentials, network),
        network,
        SystemClock(),
        (invitation_key(name, "request"), invitation_key(name, "answer")),
        lasts_s,
    )


def _credentials(home: Path) -> dict[str, str]:
    """Return the node's explicit credentials, for the ticket; none if the machine provides them."""
    try:
        found = json_in(sealed_file.read(home / BUCKET_FILE), dict[str, str | None])
    except FileNotFoundError:
        return {}
    except Malformed as error:
        raise Unavailable(f"{home / BUCKET_FILE} is damaged: give credentials again") from error
    return {name: value for name, value in found.items() if value is not None}
