"""A daemon's dashboard over real counters, with an office and a mount that say what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from lucidnode.node.blocks.indexers import IndexerCounts
from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.conflicts import ConflictOrder
from lucidnode.node.client.errors import NotThere, Refused
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.supervision import supervised
from lucidnode.node.dashboard.pages import Shown
from lucidnode.node.dashboard.server import DashboardServer
from lucidnode.node.mounts import Mount, MountTable
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.peers.messages import PeerSummary
from lucidnode.node.peers.status import PeerStatus
from lucidnode.node.prices import LISTS
from lucidnode.node.savings import DayCounts, day_counts
from lucidnode.node.status.history import SERIES, SPANS, FetchTimes
from lucidnode.node.status.metrics import Metrics
from lucidnode.node.status.snapshot import StatusSnapshot

GB = 10**9
PRICES = LISTS["aws-s3"]


HERE, NEAR, AWAY = "d" * 32, "a" * 32, "b" * 32


class FixedOffice:
    """Two other workstations that said what they moved, and one how it is."""

    def __init__(self) -> None:
        self.given_to_near = 0
        self.names: dict[str, str] = {}
        """What the mount knows them by."""

    def summary(self) -> PeerSummary:
        """Return what the near one says of itself."""
        return PeerSummary(
            version="0.1.0",
            up_s=7200,
            cache_bytes=20 * GB,
            cache_limit=80 * GB,
            disk_free=300 * GB,
            waiting_bytes=3 * GB,
            waiting_s=120,
            drives=2,
            alerts={"cache-disk": 1_790_000_000, "drive": 0},
            sources={HERE: self.given_to_near},
        )

    def facts(self) -> list[PeerStatus]:
        moved = {
            "read_peer": 40 * GB,
            "served": 25 * GB,
            "received": 40 * GB,
            "downloaded": 2 * GB,
        }
        return [
            PeerStatus(
                NEAR, "192.0.2.12", "linked", 1, 0.31, 4.0, 0, moved, summary=self.summary()
            ),
            PeerStatus(AWAY, "192.0.2.13", "away", 1, 0.34, None, 0, {}),
        ]

    def shares(self) -> dict[str, float]:
        return {HERE: 0.35}


class CountedDays:
    """What was counted is known at once; colleagues have counted the same on each of two days."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    async def refresh(self) -> None: ...

    def today(self) -> date:
        return date(2026, 11, 26)

    def here(self) -> dict[date, DayCounts]:
        return {self.today(): day_counts(self._scene.facts.totals())}

    def office(self) -> dict[date, DayCounts]:
        theirs = DayCounts(from_office=40 * GB, from_cloud=GB, read_again=7 * GB, downloaded=2 * GB)
        here = self.here()[self.today()]
        return {date(2026, 11, 1): theirs, self.today(): theirs + here}


class FixedCache:
    """A cache that is a third full."""

    bytes = 33 * GB
    blocks = 33_000
    limit = 100 * GB
    free = 400 * GB
    pinned_bytes = 0

    def facts(self) -> FixedCache:
        return self


@dataclass
class FixedUploads:
    """What waits: nothing, at first."""

    blocks: int = 0
    bytes: int = 0
    oldest_seconds: float = 0.0
    bytes_per_second: float = 0.0


TOKEN = "0123456789abcdef" * 4
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Scene:
    """A daemon's dashboard over real counters, and a mount that answers for itself."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.office = FixedOffice()
        self.alerts = Alerts(SystemClock())
        self.uploads = FixedUploads()
        self.moving: list[mount_messages.FileOnItsWay] = []
        self.leases: list[mount_messages.FileLease] = []
        self.locks: list[mount_messages.FileToken] = []
        self.conflicts: list[str] = []
        self.happened: list[mount_messages.ProjectEvent] = []
        self.readers: set[str] = set()
        self.settled: list[tuple[str, str, str]] = []
        self.refused = ""
        self.indexers: dict[str, IndexerCounts] = {}
        self.mounts = MountTable()
        self.mount = Mount(
            ProjectId("c" * 32),
            mount_messages.MountHello(mountpoint="/home/ada/demo", pid=1, head=7),
        )
        self.mounts.add(self.mount)
        self.facts = StatusSnapshot(
            device="d" * 32,
            bucket="bucket 'studio' at AWS S3",
            prices=lambda: PRICES,
            block_bytes=lambda: 1 << 20,
            moved=self.metrics.moved,
            days=CountedDays(self),
            mounts=self.mounts,
            office=self.office,
            cache=FixedCache(),
            pending_uploads=lambda: self.uploads,
            fetch_times=lambda: FetchTimes((), ()),
            indexers=lambda: self.indexers,
            addresses=dict,
            alerts=self.alerts,
            now=lambda: 0.0,
            page=lambda: (0, b""),
        )
        self.metrics.watch_totals(self.facts.totals)
        self.metrics.watch_savings(self.facts.periods)

    def read(self, **reads: Any) -> None:
        self.mount.heard(mount_messages.MountStats(**reads))

    async def page_facts(self) -> dict[str, Any]:
        """Read the facts as the server does, and answer the daemon's question as a mount does."""
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(self.facts.page())
            match await self.mount.outbox.get():
                case mount_messages.StatusQuery(number=number):
                    facts: dict[str, str | int | float | bool | list[str]] = {"project": "demo"}
                    facts["conflicts"] = self.conflicts
                    facts |= {"bytes": 7 * GB, "inodes": 1200, "snapshots": ["day 11", "day 12"]}
                    self.mount.heard(
                        mount_messages.StatusReply(
                            number,
                            facts,
                            [],
                            self.moving,
                            names=self.office.names,
                            locks=self.locks,
                            leases=self.leases,
                        )
                    )
                case other:
                    raise AssertionError(other)
        return asked.result()

    def shown_history(self, span: str) -> dict[str, Any]:
        """Return a history in which something was moved in two steps."""
        step_s, steps = SPANS[span]
        series = {name: [0] * steps for name in SERIES}
        series["read_cache"][-1] = 6 * GB
        series["read_peer"][-1] = 2 * GB
        series["uploaded"][steps // 2] = 5 * GB
        never = {"p50_ms": None, "p95_ms": None, "p99_ms": None}
        took = {"p50_ms": 3.0, "p95_ms": 10.0, "p99_ms": 30.0}
        return {
            "span": span,
            "step_s": step_s,
            "ends": 1_790_000_000,
            "bytes": series,
            "fetches": {"peer": took, "bucket": never},
        }

    async def changes(
        self, project: ProjectId, reader: str, after: int | None, told: int
    ) -> mount_messages.EventsPage:
        """Return the events that nobody was told of yet."""
        if project != self.mount.project:
            raise NotThere("no such mount")
        self.readers.add(reader)
        place = 0 if after is None else after
        found = self.happened[place : place + 1]
        if not found:
            await asyncio.sleep(0.05)
        return mount_messages.EventsPage(1, found, place + len(found), 0)

    async def settle(self, project: ProjectId, path: str, order: ConflictOrder) -> None:
        """Note what is to be settled, and refuse it if *refused* says why."""
        if self.refused:
            raise Refused(self.refused)
        self.settled.append((project, path, order))
        self.conflicts.remove(path)

    def shown(self) -> Shown:
        return Shown(
            facts=self.page_facts,
            history=self.shown_history,
            changes=self.changes,
            settle=self.settle,
        )

    @contextlib.asynccontextmanager
    async def server(
        self, port: int | None = 0, connections: int = 64, last_port: int = 0
    ) -> AsyncIterator[DashboardServer]:
        clock = SystemClock()
        async with supervised(self.alerts, clock) as tasks:
            server = DashboardServer(
                port,
                last_port=last_port,
                token=TOKEN,
                clock=clock,
                tasks=tasks,
                memory=MemoryBudget(1 << 29),
                connections=connections,
            )
            async with server.serving(self.shown(), self.metrics.text):
                yield server
