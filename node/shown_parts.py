"""How the parts of the daemon are built that show people, and machines, what it does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from lucidnode.node.blocks.indexers import Indexers
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.client import mount_messages
from lucidnode.node.client.conflicts import ConflictOrder
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.supervision import Supervisor
from lucidnode.node.config import prices_of
from lucidnode.node.dashboard.colleagues import ColleagueServer
from lucidnode.node.dashboard.last_port import PORT_FILE, last_port
from lucidnode.node.dashboard.login import Opened
from lucidnode.node.dashboard.pages import Changes, Settle
from lucidnode.node.dashboard.server import TOKEN_FILE, DashboardServer
from lucidnode.node.ledger import Ledger
from lucidnode.node.mounts import MountTable
from lucidnode.node.node_context import NodeContext
from lucidnode.node.peers.network import PeerNetwork
from lucidnode.node.roster.service import RosterService
from lucidnode.node.secret_file import kept_secret
from lucidnode.node.status.snapshot import StatusSnapshot
from lucidnode.node.store_parts import StudioBucket
from lucidnode.node.webhooks.service import Webhooks

METRICS_TOKEN_FILE = "metrics.token"  # noqa: S105  # its name
"""In the home: what a scraper elsewhere shows, who gets the metrics and nothing else."""

_BLOCK_BYTES = 1024 * 1024
"""Of a studio without projects."""

_LATELY = 30
"""Entries of a project that the dashboard begins with."""


def status_snapshot(
    context: NodeContext,
    roster: RosterService,
    store: StudioBucket,
    cache: DiskCache,
    uploads: Uploads,
    office: PeerNetwork,
    dashboard: DashboardServer,
    ledger: Ledger,
    indexers: Indexers,
    page: Callable[[], tuple[int, bytes]],
) -> StatusSnapshot:
    """Return what people are shown of this moment."""
    return StatusSnapshot(
        device=context.identity.id,
        bucket=store.name,
        prices=lambda: prices_of(context.settings.config),
        block_bytes=lambda: max(
            (project.block_size for project in roster.current.projects.values()),
            default=_BLOCK_BYTES,
        ),
        moved=context.metrics.moved,
        days=ledger,
        mounts=context.mounts,
        office=office,
        cache=cache,
        pending_uploads=uploads.pending,
        fetch_times=context.metrics.fetch_times,
        indexers=indexers.counts,
        addresses=lambda: {
            "dashboard": dashboard.url,
            "control_port": str(office.control_port),
        },
        alerts=context.alerts,
        now=context.clock.boot,
        page=page,
    )


def export_figures(
    context: NodeContext,
    facts: StatusSnapshot,
    cache: DiskCache,
    uploads: Uploads,
    office: PeerNetwork,
    supervisor: Supervisor,
) -> None:
    """Export what is read rather than counted."""
    metrics, mounts, alerts = context.metrics, context.mounts, context.alerts
    metrics.watch_totals(facts.totals)
    metrics.watch_savings(facts.periods)
    metrics.watch_requests(lambda: mounts.totals().requests)
    metrics.watch_indexers(facts.indexers)
    for name, meaning, read in (
        ("lucidnode_cache_bytes", "Bytes in the block cache.", lambda: cache.facts().bytes),
        (
            "lucidnode_pinned_bytes",
            "Of the bytes in the block cache, those that are pinned.",
            lambda: cache.facts().pinned_bytes,
        ),
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


def lately(mounts: MountTable) -> Changes:
    """Return what reads what happened in the projects of *mounts*, at first the last entries."""

    async def changes(
        project: ProjectId, reader: str, after: int | None, told: int
    ) -> mount_messages.EventsPage:
        mount = mounts.mount(project)
        if after is None:
            after = max(0, mounts.head(project) - _LATELY)
        return await mount.events(reader, after, told)

    return changes


def settling(mounts: MountTable) -> Settle:
    """Return what settles conflicts in the projects of *mounts*."""

    async def settle(project: ProjectId, path: str, order: ConflictOrder) -> None:
        await mounts.mount(project).settle(path, order)

    return settle


def colleague_server(
    context: NodeContext,
    roster: RosterService,
    metrics_token: str,
    admits: Callable[[str], bool],
    tasks: Supervisor,
) -> tuple[ColleagueServer | None, Callable[[], tuple[int, bytes]]]:
    """Return who shows the dashboard to colleagues, if an owner wants it, and where: port and pin."""
    port = context.config.dashboard_listen
    if port is None:
        return None, lambda: (0, b"")
    tls, pin = context.identity.browser_context()
    server = ColleagueServer(
        port,
        context=tls,
        opened=lambda: Opened(roster.current.studio, context.identity.id, pin),
        roster=lambda: roster.current,
        metrics_token=metrics_token,
        admits=admits,
        alerts=context.alerts,
        clock=context.clock,
        tasks=tasks,
        memory=context.memory,
        connections=context.connections,
    )
    return server, lambda: (server.port, pin)


async def dashboard_server(context: NodeContext, tasks: Supervisor) -> DashboardServer:
    """Return who serves the dashboard, once it is asked to."""
    return DashboardServer(
        context.config.dashboard_port,
        last_port=await asyncio.to_thread(last_port, context.home / PORT_FILE),
        token=await asyncio.to_thread(kept_secret, context.home / TOKEN_FILE),
        clock=context.clock,
        tasks=tasks,
        memory=context.memory,
        connections=context.connections,
    )


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
