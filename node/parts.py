"""How each part of the daemon is built from those that it depends on, which are there already."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lucidnode.node import sealed_file
from lucidnode.node.blocks.arrivals import Arrivals
from lucidnode.node.blocks.bad_objects import BadObjects
from lucidnode.node.blocks.fetch import BlockSource
from lucidnode.node.blocks.for_mounts import BlocksForMounts
from lucidnode.node.blocks.indexers import IndexerRules, Indexers
from lucidnode.node.blocks.restored_blocks import RestoredBlocks
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.counted import CountedBucket, Request
from lucidnode.node.bucket.credentials import Credentials, CredentialSource
from lucidnode.node.bucket.fitness import Fitness, GuardedBucket
from lucidnode.node.bucket.health import BucketHealth
from lucidnode.node.bucket.keys import block_key, roster_key
from lucidnode.node.bucket.open_bucket import open_engine, patient
from lucidnode.node.bucket.pace import Pace, PacedBucket
from lucidnode.node.bucket.presigned import presigned_creates
from lucidnode.node.bucket.session import FixedCredentials
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.staging import Staging
from lucidnode.node.cache.verified import Ciphertext, check_digest
from lucidnode.node.client import mount_messages
from lucidnode.node.client.errors import AccessDenied
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.role_credentials import SetName
from lucidnode.node.client.roster_entry import entry_hash
from lucidnode.node.client.supervision import Supervisor, Tasks
from lucidnode.node.config import keep_role_credentials
from lucidnode.node.dashboard.server import DashboardServer
from lucidnode.node.journal.checkpoint_objects import CheckpointObjects
from lucidnode.node.journal.kept_entries import KeptEntries
from lucidnode.node.journal.service import Announce, JournalService
from lucidnode.node.node_context import NodeContext
from lucidnode.node.peers.network import PeerNetwork
from lucidnode.node.roster.erasure import Erasure
from lucidnode.node.roster.invitations import Invitations
from lucidnode.node.roster.role_credentials import RoleCredentials
from lucidnode.node.roster.service import RosterService
from lucidnode.node.roster.way_in import WaysIn
from lucidnode.node.secret_file import kept_secret
from lucidnode.node.status.snapshot import StatusSnapshot
from lucidnode.node.webhooks.book import BOOK_FILE, SECRET_FILE, WebhookBook
from lucidnode.node.webhooks.service import Webhooks

ROSTER_FILE = "roster.bin"
ENTRIES_DIR = "entries"


@dataclass(frozen=True, slots=True)
class StudioBucket:
    """The bucket with all that watches it. *once* asks one time, *bucket* as long as it helps."""

    name: str
    once: CountedBucket
    bucket: Bucket
    fitness: Fitness
    health: BucketHealth
    is_held: Callable[[], bool]
    """Whether blocks wait for their turn to come down the line."""
    skew_s: Callable[[], float | None]
    """By how many seconds the store's clock is ahead, if it is known."""


def open_store(context: NodeContext, credentials: CredentialSource) -> StudioBucket:
    """Return the bucket of the settings. Nothing is asked of it yet. Raises Malformed."""
    config, clock, alerts = context.config, context.clock, context.alerts
    address = parse_address(config.bucket_url, config.endpoint_url, config.region)
    engine = open_engine(address, credentials, context.network, clock)

    def skew() -> float | None:
        return engine.skew_s

    health = BucketHealth(
        is_wanted=lambda: any(True for _ in context.mounts),
        skew=skew,
        alerts=alerts,
        clock=clock,
    )

    def observe(request: Request) -> None:
        context.metrics.bucket_request(request)
        health.note(request)

    once = CountedBucket(engine, clock, observe)
    settings = context.settings
    down = Pace(lambda: settings.config.download_limit, clock)
    unguarded = PacedBucket(
        patient(once, clock, context.jitter),
        up=Pace(lambda: settings.config.upload_limit, clock),
        down=down,
    )
    fitness = Fitness(unguarded, alerts, clock)
    return StudioBucket(
        str(address),
        once,
        GuardedBucket(unguarded, fitness),
        fitness,
        health,
        lambda: down.is_holding,
        skew,
    )


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


def bad_objects(context: NodeContext, store: StudioBucket) -> BadObjects:
    """Return who reads blocks out of the bucket and knows which are bad there."""

    async def read(project: ProjectId, block: BlockId) -> Ciphertext:
        found = await store.bucket.block(block_key(project, block))
        check_digest(block, found.digest, len(found.body))
        return found.body

    return BadObjects(read, context.alerts, context.clock)


def block_source(
    context: NodeContext,
    objects: BadObjects,
    cache: DiskCache,
    staging: Staging,
    office: PeerNetwork,
    tasks: Supervisor,
) -> BlockSource:
    """Return who finds a block, wherever it is."""
    return BlockSource(
        cache=cache,
        staging=staging,
        office=office,
        bucket=objects.read,
        traffic=context.metrics,
        clock=context.clock,
        tasks=tasks,
        office_limit=lambda: context.settings.config.office_download_limit,
    )


def block_uploads(
    context: NodeContext, store: StudioBucket, staging: Staging, office: PeerNetwork
) -> Uploads:
    """Return who brings what is staged into the bucket, and tells mounts and office."""
    return Uploads(
        staging=staging,
        bucket=store.bucket,
        offer=office.offer,
        on_uploaded=lambda project, blocks: context.mounts.tell(
            project, mount_messages.BlocksUploaded([bytes(block) for block in blocks])
        ),
        alerts=context.alerts,
        clock=context.clock,
        jitter=context.jitter,
    )


def journal_service(
    context: NodeContext,
    store: StudioBucket,
    staging: Staging,
    uploads: Uploads,
    roster: RosterService,
    announce: Announce,
    signed_elsewhere: Callable[[], None],
    why_forbidden: Callable[[], str],
) -> JournalService:
    """Return who reads and commits entries; *announce* hears of each that is in the bucket.

    While *why_forbidden* says why, none is. *signed_elsewhere* hears of what this device signed, but not here since the daemon began.
    """
    return JournalService(
        bucket=store.bucket,
        staging=staging,
        uploads=uploads,
        sign=context.identity.sign,
        writer_key=roster.writer_key,
        device_key=roster.device_key,
        announce=announce,
        me=context.identity.id,
        signed_elsewhere=signed_elsewhere,
        why_forbidden=why_forbidden,
        is_deleted=roster.is_deleted,
        is_witnessed=roster.is_shown,
        kept=KeptEntries(context.home / ENTRIES_DIR),
        alerts=context.alerts,
        clock=context.clock,
        jitter=context.jitter,
    )


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


def checkpoint_objects(
    context: NodeContext, store: StudioBucket, uploads: Uploads
) -> CheckpointObjects:
    """Return who reads and makes the manifests of checkpoints."""
    return CheckpointObjects(
        store.bucket,
        uploads,
        context.identity.id,
        context.identity.sign,
        context.clock,
        context.jitter,
    )


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


def note_rights(context: NodeContext, store: StudioBucket, roster: RosterService) -> None:
    """Have a refused write of a viewer's workstation count as what it is."""
    store.health.expect_writes(roster.current.widest_role(context.identity.id) != "viewer")


def _is_owner(context: NodeContext, roster: RosterService) -> Callable[[], bool]:
    """Return what tells whether an owner of the studio uses this machine."""

    def is_owner() -> bool:
        device = roster.current.devices.get(context.identity.id)
        return device is not None and device.role == "owner"

    return is_owner


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


def topics(
    facts: StatusSnapshot,
    dashboard: DashboardServer,
    webhooks: Webhooks,
    skew_s: Callable[[], float | None],
) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Return what commands may ask for, each by the word that `DaemonFacts.on` sends for it."""

    async def way_in() -> dict[str, str]:
        return {"url": dashboard.way_in}

    async def store_clock() -> dict[str, float | None]:
        return {"ahead_s": skew_s()}

    return {
        "status": facts.status,
        "peers": facts.peers,
        "savings": facts.savings,
        "savings-days": facts.days,
        "cache": facts.cache,
        "stats": facts.stats,
        "conflicts": facts.conflicts,
        "alerts": facts.alerts,
        "dashboard": way_in,
        "store-clock": store_clock,
        "webhooks": webhooks.facts,
    }


def blocks_for_mounts(
    context: NodeContext,
    store: StudioBucket,
    objects: BadObjects,
    source: BlockSource,
    cache: DiskCache,
    staging: Staging,
    uploads: Uploads,
    arrivals: Arrivals,
    indexers: Indexers,
) -> BlocksForMounts:
    """Return who answers mounts about blocks."""
    restored = RestoredBlocks(source, store.bucket, objects, context.alerts)
    return BlocksForMounts(
        source, cache, staging, uploads, restored, objects, arrivals, store.is_held, indexers
    )


def indexers_of(context: NodeContext) -> Indexers:
    """Return who holds thumbnailers and indexers to what is cheap, by the settings of the moment."""

    def rules() -> IndexerRules:
        config = context.settings.config
        return IndexerRules(config.indexers, config.indexer_per_file, config.indexer_rate)

    return Indexers(rules, context.clock)


def mount_welcome(
    context: NodeContext, store: StudioBucket, cache: DiskCache, staging: Staging
) -> Callable[[], Awaitable[mount_messages.MountWelcome]]:
    """Return what lets a mount in, whatever the bucket says: what is cached and unsent is here."""

    async def let_in() -> mount_messages.MountWelcome:
        await store.fitness.check()
        return mount_messages.MountWelcome(
            device=context.identity.id,
            blocks_dir=str(cache.blocks_dir),
            staging_dir=str(staging.directory),
            staging_limit=context.settings.config.staging_limit,
            min_free=context.settings.room.left_alone,
        )

    return let_in
