"""Tells pipelines of committed changes: a POST to each configured URL.

The daemon knows no names, so the message is the project's id and the entry's number; a pipeline
that has the project mounted looks there. Deliveries are tried three times and then let go: the
journal in the bucket is the record, a webhook is a nudge.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import ProjectId, Seq

log = logging.getLogger(__name__)

_ATTEMPTS = 3
_QUEUE = 1000


class Webhooks:
    """Delivers announcements in order, one at a time for each URL."""

    def __init__(self, urls: list[str], clock: Clock) -> None:
        self._queues: dict[str, asyncio.Queue[dict[str, str | int]]] = {
            url: asyncio.Queue(_QUEUE) for url in urls
        }
        self._clock = clock

    def announce(self, project: ProjectId, seq: Seq) -> None:
        """Queue the news of entry *seq*. A receiver that is a thousand behind misses some."""
        for queue in self._queues.values():
            if not queue.full():
                queue.put_nowait({"event": "commit", "project": project, "seq": int(seq)})

    async def run(self) -> None:
        """Deliver until cancelled."""
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            for url, queue in self._queues.items():
                group.create_task(self._deliver(session, url, queue))

    async def _deliver(
        self,
        session: aiohttp.ClientSession,
        url: str,
        queue: asyncio.Queue[dict[str, str | int]],
    ) -> None:
        while True:
            news = await queue.get()
            for attempt in range(_ATTEMPTS):
                try:
                    async with session.post(url, json=news) as answer:
                        if answer.status < 500:
                            break
                except (aiohttp.ClientError, TimeoutError, OSError):
                    pass
                await self._clock.sleep(2**attempt)
            else:
                log.warning("webhook %s did not take entry %s", url, news["seq"])
