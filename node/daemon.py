"""The node daemon: the composition root of the ciphertext plane.

Everything is put together here, in the order in which it depends on each other, and closed in
reverse; how each part is built stands in node/parts.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from lucidnode.discovery.advert import Advert
from lucidnode.discovery.candidate import parse_peer
from lucidnode.discovery.mdns import Mdns
from lucidnode.discovery.ring import weight_of
from lucidnode.node import descriptors
from lucidnode.node.blocks.for_mounts import BlocksForMounts
from lucidnode.node.blocks.restored_blocks import RestoredBlocks
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.bucket.fitness import Fitness
from lucidnode.node.bucket.health import BucketHealth
from lucidnode.node.bucket.keys import STUDIO
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.session import CurrentCredentials
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.eviction import LeastRecentlyUsed
from lucidnode.node.cache.mark import CacheMark, take
from lucidnode.node.cache.room import CacheRoom
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import Malformed, NodeError, Refused
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
from lucidnode.node.mounts import MountTable
from lucidnode.node.parts import (
    NodeContext,
    bad_objects,
    block_source,
    block_uploads,
    export_figures,
    journal_service,
    open_store,
    peer_network,
    roster_service,
    status_snapshot,
)
from lucidnode.node.peer_events import Announcements, PeerEventHandlers
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.peers.messages import MAX_CLAIMS
from lucidnode.node.peers.network import PeerNetwork
from lucidnode.node.roster.service import RosterService
from lucidnode.node.secret_file import kept_secret
from lucidnode.node.socket_server import SocketServer
from lucidnode.node.status.metrics import Metrics
from lucidnode.node.webhooks import SECRET_FILE, Webhooks

log = logging.getLogger(__name__)

DOORS = 3
"""Ports that others can open connections to: control, bodies, dashboard."""


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
    context = await _context(home, config)
    clock, alerts, mounts, metrics = context.clock, context.alerts, context.mounts, context.metrics
    if came_back:
        alerts.begin(
            "came-back",
            f"The daemon {came_back} and was started again.",
            "If that goes on, its log has details.",
            lasts_s=EVENT_S,
        )
    signed_with = CurrentCredentials(
        await asyncio.to_thread(load_credentials, home), context.network
    )
    store = open_store(context, signed_with)
    async with contextlib.AsyncExitStack() as stack:
        # First in, last out: what is entered later uses what was entered before.
        cache = await stack.enter_async_context(
            DiskCache.open(
                context.cache_mark,
                context.room.limit,
                context.room.left_alone,
                clock,
                alerts,
                LeastRecentlyUsed,
            )
        )
        staging = await stack.enter_async_context(Staging.open(context.cache_mark, cache, clock))
        tasks = await stack.enter_async_context(supervised(alerts, clock))
        roster = roster_service(context, store)
        office = peer_network(context, roster)
        roster.watch(office.roster_changed)
        await roster.know()
        objects = bad_objects(context, store)
        source = block_source(context, objects, cache, staging, office, tasks)
        uploads = block_uploads(context, store, staging, office)
        webhooks = Webhooks(
            config.webhooks,
            await asyncio.to_thread(kept_secret, home / SECRET_FILE),
            alerts,
            clock,
        )
        journal = journal_service(
            context, store, staging, uploads, roster, [office.push, webhooks.announce]
        )
        events = PeerEventHandlers(
            mounts, journal, tasks, roster.projects, roster.heard, alerts, clock
        )
        dashboard = await _dashboard(context, tasks)
        facts = status_snapshot(context, store, cache, uploads, office, dashboard)
        export_figures(context, facts, cache, uploads, office, tasks)
        await stack.enter_async_context(dashboard.serving(facts.page, metrics.text))
        if config.dashboard_port is None:
            await asyncio.to_thread(note_port, home / PORT_FILE, dashboard.port)
        await stack.enter_async_context(
            office.open(
                source,
                events=events,
                heads=lambda: journal.newest(MAX_CLAIMS),
                totals=lambda: msgspec.structs.asdict(facts.totals()),
            )
        )
        for peer in config.peers:
            office.add_peer(parse_peer(peer))
        works: dict[str, Callable[[], Awaitable[None]]] = {
            "keeping the cache in order": cache.maintain,
            "uploading": uploads.run,
            "finishing earlier commits": journal.resume,
            "looking at bad objects": objects.run,
            "looking for lost entries": journal.look_for_lost,
            "following the roster": roster.run,
            "comparing journals with peers": events.run,
            "calling webhooks": webhooks.run,
            "looking at the bucket": partial(store.health.run, partial(store.once.get, STUDIO)),
            "probing an unfit bucket": store.fitness.run,
        }
        for name, work in works.items():
            tasks.keep(name, work)
        if config.mdns:
            tasks.keep("finding peers", lambda: _mdns(context, office, roster).run())
        welcome = wire.MountWelcome(
            device=context.identity.id,
            blocks_dir=str(cache.blocks_dir),
            staging_dir=str(staging.directory),
            staging_limit=config.staging_limit,
            min_free=context.room.left_alone,
        )
        await stack.enter_async_context(
            SocketServer(
                home / SOCKET_FILE,
                blocks=BlocksForMounts(
                    source,
                    cache,
                    staging,
                    uploads,
                    RestoredBlocks(source, store.bucket, objects, alerts),
                    objects,
                ),
                journal=journal,
                roster=roster,
                mounts=mounts,
                welcome=partial(_welcome, store.fitness, welcome),
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
                    "credentials/renewed": partial(
                        _renewed, home, signed_with, store.health, uploads
                    ),
                    "exit": partial(_exit, mounts, stop),
                },
                tasks=tasks,
                alerts=alerts,
            )
        )
        yield


async def _context(home: Path, config: NodeConfig) -> NodeContext:
    clock = SystemClock()
    alerts = Alerts(clock)
    return NodeContext(
        home=home,
        config=config,
        identity=await asyncio.to_thread(DeviceIdentity.load, home / DEVICE_FILE),
        network=_network(config, alerts),
        cache_mark=await asyncio.to_thread(_cache_mark, home),
        room=await asyncio.to_thread(
            CacheRoom.on, cache_directory(home, config), config.cache_limit, config.min_free
        ),
        connections=descriptors.share(descriptors.raised(), DOORS),
        clock=clock,
        jitter=secrets.SystemRandom().random,
        alerts=alerts,
        metrics=Metrics(),
        mounts=MountTable(),
        memory=MemoryBudget(),
    )


async def _dashboard(context: NodeContext, tasks: Supervisor) -> DashboardServer:
    return DashboardServer(
        context.config.dashboard_port,
        last_port=await asyncio.to_thread(last_port, context.home / PORT_FILE),
        token=await asyncio.to_thread(kept_secret, context.home / TOKEN_FILE),
        clock=context.clock,
        tasks=tasks,
        memory=context.memory,
        connections=context.connections,
    )


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
    health.hurry()
    uploads.hurry()


def _mdns(context: NodeContext, office: PeerNetwork, roster: RosterService) -> Mdns:
    own = Advert(
        device=context.identity.id,
        control_port=office.control_port,
        weight=weight_of(context.room.limit),
    )
    listener = Announcements(office, roster)
    return Mdns(lan_key=bytes.fromhex(context.config.lan_key), own=own, listener=listener)


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
