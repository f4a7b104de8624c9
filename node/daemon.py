"""The node daemon: the composition root of the ciphertext plane.

Everything is built here, in the order in which it depends on each other, and closed in reverse.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from lucidnode.discovery.advert import Advert
from lucidnode.discovery.candidate import parse_peer
from lucidnode.discovery.mdns import Mdns
from lucidnode.discovery.ring import weight_of
from lucidnode.node import descriptors
from lucidnode.node.blocks.bad_objects import BadObjects
from lucidnode.node.blocks.fetch import BlockSource
from lucidnode.node.blocks.for_mounts import BlocksForMounts
from lucidnode.node.blocks.restored_blocks import RestoredBlocks
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.bucket.counted import CountedBucket, Request
from lucidnode.node.bucket.fitness import Fitness, GuardedBucket
from lucidnode.node.bucket.health import BucketHealth
from lucidnode.node.bucket.keys import STUDIO, block_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.open_bucket import open_engine, patient
from lucidnode.node.bucket.session import CurrentCredentials
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.eviction import LeastRecentlyUsed
from lucidnode.node.cache.mark import CacheMark, take
from lucidnode.node.cache.room import CacheRoom
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import Malformed, NodeError, Refused
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.supervision import Supervisor, supervised
from lucidnode.node.config import (
    DEVICE_FILE,
    LOCK_FILE,
    SOCKET_FILE,
    NodeConfig,
    cache_directory,
    load_config,
    load_credentials,
    save_config,
)
from lucidnode.node.dashboard.last_port import PORT_FILE, last_port, note_port
from lucidnode.node.dashboard.server import TOKEN_FILE, DashboardServer
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.journal.kept_entries import KeptEntries
from lucidnode.node.journal.service import JournalService
from lucidnode.node.mounts import MountTable
from lucidnode.node.peer_events import Announcements, PeerEventHandlers
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.peers.messages import MAX_CLAIMS
from lucidnode.node.peers.network import PeerNetwork, PeerSettings
from lucidnode.node.roster.service import RosterService
from lucidnode.node.secret_file import kept_secret
from lucidnode.node.socket_server import SocketServer
from lucidnode.node.status.metrics import Metrics
from lucidnode.node.status.snapshot import StatusSnapshot
from lucidnode.node.webhooks import SECRET_FILE, Webhooks

log = logging.getLogger(__name__)

ROSTER_FILE = "roster.bin"

DOORS = 3
"""Ports that others can open connections to: control, bodies, dashboard."""
ENTRIES_DIR = "entries"


@dataclass(frozen=True, slots=True)
class DaemonOptions:
    """What the command line adds to the settings of this start."""

    peers: Sequence[str] = ()
    mdns: bool = True
    control_port: int | None = None
    came_back: str = ""
    """How the daemon before this one ended, if its keeper started this one."""

    def applied(self, config: NodeConfig) -> NodeConfig:
        """Return *config* for this run."""
        return msgspec.structs.replace(
            config,
            peers=[*config.peers, *self.peers],
            mdns=config.mdns and self.mdns,
            control_port=self.control_port or config.control_port,
        )


async def run_daemon(home: Path, options: DaemonOptions, ready: Callable[[], None]) -> None:
    """Run the daemon of *home* until SIGTERM, SIGINT or `lucidnode exit`; *ready* once it serves.

    Raises Refused, Unavailable and the like with a sentence when it cannot start.
    """
    config = options.applied(load_config(home))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        with _locked(home):
            async with _serving(home, config, options.came_back, stop):
                ready()
                await stop.wait()
                log.info("stopping")
    except ExceptionGroup as group:
        # A sentence for a person is one sentence, whichever group of tasks it came through.
        first = _first_cause(group)
        if isinstance(first, NodeError):
            raise first from group
        raise


@contextlib.asynccontextmanager
async def _serving(
    home: Path, config: NodeConfig, came_back: str, stop: asyncio.Event
) -> AsyncIterator[None]:
    clock = SystemClock()
    jitter = secrets.SystemRandom().random
    metrics = Metrics()
    mounts = MountTable()
    alerts = Alerts(clock)
    memory = MemoryBudget()
    connections = descriptors.share(descriptors.raised(), DOORS)
    if came_back:
        alerts.begin(
            "came-back",
            f"The daemon {came_back} and was started again.",
            "If that goes on, its log has details.",
            lasts_s=EVENT_S,
        )
    identity = await asyncio.to_thread(DeviceIdentity.load, home / DEVICE_FILE)
    credentials = await asyncio.to_thread(load_credentials, home)
    address = parse_address(config.bucket_url, config.endpoint_url, config.region)
    network = _network(config, alerts)
    signed_with = CurrentCredentials(credentials, network)

    def observe(request: Request) -> None:
        metrics.bucket_request(request)
        health.note(request)

    engine = open_engine(address, signed_with, network, clock)
    once = CountedBucket(engine, clock, observe)
    unguarded = patient(once, clock, jitter)
    fitness = Fitness(unguarded, alerts, clock)
    bucket = GuardedBucket(unguarded, fitness)
    health = BucketHealth(
        look=partial(once.get, STUDIO),
        is_wanted=lambda: any(True for _ in mounts),
        skew=lambda: engine.skew_s,
        alerts=alerts,
        clock=clock,
    )
    mark = await asyncio.to_thread(_cache_mark, home)
    room = await asyncio.to_thread(
        CacheRoom.on, cache_directory(home, config), config.cache_limit, config.min_free
    )

    async with contextlib.AsyncExitStack() as stack:
        # First in, last out: what is entered later uses what was entered before.
        cache = await stack.enter_async_context(
            DiskCache.open(mark, room.limit, room.left_alone, clock, alerts, LeastRecentlyUsed)
        )
        staging = await stack.enter_async_context(Staging.open(mark, cache, clock))
        tasks = await stack.enter_async_context(supervised(alerts, clock))
        roster = RosterService(
            bucket=bucket,
            genesis=bytes.fromhex(config.genesis),
            saved=home / ROSTER_FILE,
            clock=clock,
            jitter=jitter,
            alerts=alerts,
            changed=lambda _roster: office.roster_changed(),
        )
        office = PeerNetwork(
            identity=identity,
            lan_key=bytes.fromhex(config.lan_key),
            members=roster,
            settings=PeerSettings(
                weight=weight_of(room.limit),
                control_port=config.control_port,
                body_port=config.body_port,
                connections=connections,
                offers_bytes=room.limit // 4,
            ),
            traffic=metrics,
            events=(
                events := PeerEventHandlers(mounts, roster.projects, roster.heard, alerts, clock)
            ),
            alerts=alerts,
            heads=lambda: journal.newest(MAX_CLAIMS),  # made further down
            totals=lambda: msgspec.structs.asdict(facts.totals()),
            memory=memory,
            clock=clock,
            jitter=jitter,
        )
        await roster.know()
        objects = BadObjects(
            lambda project, block: bucket.get(block_key(project, block)), alerts, clock
        )
        source = BlockSource(
            cache=cache,
            staging=staging,
            office=office,
            bucket=objects.read,
            traffic=metrics,
            clock=clock,
            tasks=tasks,
        )
        uploads = Uploads(
            staging=staging,
            bucket=bucket,
            offer=office.offer,
            on_uploaded=lambda project, blocks: mounts.tell(
                project, wire.BlocksUploaded([bytes(block) for block in blocks])
            ),
            alerts=alerts,
            clock=clock,
            jitter=jitter,
        )
        webhooks = Webhooks(
            config.webhooks,
            await asyncio.to_thread(kept_secret, home / SECRET_FILE),
            alerts,
            clock,
        )

        def announce(project: ProjectId, seq: Seq) -> None:
            office.push(project, seq)
            webhooks.announce(project, seq)

        journal = JournalService(
            bucket=bucket,
            staging=staging,
            uploads=uploads,
            sign=identity.sign,
            writer_key=lambda device: roster.current.writer_key(device),  # noqa: PLW0108  # it grows
            device_key=lambda device: roster.current.device_key(device),  # noqa: PLW0108  # it grows
            announce=announce,
            is_witnessed=roster.is_shown,
            kept=KeptEntries(home / ENTRIES_DIR),
            alerts=alerts,
            clock=clock,
            jitter=jitter,
        )
        events.journal, events.tasks = journal, tasks
        facts = StatusSnapshot(
            device=identity.id,
            bucket=str(address),
            price_per_gb=config.price_per_gb,
            moved=metrics.moved,
            mounts=mounts,
            office=office,
            cache=cache,
            pending_uploads=uploads.pending,
            addresses=lambda: {
                "dashboard": dashboard.url,
                "control_port": str(office.control_port),
            },
            alerts=alerts,
            now=clock.boot,
        )
        _watch(metrics, facts, cache, uploads, mounts, office, alerts, tasks)
        dashboard = await stack.enter_async_context(
            DashboardServer(
                config.dashboard_port,
                last_port=await asyncio.to_thread(last_port, home / PORT_FILE),
                token=await asyncio.to_thread(kept_secret, home / TOKEN_FILE),
                page_facts=facts.page,
                metrics_text=metrics.text,
                clock=clock,
                tasks=tasks,
                memory=memory,
                connections=connections,
            )
        )
        if config.dashboard_port is None:
            await asyncio.to_thread(note_port, home / PORT_FILE, dashboard.port)
        await stack.enter_async_context(office.open(source))
        for peer in config.peers:
            office.add_peer(parse_peer(peer))
        for name, work in {
            "keeping the cache in order": cache.maintain,
            "uploading": uploads.run,
            "finishing earlier commits": journal.resume,
            "looking at bad objects": objects.run,
            "looking for lost entries": journal.look_for_lost,
            "following the roster": roster.run,
            "comparing journals with peers": events.run,
            "calling webhooks": webhooks.run,
            "looking at the bucket": health.run,
            "probing an unfit bucket": fitness.run,
        }.items():
            tasks.keep(name, work)
        if config.mdns:
            weight = weight_of(room.limit)
            tasks.keep(
                "finding peers", lambda: _mdns(config, identity, weight, office, roster).run()
            )
        welcome = wire.MountWelcome(
            device=identity.id,
            blocks_dir=str(cache.blocks_dir),
            staging_dir=str(staging.directory),
            staging_limit=config.staging_limit,
            min_free=room.left_alone,
        )
        await stack.enter_async_context(
            SocketServer(
                home / SOCKET_FILE,
                blocks=BlocksForMounts(
                    source,
                    cache,
                    staging,
                    uploads,
                    RestoredBlocks(source, bucket, objects, alerts),
                    objects,
                ),
                journal=journal,
                roster=roster,
                mounts=mounts,
                welcome=partial(_welcome, fitness, welcome),
                topics={
                    "status": facts.status,
                    "peers": facts.peers,
                    "savings": facts.savings,
                    "cache": facts.cache,
                    "stats": facts.stats,
                    "conflicts": facts.conflicts,
                    "alerts": facts.alerts,
                    "dashboard": partial(_way_in, dashboard),
                },
                orders={
                    "cache/clear": partial(_clear, cache),
                    "credentials/renewed": partial(_renewed, home, signed_with, health, uploads),
                    "exit": partial(_exit, mounts, stop),
                },
                tasks=tasks,
                alerts=alerts,
            )
        )
        yield


def _network(config: NodeConfig, alerts: Alerts) -> Network:
    """Return the way to the store; a proxy that cannot be used keeps nobody from cached files."""
    try:
        return Network.of(os.environ, config.authorities)
    except Malformed as error:
        alerts.begin("proxy", str(error), "Change it, and start the daemon again; it is left out.")
        return Network.of({}, config.authorities)


def _cache_mark(home: Path) -> CacheMark:
    """Return what the cache directory must carry; the first start makes it and remembers it."""
    config = load_config(home)  # as it is on disk, without what is for this run alone
    directory = cache_directory(home, config)
    if config.cache_id is not None:
        return CacheMark(directory, config.cache_id)
    try:
        taken = take(directory)
        save_config(home, msgspec.structs.replace(config, cache_id=taken))
    except (OSError, NodeError) as error:
        log.warning("the cache directory %s is not marked yet: %s", directory, error)
        return CacheMark(directory, None)
    return CacheMark(directory, taken)


async def _welcome(fitness: Fitness, welcome: wire.MountWelcome) -> wire.MountWelcome:
    """Let a mount in, whatever the bucket says: what is cached and what is unsent is here."""
    await fitness.check()
    return welcome


async def _renewed(
    home: Path, signed_with: CurrentCredentials, health: BucketHealth, uploads: Uploads
) -> None:
    """Take over the credentials that lie in *home* now, and try at once what they kept back."""
    signed_with.use(await asyncio.to_thread(load_credentials, home))
    health.flush_requested()
    uploads.flush_requested()


def _mdns(
    config: NodeConfig,
    identity: DeviceIdentity,
    weight: int,
    office: PeerNetwork,
    roster: RosterService,
) -> Mdns:
    own = Advert(device=identity.id, control_port=office.control_port, weight=weight)
    listener = Announcements(office, roster)
    return Mdns(lan_key=bytes.fromhex(config.lan_key), own=own, listener=listener)


def _watch(
    metrics: Metrics,
    facts: StatusSnapshot,
    cache: DiskCache,
    uploads: Uploads,
    mounts: MountTable,
    office: PeerNetwork,
    alerts: Alerts,
    supervisor: Supervisor,
) -> None:
    """Export what is read rather than counted."""
    metrics.watch_totals(facts.totals)
    metrics.watch_requests(lambda: mounts.totals().requests)
    for name, meaning, read in (
        ("lucidnode_cache_bytes", "Bytes in the block cache.", lambda: cache.facts().bytes),
        ("lucidnode_cache_blocks", "Blocks in the cache.", lambda: cache.facts().blocks),
        (
            "lucidnode_pending_uploads",
            "Blocks not in the bucket yet.",
            lambda: uploads.pending().blocks,
        ),
        ("lucidnode_pending_upload_bytes", "Their bytes.", lambda: uploads.pending().bytes),
        ("lucidnode_mounts", "Mounted projects.", lambda: len(list(mounts))),
        (
            "lucidnode_peers",
            "Peers connected.",
            lambda: sum(peer.state == "linked" for peer in office.facts()),
        ),
        (
            "lucidnode_alerts",
            "What is amiss on this workstation now, its mounts included.",
            lambda: len(alerts.current()) + sum(mount.stats.alerts for mount in mounts),
        ),
        ("lucidnode_alerts_begun", "Alerts since the daemon started.", lambda: alerts.begun),
        (
            "lucidnode_work_faults",
            "How often work that goes on by itself has failed and begun again.",
            supervisor.faults.total,
        ),
    ):
        metrics.watch(name, meaning, read)


async def _way_in(dashboard: DashboardServer) -> dict[str, str]:
    return {"url": dashboard.way_in}


async def _clear(cache: DiskCache) -> None:
    await cache.clear()


async def _exit(mounts: MountTable, stop: asyncio.Event) -> None:
    mounted = [mount.hello.mountpoint for mount in mounts]
    if mounted:
        raise Refused(f"still mounted: {', '.join(mounted)}; run `lucidnode umount` first")
    stop.set()


def _first_cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Be the only daemon of *home*. Raises Refused."""
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"a daemon runs for {home} already") from None
        yield
    finally:
        os.close(descriptor)
