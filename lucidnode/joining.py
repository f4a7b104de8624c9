"""Joining a studio: one of the moments at which one process touches both planes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lucidnode import node_key
from lucidnode.direct_bucket import JITTER, open_directly
from lucidnode.fs.errors import TicketSpent
from lucidnode.fs.membership.entries import join_entry
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.ticket import Ticket
from lucidnode.new_home import NodeOptions, claim_of, device_of, save_secrets, settings, unfinished
from lucidnode.node.bucket.address import BucketAddress
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.keys import roster_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.open_bucket import prepare_bucket
from lucidnode.node.bucket.presigned import CreatingByUrl
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock, SystemClock
from lucidnode.node.client.errors import Refused, Unavailable
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.roster_entry import DeviceClaim
from lucidnode.node.client.roster_rules import RosterReader
from lucidnode.node.config import save_config
from lucidnode.node.journal import register
from lucidnode.node.journal.log_slots import AGAIN_S, LASTING_S, LogSlots, Unchained
from lucidnode.node.roster.slots import is_gap, read_all, roster_slots, take_next

_COMMIT_S = 30.0
"""Seconds for which one entry is tried before nobody knows whether it is there."""

_TRIES = 20
"""Races lost in a row before we give up; each one means that another member was quicker."""

_IN_DOUBT_S = 2 * LASTING_S
"""How long a newcomer waits for the proof that something in the log of members is no entry."""

_BROKEN_LOG = (
    "the bucket has lost a part of the studio's log of members: have a workstation of the studio "
    "running, which puts it back, and try again"
)


async def join_studio(
    home: Path,
    ticket: Ticket,
    network: Network,
    local: NodeOptions,
    passphrase: str,
    label: Label,
    invites: Sequence[MemberKeys] = (),
) -> None:
    """Make *home* a workstation of the studio that *ticket* invites to, by one of *invites* if there are several.

    Raises TicketSpent, or what the bucket says.
    """
    credentials = ticket_credentials(ticket)
    address = await _invited_to(ticket, network)
    bucket: Bucket = open_directly(address, credentials, network)
    earlier = await asyncio.to_thread(unfinished, home, passphrase)
    await asyncio.to_thread(node_key.begin, home, earlier.keys if earlier else None)
    device = await asyncio.to_thread(device_of, home)
    membership = _membership(earlier, ticket, label)
    claim = claim_of(device, ticket.studio, membership.keys)
    await asyncio.to_thread(save_secrets, home, membership, earlier, passphrase, credentials)
    if ticket.slots:
        urls = {roster_key(Seq(seq)): url for seq, url in ticket.slots.items()}
        bucket = CreatingByUrl(bucket, urls, network)
    await _join_by_one(bucket, ticket, invites or [ticket.invite], membership, claim)
    config = settings(
        address, ticket.bucket, network, ticket.studio, ticket.genesis, home, ticket.lan_key
    )
    await asyncio.to_thread(save_config, home, local.applied(config))


async def _join_by_one(
    bucket: Bucket,
    ticket: Ticket,
    invites: Sequence[MemberKeys],
    membership: Membership,
    claim: DeviceClaim,
) -> None:
    for at, invite in enumerate(invites, 1):
        one = msgspec.structs.replace(ticket, invite=invite)
        try:
            await join_log(bucket, one, membership, claim, SystemClock())
        except TicketSpent:
            if at == len(invites):
                raise
        else:
            return


async def check_invited(ticket: Ticket, network: Network) -> None:
    """Make sure that the bucket *ticket* invites to can be used from here. Raises as `join_studio` does."""
    await _invited_to(ticket, network)


def ticket_credentials(ticket: Ticket) -> Credentials | None:
    """Return the bucket's credentials that *ticket* brings, if it does. Raises Refused."""
    if not ticket.credentials:
        return None
    try:
        return msgspec.convert(ticket.credentials, Credentials)
    except msgspec.ValidationError as error:
        # Not the error's own words: they may quote the secret.
        raise Refused("the ticket's credentials are none: ask for a new ticket") from error


async def _invited_to(ticket: Ticket, network: Network) -> BucketAddress:
    return await prepare_bucket(
        parse_address(ticket.bucket, ticket.endpoint, ticket.region),
        credential_source(ticket_credentials(ticket), network),
        network,
        create=False,
    )


async def join_log(
    bucket: Bucket, ticket: Ticket, membership: Membership, claim: DeviceClaim, clock: Clock
) -> None:
    """Have the log in *bucket* name *membership* for *ticket*, once.

    Raises TicketSpent, WrongBucket or Unavailable, a sentence.
    """
    slots = roster_slots(bucket, ticket.genesis, Alerts(clock), clock, JITTER)
    reader = RosterReader(ticket.genesis)
    for _ in range(_TRIES):
        await _read_patiently(slots, reader, clock)
        if not reader.log:
            raise WrongBucket("the bucket holds no studio: was it emptied since the invitation?")
        roster = reader.roster()
        if membership.keys.public in roster.members:
            return  # by an earlier run that was not told how it ended
        entry = join_entry(roster, ticket.invite, membership, claim, clock.wall_ns())
        if await is_gap(bucket, reader):
            raise Unavailable(_BROKEN_LOG)
        deadline = clock.boot() + _COMMIT_S
        match await take_next(slots, reader, entry, deadline):
            case register.Committed():
                return
            case register.Lost():
                continue
            case register.Unknown() as unknown:
                raise unknown.error("that you joined is not confirmed: try again")
            case Unchained():
                raise Unavailable(_BROKEN_LOG)
    raise Unavailable("too many others join at this moment: try again")


async def _read_patiently(slots: LogSlots, reader: RosterReader, clock: Clock) -> None:
    """Read the log to its end, as `read_all`; what counts as no entry has to last before it does."""
    end = clock.boot() + _IN_DOUBT_S
    while True:
        try:
            return await read_all(slots, reader)
        except Unavailable:
            if not slots.is_in_doubt or clock.boot() >= end:
                raise
        await clock.sleep(AGAIN_S)


def _membership(earlier: Membership | None, ticket: Ticket, label: Label) -> Membership:
    """Return the keys of an earlier run that did not finish, or fresh ones.

    That run's entry may have been accepted, and the ticket works once: with other keys the member
    would be locked out.
    """
    if earlier and (earlier.studio, earlier.genesis) == (ticket.studio, ticket.genesis):
        return earlier
    return Membership(ticket.studio, ticket.genesis, ticket.name_key, MemberKeys.new(), label)
