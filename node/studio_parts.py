"""How the parts of the daemon are built that follow the studio: its members, their rights, who joins, who is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from lucidnode.node import sealed_file
from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.credentials import Credentials, CredentialSource
from lucidnode.node.bucket.keys import roster_key
from lucidnode.node.bucket.open_bucket import open_engine
from lucidnode.node.bucket.presigned import presigned_creates
from lucidnode.node.bucket.session import FixedCredentials
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.client.errors import AccessDenied
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.role_credentials import SetName
from lucidnode.node.client.roster_entry import entry_hash
from lucidnode.node.client.supervision import Tasks
from lucidnode.node.config import keep_role_credentials
from lucidnode.node.journal.service import JournalService
from lucidnode.node.node_context import NodeContext
from lucidnode.node.roster.erasure import Erasure
from lucidnode.node.roster.invitations import Invitations
from lucidnode.node.roster.role_credentials import RoleCredentials
from lucidnode.node.roster.service import RosterService
from lucidnode.node.roster.way_in import WaysIn
from lucidnode.node.secret_file import kept_secret
from lucidnode.node.store_parts import StudioBucket
from lucidnode.node.webhooks.book import BOOK_FILE, SECRET_FILE, WebhookBook
from lucidnode.node.webhooks.service import Webhooks

ROSTER_FILE = "roster.bin"


def roster_service(context: NodeContext, store: StudioBucket) -> RosterService:
    """Return who follows the log of members; it has read nothing yet."""
    return RosterService(
        bucket=store.bucket,
        genesis=bytes.fromhex(context.config.genesis),
        saved=context.home / ROSTER_FILE,
        clock=context.clock,
        jitter=context.jitter,
        alerts=context.alerts,
    )


def note_rights(context: NodeContext, store: StudioBucket, roster: RosterService) -> None:
    """Have a refused write of a viewer's workstation count as what it is."""
    store.health.expect_writes(roster.current.widest_role(context.identity.id) != "viewer")


def invitations_of(context: NodeContext, store: StudioBucket, roster: RosterService) -> Invitations:
    """Return who carries requests to join, and their answers. Nothing is asked of the bucket yet."""

    def answers() -> bool:
        device = roster.current.devices.get(context.identity.id)
        return device is not None and roster.current.members[device.member].can_invite

    return Invitations(
        store.bucket,
        lambda: roster.current,
        answers,
        _is_owner(context, roster),
        context.clock,
    )


def role_credentials(
    context: NodeContext,
    store: StudioBucket,
    roster: RosterService,
    renewed: Callable[[], Awaitable[None]],
) -> RoleCredentials:
    """Return who follows the credentials of our role; *renewed* has those in the home used."""

    async def attempt(given: Credentials) -> None:
        config = context.config
        address = parse_address(config.bucket_url, config.endpoint_url, config.region)
        bucket = open_engine(address, FixedCredentials(given), context.network, context.clock)
        first = await bucket.get(roster_key(Seq(1)))
        if entry_hash(first).hex() != config.genesis:
            raise AccessDenied("With them the bucket shows another studio")

    async def use(given: Credentials, name: SetName) -> None:
        await asyncio.to_thread(keep_role_credentials, context.home, given, str(name))
        await renewed()

    used = context.config.role_credentials
    return RoleCredentials(
        bucket=store.bucket,
        roster=lambda: roster.current,
        device=context.identity.id,
        unseal=context.identity.unseal,
        used=None if used is None else SetName.parse(used),
        attempt=attempt,
        use=use,
        alerts=context.alerts,
        clock=context.clock,
    )


def way_in(
    context: NodeContext,
    credentials: RoleCredentials,
    roster: RosterService,
    signed_with: CredentialSource,
) -> WaysIn:
    """Return who hands newcomers what they need to reach the bucket."""
    config = context.config
    address = parse_address(config.bucket_url, config.endpoint_url, config.region)
    presign = (
        partial(_presigned, address, signed_with, context)
        if isinstance(address, S3Address)
        else None
    )
    return WaysIn(credentials.newest, lambda: roster.current, presign)


async def _presigned(
    address: S3Address,
    signed_with: CredentialSource,
    context: NodeContext,
    keys: Sequence[str],
    lasts_s: int,
) -> list[str]:
    return await presigned_creates(
        address, signed_with, context.network, context.clock, keys, lasts_s
    )


async def webhook_service(context: NodeContext, roster: RosterService, tasks: Tasks) -> Webhooks:
    """Return who tells receivers what happens. Raises Refused, DiskFull, OSError."""
    here, is_owner = context.identity.id, _is_owner(context, roster)
    secret = await asyncio.to_thread(
        kept_secret, context.home / SECRET_FILE, sealed_file.read, sealed_file.write
    )
    book = await asyncio.to_thread(
        WebhookBook, context.home / BOOK_FILE, context.config.webhooks, secret
    )
    return Webhooks(book, context.mounts, here, is_owner, context.alerts, context.clock, tasks)


def _is_owner(context: NodeContext, roster: RosterService) -> Callable[[], bool]:
    """Return what tells whether an owner of the studio uses this machine."""

    def is_owner() -> bool:
        device = roster.current.devices.get(context.identity.id)
        return device is not None and device.role == "owner"

    return is_owner


def erasure(
    context: NodeContext, store: StudioBucket, roster: RosterService, journal: JournalService
) -> Erasure:
    """Return who deletes the objects of projects that nobody can bring back any more."""
    settings = context.settings
    return Erasure(
        store.bucket,
        roster,
        journal.forget,
        store.skew_s,
        lambda: settings.config.collection_requests,
        context.alerts,
        context.clock,
        context.jitter,
    )
