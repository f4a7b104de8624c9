"""How the parts of the daemon are built that hold and move blocks and entries: the bucket and all over it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lucidnode.node.blocks.arrivals import Arrivals
from lucidnode.node.blocks.bad_objects import BadObjects
from lucidnode.node.blocks.fetch import BlockSource
from lucidnode.node.blocks.for_mounts import BlocksForMounts
from lucidnode.node.blocks.indexers import IndexerRules, Indexers
from lucidnode.node.blocks.restored_blocks import RestoredBlocks
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.counted import CountedBucket, Request
from lucidnode.node.bucket.credentials import CredentialSource
from lucidnode.node.bucket.fitness import Fitness, GuardedBucket
from lucidnode.node.bucket.health import BucketHealth
from lucidnode.node.bucket.keys import block_key
from lucidnode.node.bucket.open_bucket import open_engine, patient
from lucidnode.node.bucket.pace import Pace, PacedBucket
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.staging import Staging
from lucidnode.node.cache.verified import Ciphertext, check_digest
from lucidnode.node.client import mount_messages
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.supervision import Supervisor
from lucidnode.node.journal.checkpoint_objects import CheckpointObjects
from lucidnode.node.journal.kept_entries import KeptEntries
from lucidnode.node.journal.service import Announce, JournalService
from lucidnode.node.node_context import NodeContext
from lucidnode.node.peers.network import PeerNetwork
from lucidnode.node.roster.service import RosterService

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
