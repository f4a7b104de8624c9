"""Whether the store still keeps the promise a journal stands on; asked again at every mount."""

from __future__ import annotations

import asyncio
import logging

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import StoreUnfit
from lucidnode.node.bucket.passing import PassingBucket
from lucidnode.node.bucket.probe import probe
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.supervision import Tasks

log = logging.getLogger(__name__)

TOPIC = "bucket-unfit"

_PROBE_S = 5.0
"""Seconds to wait for the probe; most take one."""

_AGAIN_S = 60.0

_EARLY_S = 60.0
"""How old a probe may be that was begun before its mount came: who loads a large project comes late."""


class Fitness:
    """What the last probe showed. Nothing counts as unfit before one did."""

    def __init__(self, bucket: Bucket, alerts: Alerts, clock: Clock) -> None:
        self._bucket = bucket
        self._alerts = alerts
        self._clock = clock
        self.reason: str | None = None
        """Why the store cannot carry a journal now."""
        self._early: tuple[float, asyncio.Task[None]] | None = None

    def begin(self, tasks: Tasks) -> None:
        """Begin the probe of a mount that is about to come, among *tasks*: it waits less for its answer."""
        if self._early is None or self._early[1].done():
            self._early = self._clock.boot(), tasks.create_task(self._probe(), name="probing early")

    async def check(self) -> None:
        """Probe the bucket, and begin or end the alert by what it shows. Raises nothing of it.

        What `begin` has begun short ago is waited for instead, by one. A store that is away or refuses
        tells nothing: then a mount reads from the caches, and what is written waits in staging
        (`BucketHealth` says what is amiss).
        """
        early, self._early = self._early, None
        if early is not None and self._clock.boot() - early[0] < _EARLY_S:
            await asyncio.shield(early[1])
        else:
            await self._probe()

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(_PROBE_S):
                await probe(self._bucket)
        except StoreUnfit as error:
            self.reason = str(error)
            self._alerts.begin(
                TOPIC,
                self.reason,
                "Nothing is committed before the store is mended; what is written waits here.",
            )
        except (TimeoutError, NodeError) as error:
            log.info("no telling whether the bucket is fit: %s", error)
        else:
            self.reason = None
            self._alerts.end(TOPIC)

    async def run(self) -> None:
        """Probe an unfit store again and again, until cancelled."""
        while True:
            await self._clock.sleep(_AGAIN_S)
            if self.reason is not None:
                await self.check()


class GuardedBucket(PassingBucket):
    """Creates nothing in a store that showed itself unfit: two nodes could overwrite each other."""

    def __init__(self, inner: Bucket, fitness: Fitness) -> None:
        super().__init__(inner)
        self._fitness = fitness

    async def create(self, key: str, body: bytes) -> None:
        if self._fitness.reason is not None:
            raise StoreUnfit(self._fitness.reason)
        await super().create(key, body)
