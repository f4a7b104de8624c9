"""The facts behind the dashboard and the command line's tables, as plain JSON values.

One shape for every reader: `lucidnode status --json` and the page show the same numbers because
they come from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from itertools import accumulate
from typing import Any, Protocol

import msgspec

from lucidnode.node.blocks.indexers import IndexerCounts
from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.mounts import MountTable
from lucidnode.node.peers.messages import PeerSummary
from lucidnode.node.peers.status import PeerStatus
from lucidnode.node.prices import PriceList
from lucidnode.node.savings import DayCounts, NodeTotals, period
from lucidnode.node.status.history import FetchTimes, within_ms
from lucidnode.node.status.mount_facts import (
    Answered,
    collection,
    listed,
    me,
    mount_facts,
    rekey,
    shown_alerts,
)
from lucidnode.node.status.summary import node_summary

_MOST_NAMES = 256
"""Peers whose names are asked for, of however many there are."""


class PeerStatusSource(Protocol):
    """The LAN, as the dashboard needs it."""

    def facts(self) -> list[PeerStatus]: ...
    def shares(self) -> dict[str, float]: ...


class CacheStatusSource(Protocol):
    """The block cache, as the dashboard needs it."""

    def facts(self) -> CacheFigures: ...


class CacheFigures(Protocol):
    """Figures of the block cache; sizes in bytes."""

    @property
    def bytes(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    @property
    def limit(self) -> int: ...
    @property
    def free(self) -> int: ...
    @property
    def pinned_bytes(self) -> int: ...


class DaysSource(Protocol):
    """What savings are reckoned from, by day."""

    async def refresh(self) -> None: ...
    def today(self) -> date: ...
    def here(self) -> Mapping[date, DayCounts]: ...
    def office(self) -> Mapping[date, DayCounts]: ...


class UploadStatusSource(Protocol):
    """What still has to reach the bucket."""

    @property
    def blocks(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def oldest_seconds(self) -> float: ...
    @property
    def bytes_per_second(self) -> float: ...


_NAMED_CONFLICTS = 8
"""Conflict copies of one mount that `status` and the dashboard name: `lucidnode conflicts` lists all."""


class StatusSnapshot:
    """Reads the daemon's parts at the moment of asking."""

    def __init__(
        self,
        *,
        device: str,
        bucket: str,
        prices: Callable[[], PriceList],
        block_bytes: Callable[[], int],
        moved: Callable[[], NodeTotals],
        days: DaysSource,
        mounts: MountTable,
        office: PeerStatusSource,
        cache: CacheStatusSource,
        pending_uploads: Callable[[], UploadStatusSource],
        fetch_times: Callable[[], FetchTimes],
        indexers: Callable[[], dict[str, IndexerCounts]],
        addresses: Callable[[], dict[str, str]],
        alerts: Alerts,
        now: Callable[[], float],
        page: Callable[[], tuple[int, bytes]],
    ) -> None:
        """Take the parts to read, and *now*, which gives seconds that never jump.

        *page* is where colleagues see the dashboard: port, and SHA-256 of the certificate.
        """
        self._device = device
        self._bucket = bucket
        self._prices = prices
        self._block_bytes = block_bytes
        self._moved = moved
        self._days = days
        self._mounts = mounts
        self._office = office
        self._cache = cache
        self._pending_uploads = pending_uploads
        self._fetch_times = fetch_times
        self._indexers = indexers
        self._addresses = addresses
        self._alerts = alerts
        self._now = now
        self._began = now()
        self._page = page

    def totals(self) -> NodeTotals:
        """Return what this node moved, its mounts' reads included."""
        reads = self._mounts.totals()
        moved = self._moved()
        return msgspec.structs.replace(
            moved,
            read_memory=reads.read_memory,
            read_cache=reads.read_cache,
            read_peer=reads.read_peer,
            read_bucket=reads.read_bucket,
            read_unsent=reads.read_unsent,
            read_again=reads.read_again,
            written=reads.written,
            ahead=reads.prefetched,
            ahead_used=reads.prefetched_used,
        )

    def summary(self) -> PeerSummary:
        """Return how this workstation is, for its colleagues."""
        cache, uploads, mounts = self._cache.facts(), self._pending_uploads(), list(self._mounts)
        return node_summary(
            up_s=self._now() - self._began,
            cache=(cache.bytes, cache.limit, cache.free),
            waiting=(uploads.bytes, uploads.oldest_seconds),
            drives=len(mounts),
            alerts=self._alerts.current(),
            drives_amiss=any(mount.stats.alerts for mount in mounts),
            sources={peer.device: peer.received for peer in self._office.facts()},
            page=self._page(),
        )

    async def status(self) -> dict[str, Any]:
        """Return what runs here and how it is."""
        return self._status(await self._answers())

    def _status(self, answers: list[Answered]) -> dict[str, Any]:
        uploads = self._pending_uploads()
        return {
            "device": self._device,
            "bucket": self._bucket,
            "me": me(answers),
            "speed": self._speed(),
            "addresses": self._addresses(),
            "mounts": [mount_facts(mount) for mount, _ in answers],
            "uploads": {
                "blocks": uploads.blocks,
                "bytes": uploads.bytes,
                "oldest_seconds": round(uploads.oldest_seconds, 1),
                "bytes_per_second": round(uploads.bytes_per_second),
                "seconds_left": _seconds_left(uploads),
            },
            "on_their_way": [
                {"mountpoint": mount.hello.mountpoint, **msgspec.structs.asdict(file)}
                for mount, answer in answers
                if answer is not None
                for file in answer.on_their_way
            ],
            "locks": [
                {"mountpoint": mount.hello.mountpoint, **msgspec.structs.asdict(token)}
                for mount, answer in answers
                if answer is not None
                for token in answer.locks
            ],
            "leases": [
                {"mountpoint": mount.hello.mountpoint, **msgspec.structs.asdict(lease)}
                for mount, answer in answers
                if answer is not None
                for lease in answer.leases
            ],
            "conflicts": [
                {"project": mount.project, "mountpoint": mount.hello.mountpoint, "path": path}
                for mount, answer in answers
                if answer is not None
                for path in listed(answer.facts.get("conflicts"))[:_NAMED_CONFLICTS]
            ],
            "collections": [
                {"mountpoint": mount.hello.mountpoint, **collection(answer.facts)}
                for mount, answer in answers
                if answer is not None and "collected_begun" in answer.facts
            ],
            "rekeys": [
                {"mountpoint": mount.hello.mountpoint, **rekey(answer.facts)}
                for mount, answer in answers
                if answer is not None and "rekey_at" in answer.facts
            ],
            "indexers": self.indexers(),
            "peers": sum(peer.state == "linked" for peer in self._office.facts()),
            "alerts": shown_alerts(self._alerts.current(), answers),
        }

    def _speed(self) -> dict[str, Any]:
        """Return what was read since the daemon started, how much of that from the cloud, and how long blocks took.

        The times are what half of the blocks kept, in ms; None where none came.
        """
        totals, times = self.totals(), self._fetch_times()
        from_memory_or_disk = totals.read_memory + totals.read_cache + totals.read_unsent
        return {
            "read_bytes": from_memory_or_disk + totals.read_peer + totals.read_bucket,
            "from_cloud_bytes": totals.read_bucket,
            "colleague_ms": within_ms(times.peer, 50),
            "cloud_ms": within_ms(times.bucket, 50),
        }

    def indexers(self) -> list[dict[str, Any]]:
        """Return what thumbnailers and indexers did that are held back, since the daemon started."""
        return [
            {
                "program": program,
                "files": counts.files,
                "fetched_bytes": counts.fetched,
                "withheld_bytes": counts.withheld,
            }
            for program, counts in sorted(self._indexers().items())
        ]

    async def alerts(self) -> dict[str, Any]:
        """Return all that is known to be amiss, also what is too many of one kind for `status`."""
        answers = await self._answers(every_alert=True)
        return {"alerts": shown_alerts(self._alerts.every(), answers)}

    async def _answers(self, *, every_alert: bool = False) -> list[Answered]:
        """Ask all mounts at once; each stays with its own answer."""
        mounts = list(self._mounts)
        devices = [peer.device for peer in self._office.facts()][:_MOST_NAMES]
        async with asyncio.TaskGroup() as asking:
            tasks = [
                asking.create_task(mount.describe(every_alert=every_alert, devices=devices))
                for mount in mounts
            ]
        return [(mount, task.result()) for mount, task in zip(mounts, tasks, strict=True)]

    async def peers(self) -> dict[str, Any]:
        """Return the office: this node's share of it and every other node.

        A mount knows what people call them; with nothing mounted a `name` is None.
        """
        return self._peers(await self._answers())

    def _peers(self, answers: list[Answered]) -> dict[str, Any]:
        names: dict[str, str] = {}
        for _, answer in answers:
            names.update({} if answer is None else answer.names)
        return {
            "device": self._device,
            "share": self._office.shares().get(self._device, 1.0),
            "summary": msgspec.to_builtins(self.summary()),
            "peers": [
                {**msgspec.to_builtins(peer), "name": names.get(peer.device)}
                for peer in self._office.facts()
            ],
        }

    async def savings(self) -> dict[str, Any]:
        """As `_savings`, of the mounts that answer."""
        return await self._savings(await self._answers())

    async def _savings(self, answers: list[Answered]) -> dict[str, Any]:
        """Return what was saved today, this month and since counting began, and what moved.

        `here` and `office` are totals since the daemons started; what is saved is kept by day, and
        no restart takes it back. Of the office as far as its workstations told.
        """
        await self._days.refresh()
        here = self.totals()
        office = here
        for peer in self._office.facts():
            office += _said(peer)
        prices = self._prices()
        held = (answer.facts.get("bytes") for _, answer in answers if answer is not None)
        stored = sum(size for size in held if isinstance(size, int))
        return {
            "price_per_gb": prices.per_gb,
            "prices": msgspec.to_builtins(prices),
            "storage": {"bytes": stored, "money_a_month": prices.month_of(stored)},
            "here": _builtins(here),
            "office": _builtins(office),
            "periods": self.periods(),
        }

    def periods(self) -> dict[str, Any]:
        """Return what was saved today, this month, and since counting began."""
        today = self._days.today()
        here, office = self._days.here(), self._days.office()
        first = min(office, default=today)
        since = {"today": today, "month": today.replace(day=1), "ever": min(first, today)}
        prices, block_bytes = self._prices(), self._block_bytes()
        # A clock that was ahead for a while, here or at a colleague's, has made no day of this month.
        last = {"ever": date.max}
        until = today + timedelta(1)
        return {
            name: period(here, office, day, prices, block_bytes, last.get(name, until))
            for name, day in since.items()
        }

    async def days(self) -> dict[str, Any]:
        """Return what savings are reckoned from, by day, for who wants other periods."""
        await self._days.refresh()
        return {
            "prices": msgspec.to_builtins(self._prices()),
            "block_bytes": self._block_bytes(),
            "today": self._days.today().isoformat(),
            **{
                who: {day.isoformat(): _builtins(counts) for day, counts in sorted(days.items())}
                for who, days in (("here", self._days.here()), ("office", self._days.office()))
            },
        }

    async def cache(self) -> dict[str, Any]:
        """Return how full the block cache is."""
        facts = self._cache.facts()
        return {
            "bytes": facts.bytes,
            "blocks": facts.blocks,
            "limit": facts.limit,
            "disk_free": facts.free,
            "pinned_bytes": facts.pinned_bytes,
        }

    async def stats(self) -> dict[str, Any]:
        """Return what only grows while the daemon runs, and what waits: for who looks twice.

        By operation, of requests that programs sent to the mounts: their number, how many failed, how
        long they took in sum, and how many took no longer than each of `buckets_s`.
        """
        uploads = self._pending_uploads()
        return {
            "at": self._now(),
            **_builtins(self.totals()),
            "waiting": uploads.bytes,
            "buckets_s": list(mount_messages.REQUEST_BUCKETS_S),
            "operations": {
                operation: {
                    "requests": sum(times.counts),
                    "failed": times.failed,
                    "seconds": times.seconds,
                    "within": list(accumulate(times.counts))[:-1],
                }
                for operation, times in self._mounts.totals().requests.items()
            },
        }

    async def conflicts(self) -> dict[str, Any]:
        """Return the conflict copies in each mount that answers."""
        answers = await self._answers()
        return {
            "mounts": [
                {
                    "project": answer.facts.get("project", ""),
                    "mountpoint": mount.hello.mountpoint,
                    "workstation": answer.facts.get("workstation", ""),
                    "conflicts": answer.facts.get("conflicts", []),
                }
                for mount, answer in answers
                if answer is not None
            ]
        }

    async def page(self) -> dict[str, Any]:
        """Return everything the dashboard shows, projects in plain words included."""
        answers = await self._answers()
        status = self._status(answers)
        for shown, (_, answer) in zip(status["mounts"], answers, strict=True):
            shown["words"] = {} if answer is None else answer.facts
        return {
            **status,
            "savings": await self._savings(answers),
            "office": self._peers(answers),
            "cache": await self.cache(),
        }


def _seconds_left(uploads: UploadStatusSource) -> float | None:
    """Return how long the uploads take at the present rate; None if nothing moves."""
    if not uploads.bytes:
        return 0.0
    return round(uploads.bytes / uploads.bytes_per_second, 1) if uploads.bytes_per_second else None


def _said(peer: PeerStatus) -> NodeTotals:
    """Return what *peer* says it moved; a peer of another version may count other things."""
    return NodeTotals(**{name: peer.totals.get(name, 0) for name in NodeTotals.__struct_fields__})


def _builtins(facts: msgspec.Struct) -> dict[str, Any]:
    return msgspec.structs.asdict(facts)
