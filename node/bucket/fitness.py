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

log = logging.getLogger(__name__)

TOPIC = "bucket-unfit"

_PROBE_S = 5.0
"""Seconds to wait for the probe; most take one."""

_AGAIN_S = 60.0


class Fitness:
    """What the last probe showed. Nothing counts as unfit before one did."""

    def __init__(self, bucket: Bucket, alerts: Alerts, clock: Clock) -> None:
        self._bucket = bucket
        self._alerts = alerts
        self._clock = clock
        self.reason: str | None = None
        """Why the store cannot carry a journal now."""

    async def check(self) -> None:
        """Probe the bucket, and begin or end the alert by what it shows. Raises nothing of it.

        A store that is away or refuses tells nothing: then a mount reads from the caches, and what
        is written waits in staging (`BucketHealth` says what is amiss).
        """
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
