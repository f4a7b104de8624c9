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
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from lucidnode.discovery.candidate import parse_peer
from lucidnode.node.blocks.arrivals import Arrivals
from lucidnode.node.blocks.collected_objects import CollectedObjects
from lucidnode.node.blocks.for_people import BlocksForPeople
from lucidnode.node.bucket.keys import STUDIO
from lucidnode.node.bucket.session import CurrentCredentials
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.eviction import LeastRecentlyUsed
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import EVENT_S
from lucidnode.node.client.errors import NodeError, Refused
from lucidnode.node.client.supervision import supervised
from lucidnode.node.config import (
    LOCK_FILE,
    SOCKET_FILE,
    NodeConfig,
    lan_key_of,
    load_credentials,
)
from lucidnode.node.current_settings import CurrentSettings
from lucidnode.node.daemon_socket import DaemonSocket
from lucidnode.node.dashboard.last_port import PORT_FILE, note_port
from lucidnode.node.dashboard.pages import Shown
from lucidnode.node.dashboard.visits import Visits
from lucidnode.node.ledger import Ledger
from lucidnode.node.lost_mounts import LostMounts
from lucidnode.node.node_context import node_context
from lucidnode.node.office_parts import (
    find_peers,
    instances,
    near,
    peer_network,
    quiet,
    rendezvous,
)
from lucidnode.node.orders import Orders
from lucidnode.node.parts import (
    bad_objects,
    block_source,
    block_uploads,
    blocks_for_mounts,
    checkpoint_objects,
    erasure,
    indexers_of,
    invitations_of,
    journal_service,
    mount_welcome,
    note_rights,
    open_store,
    role_credentials,
    roster_service,
    topics,
    way_in,
    webhook_service,
)
from lucidnode.node.peer_events import PeerEventHandlers
from lucidnode.node.peers.messages import MAX_CLAIMS
from lucidnode.node.peers.news import NewsSource
from lucidnode.node.pins.book import PINS_FILE, PinBook
from lucidnode.node.pins.keeper import PinKeeper
from lucidnode.node.pins.pinned_blocks import PinnedBlocks
from lucidnode.node.roster.answers_unmounted import AnswersUnmounted, given_answers
from lucidnode.node.secret_file import kept_secret
from lucidnode.node.shown_parts import (
    METRICS_TOKEN_FILE,
    colleague_server,
    dashboard_server,
    export_figures,
    lately,
    settling,
    status_snapshot,
)
from lucidnode.node.socket_server import SocketServer
from lucidnode.node.status.history import History
from lucidnode.node.studio_settings import StudioSettings

log = logging.getLogger(__name__)


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
    settings = CurrentSettings(home, options.applied)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tidings = _Tidings(options.came_back)
    try:
        with _locked(home), DaemonSocket(home / SOCKET_FILE) as listener:
            await _serve_until(stop, home, settings, tidings, listener, ready)
            while not stop.is_set():
                last_good, began = tidings.served, asyncio.Event()
                try:
                    await _serve_until(stop, home, settings, tidings, listener, began.set)
                except (ExceptionGroup, NodeError) as error:
                    cause = _first_cause(error)
                    if began.is_set() or last_good is None or not isinstance(cause, NodeError):
                        raise
                    # A port that is taken, say: no drive goes away for a setting.
                    tidings.unfit = str(cause).rstrip(".")
                    await asyncio.to_thread(settings.use, last_good)
    except ExceptionGroup as group:
        # A sentence for a person is one sentence, whichever group of tasks it came through.
        first = _first_cause(group)
        if isinstance(first, NodeError):
            raise first from group
        raise


@dataclass(slots=True)
class _Tidings:
    """What is to be told when the daemon serves next."""

    came_back: str
    """How the one before ended, if there was one."""
    unfit: str = ""
    """Why the settings could not be used; it serves with those of before."""
    served: NodeConfig | None = None
    """The settings with which it served last."""


async def _serve_until(
    stop: asyncio.Event,
    home: Path,
    settings: CurrentSettings,
    tidings: _Tidings,
    listener: DaemonSocket,
    ready: Callable[[], None],
) -> None:
    """Serve until *stop*, or until there are settings for which it has to serve anew."""
    anew = asyncio.Event()
    config = settings.config
    async with _serving(home, settings, tidings, listener, stop, anew):
        tidings.served = config
        ready()
        await _first_of(stop, anew)
        log.info("stopping" if stop.is_set() else "serving anew, with other settings")


@contextlib.asynccontextmanager
async def _serving(
    home: Path,
    settings: CurrentSettings,
    tidings: _Tidings,
    listener: DaemonSocket,
    stop: asyncio.Event,
    anew: asyncio.Event,
) -> AsyncIterator[None]:
    context = await node_context(home, settings)
    config = context.config
    clock, alerts, mounts, metrics = context.clock, context.alerts, context.mounts, context.metrics
    if tidings.came_back:
        alerts.begin(
            "came-back",
            f"The daemon {tidings.came_back} and was started again.",
            "If that goes on, its log has details.",
            lasts_s=EVENT_S,
        )
    if tidings.unfit:
        alerts.begin(
            "settings",
            f"The settings cannot be used: {tidings.unfit}. It goes on with those of before.",
            "`lucidnode config list` shows them; set another value.",
        )
    tidings.came_back = tidings.unfit = ""
    signed_with = CurrentCredentials(
        await asyncio.to_thread(load_credentials, home), context.network
    )
    store = open_store(context, signed_with)
    async with contextlib.AsyncExitStack() as stack:
        # First in, last out: what is entered later uses what was entered before.
        book = stack.enter_context(
            contextlib.closing(await asyncio.to_thread(PinBook, home / PINS_FILE))
        )
        pinned = PinnedBlocks(await asyncio.to_thread(book.all))
        cache = await stack.enter_async_context(
            DiskCache.open(
                context.cache_mark,
                context.room.limit,
                context.room.left_alone,
                clock,
                alerts,
                LeastRecentlyUsed,
                pinned,
            )
        )
        staging = await stack.enter_async_context(Staging.open(context.cache_mark, cache, clock))
        tasks = await stack.enter_async_context(supervised(alerts, clock))
        roster = roster_service(context, store)
        ledger = await stack.enter_async_context(
            Ledger.opened(home, context.identity.id, lambda: roster.current.devices, clock, alerts)
        )
        history = await stack.enter_async_context(History.opened(home, clock))
        silence = quiet(context)
        office = peer_network(context, roster, silence)
        roster.watch(office.roster_changed)
        roster.watch(partial(mounts.tell_all, mount_messages.RosterNews()))
        await roster.know()
        note_rights(context, store, roster)
        roster.watch(partial(note_rights, context, store, roster))
        objects = bad_objects(context, store)
        source = block_source(context, objects, cache, staging, office, tasks)
        arrivals = Arrivals(clock, metrics.came)
        uploads = block_uploads(context, store, staging, office)
        indexers = indexers_of(context)
        for_mounts = blocks_for_mounts(
            context, store, objects, source, cache, staging, uploads, arrivals, indexers
        )
        pins = PinKeeper(
            pinned,
            book,
            cache,
            staging,
            mounts,
            for_mounts.obtain,
            alerts,
            clock,
            lambda: silence.reason,
        )
        webhooks = await webhook_service(context, roster, tasks)
        others = instances(context, store, office)
        journal = journal_service(
            context,
            store,
            staging,
            uploads,
            roster,
            office.push,
            others.suspect,
            office.why_forbidden,
        )
        events = PeerEventHandlers(
            mounts, journal, tasks, roster.projects, roster.heard, ledger.heard, alerts, clock
        )
        dashboard = await dashboard_server(context, tasks)
        colleagues, page = colleague_server(
            context,
            roster,
            await asyncio.to_thread(kept_secret, home / METRICS_TOKEN_FILE),
            near(context),
            tasks,
        )
        facts = status_snapshot(
            context, roster, store, cache, uploads, office, dashboard, ledger, indexers, page
        )
        ledger.count(facts.totals)
        history.count(lambda: (facts.totals(), metrics.fetch_times()))
        export_figures(context, facts, cache, uploads, office, tasks)
        shown = Shown(
            facts=facts.page,
            history=history.shown,
            changes=lately(mounts),
            settle=settling(mounts),
        )
        await stack.enter_async_context(dashboard.serving(shown, metrics.text))
        if colleagues is not None:
            await stack.enter_async_context(colleagues.serving(shown, metrics.text))
        if config.dashboard_port is None:
            await asyncio.to_thread(note_port, home / PORT_FILE, dashboard.port)
        await stack.enter_async_context(
            office.open(
                source,
                events=events,
                news=NewsSource(
                    heads=partial(journal.newest, MAX_CLAIMS),
                    totals=lambda: msgspec.structs.asdict(facts.totals()),
                    days=ledger.told,
                    summary=facts.summary,
                ),
            )
        )
        office.name_peers(map(parse_peer, config.peers))
        works: dict[str, Callable[[], Awaitable[None]]] = {
            "keeping the cache in order": cache.maintain,
            "fetching what is pinned": pins.run,
            "uploading": uploads.run,
            "looking at battery and link": silence.run,
            "finishing earlier commits": journal.resume,
            "looking at bad objects": objects.run,
            "looking for lost entries": journal.look_for_lost,
            "following the roster": roster.run,
            "deleting projects for good": erasure(context, store, roster, journal).run,
            "comparing journals with peers": events.run,
            "calling webhooks": webhooks.run,
            "writing down what was saved": ledger.run,
            "writing down what was moved": history.run,
            "looking for lost mounts": LostMounts(home, mounts, alerts, clock).run,
            "looking for another with this workstation's keys": others.run,
            "looking at the bucket": partial(store.health.run, partial(store.once.get, STUDIO)),
            "probing an unfit bucket": store.fitness.run,
        }
        for name, work in works.items():
            tasks.keep(name, work)
        if config.mdns:
            tasks.keep("finding peers", partial(find_peers, context, office, roster))
        if config.rendezvous:
            tasks.keep(
                "finding peers through the bucket", rendezvous(context, store, office, roster).run
            )
        invitations = invitations_of(context, store, roster)
        unmounted = AnswersUnmounted(
            invitations.unanswered, partial(given_answers, home), alerts, clock
        )
        tasks.keep("answering who asks to join where nothing is mounted", unmounted.run)
        orders = Orders(
            home=home,
            settings=settings,
            office=office,
            cache=cache,
            uploads=uploads,
            mounts=mounts,
            signed_with=signed_with,
            health=store.health,
            begin_probe=partial(store.fitness.begin, tasks),
            stop=stop.set,
            anew=anew.set,
        )
        of_roles = role_credentials(context, store, roster, orders.use_new_credentials)
        roster.watch(of_roles.look_soon)
        if parse_address(config.bucket_url).takes_credentials:
            tasks.keep("following the credentials of our role", of_roles.run)
        of_studio = StudioSettings(
            home,
            roster.current.studio,
            lan_key_of(home, config),
            lambda: roster.current.settings,
            orders.use_new_settings,
        )
        roster.watch(of_studio.roster_changed)
        tasks.keep("following the studio's settings", of_studio.run)
        await stack.enter_async_context(
            SocketServer(
                listener,
                blocks=for_mounts,
                journal=journal,
                checkpoints=checkpoint_objects(context, store, uploads),
                collection=CollectedObjects(store.bucket, staging, store.skew_s),
                roster=roster,
                mounts=mounts,
                relay=office.relay,
                welcome=mount_welcome(context, store, cache, staging),
                topics=topics(facts, dashboard, webhooks, store.skew_s),
                orders=orders.by_word(),
                questions={
                    "invitations/asked": invitations.asked,
                    "invitations/look": invitations.look,
                    "invitations/parts": invitations.parts,
                    "invitations/create": invitations.create,
                    "webhooks/add": webhooks.add,
                    "webhooks/remove": webhooks.remove,
                    "webhooks/test": webhooks.test,
                    "invitations/way-in": way_in(context, of_roles, roster, signed_with).of_role,
                    "credentials/create": of_roles.create,
                    "credentials/look": of_roles.look,
                    "credentials/of-role": of_roles.of_role,
                    "credentials/unreached": of_roles.unreached,
                    "node-key": orders.take_node_key,
                    **BlocksForPeople(
                        mounts, cache, staging, uploads, office, arrivals, indexers
                    ).questions(),
                    **pins.questions(),
                    **Visits(
                        context.identity, lambda: roster.current.studio, office.facts, clock
                    ).questions(),
                },
                tasks=tasks,
                alerts=alerts,
            )
        )
        yield


async def _first_of(*events: asyncio.Event) -> None:
    """Return when one of *events* is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()


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
