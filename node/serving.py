"""What a daemon serves: the composition root of the ciphertext plane.

Everything is put together here, in the order in which it depends on each other, and closed in
reverse; how each part is built stands in store_parts.py, studio_parts.py, office_parts.py and
shown_parts.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
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
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import mount_messages
from lucidnode.node.client.supervision import supervised
from lucidnode.node.config import (
    lan_key_of,
    load_credentials,
)
from lucidnode.node.current_settings import CurrentSettings
from lucidnode.node.daemon_socket.blocks import BlockRoutes
from lucidnode.node.daemon_socket.checkpoints import CheckpointRoutes
from lucidnode.node.daemon_socket.collection import CollectionRoutes
from lucidnode.node.daemon_socket.credentials import CredentialRoutes
from lucidnode.node.daemon_socket.dashboard import DashboardRoutes
from lucidnode.node.daemon_socket.facts import FactRoutes
from lucidnode.node.daemon_socket.file_blocks import FileBlockRoutes
from lucidnode.node.daemon_socket.invitations import InvitationRoutes
from lucidnode.node.daemon_socket.journal import JournalRoutes
from lucidnode.node.daemon_socket.listener import DaemonSocket
from lucidnode.node.daemon_socket.mounts import MountRoutes
from lucidnode.node.daemon_socket.orders import OrderRoutes
from lucidnode.node.daemon_socket.pins import PinRoutes
from lucidnode.node.daemon_socket.roster import RosterRoutes
from lucidnode.node.daemon_socket.server import SocketServer
from lucidnode.node.daemon_socket.webhooks import WebhookRoutes
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
    own_instance,
    peer_network,
    quiet,
    rendezvous,
)
from lucidnode.node.opened_cache import OpenedCache
from lucidnode.node.orders import Orders
from lucidnode.node.peer_events import PeerEventHandlers
from lucidnode.node.peers.messages import MAX_CLAIMS
from lucidnode.node.peers.news import NewsSource
from lucidnode.node.pins.keeper import PinKeeper
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
    topics,
)
from lucidnode.node.status.history import History
from lucidnode.node.store_parts import (
    bad_objects,
    block_source,
    block_uploads,
    blocks_for_mounts,
    checkpoint_objects,
    indexers_of,
    journal_service,
    mount_welcome,
    open_store,
)
from lucidnode.node.studio_parts import (
    erasure,
    invitations_of,
    note_rights,
    role_credentials,
    roster_service,
    way_in,
    webhook_service,
)
from lucidnode.node.studio_settings import StudioSettings


@contextlib.asynccontextmanager
async def serving(
    home: Path,
    settings: CurrentSettings,
    opened: OpenedCache,
    listener: DaemonSocket,
    *,
    stop: Callable[[], None],
    anew: Callable[[], None],
) -> AsyncIterator[None]:
    """Serve mounts on *listener*, peers, and people, by *settings*, while the context lasts.

    Over the cache that is *opened*. Orders may *stop* the daemon, or have it serve *anew*.
    Raises Refused, Unavailable and the like with a sentence.
    """
    clock, alerts, cache, pinned = opened.clock, opened.alerts, opened.cache, opened.pinned
    context = await node_context(home, settings, clock, alerts)
    config, mounts, metrics = context.config, context.mounts, context.metrics
    signed_with = CurrentCredentials(
        await asyncio.to_thread(load_credentials, home), context.network
    )
    store = open_store(context, signed_with)
    async with contextlib.AsyncExitStack() as stack:
        # First in, last out: what is entered later uses what was entered before.
        staging = await stack.enter_async_context(Staging.open(opened.mark, cache, clock))
        tasks = await stack.enter_async_context(supervised(alerts, clock))
        roster = roster_service(context, store)
        ledger = await stack.enter_async_context(
            Ledger.opened(home, context.identity.id, lambda: roster.current.devices, clock, alerts)
        )
        history = await stack.enter_async_context(History.opened(home, clock))
        silence = quiet(context)
        own = own_instance(context)
        office = peer_network(context, own, roster, silence)
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
            opened.book,
            cache,
            staging,
            mounts,
            for_mounts.obtain,
            alerts,
            clock,
            lambda: silence.reason,
        )
        webhooks = await webhook_service(context, roster, tasks)
        others = instances(context, store, own)
        journal = journal_service(
            context,
            store,
            staging,
            uploads,
            roster,
            office.talk.push,
            others.suspect,
            own.why_forbidden,
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
            stop=stop,
            anew=anew,
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
                [
                    BlockRoutes(for_mounts),
                    JournalRoutes(journal, mounts),
                    CheckpointRoutes(checkpoint_objects(context, store, uploads)),
                    CollectionRoutes(CollectedObjects(store.bucket, staging, store.skew_s)),
                    RosterRoutes(roster),
                    InvitationRoutes(invitations, way_in(context, of_roles, roster, signed_with)),
                    CredentialRoutes(of_roles),
                    MountRoutes(
                        mounts,
                        mount_welcome(context, store, cache, staging),
                        office.talk.relay,
                        alerts,
                    ),
                    FileBlockRoutes(
                        BlocksForPeople(mounts, cache, staging, uploads, office, arrivals, indexers)
                    ),
                    PinRoutes(pins),
                    WebhookRoutes(webhooks),
                    DashboardRoutes(
                        Visits(context.identity, lambda: roster.current.studio, office.facts, clock)
                    ),
                    FactRoutes(topics(facts, dashboard, webhooks, store.skew_s)),
                    OrderRoutes(orders.by_word(), orders.hold_node_key),
                ],
                tasks,
            )
        )
        yield
