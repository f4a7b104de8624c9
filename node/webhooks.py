"""Tells pipelines of committed changes: a signed POST to each configured URL (docs/webhooks.md).

The daemon knows no names, so the message is the project's id and the entry's number; a pipeline
that has the project mounted looks there. A delivery is tried ATTEMPTS times and then dropped: whoever
must miss nothing reads the journal in the bucket.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac

import aiohttp
import msgspec

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.supervision import outside

SECRET_FILE = "webhook.secret"  # noqa: S105  # its name
"""In the home: what signs deliveries, to be given to their receivers."""

ATTEMPTS = 8
FIRST_PAUSE_S, MAX_PAUSE_S = 1.0, 60.0

_ANSWER_S = 10.0
_BACKLOG = 1000


class _NotTaken(Exception):
    """The receiver did not take a delivery; the message says why."""


class Webhooks:
    """Delivers announcements in order, one at a time for each URL, signed under *secret*."""

    def __init__(self, urls: list[str], secret: str, alerts: Alerts, clock: Clock) -> None:
        self._queues: dict[str, asyncio.Queue[bytes]] = {
            url: asyncio.Queue(_BACKLOG) for url in urls
        }
        self._secret = secret.encode()
        self._alerts = alerts
        self._clock = clock

    def announce(self, project: ProjectId, seq: Seq) -> None:
        """Queue the news of entry *seq*. A receiver that is a thousand behind misses some."""
        body = msgspec.json.encode({"event": "commit", "project": project, "seq": int(seq)})
        for queue in self._queues.values():
            if not queue.full():
                queue.put_nowait(body)

    async def run(self) -> None:
        """Deliver until cancelled."""
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
        jar = aiohttp.DummyCookieJar()
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=jar) as session,
            asyncio.TaskGroup() as group,
        ):
            for number, (url, queue) in enumerate(self._queues.items(), start=1):
                group.create_task(self._deliver(session, url, queue, f"webhook:{number}"))

    async def _deliver(
        self, session: aiohttp.ClientSession, url: str, queue: asyncio.Queue[bytes], topic: str
    ) -> None:
        while True:
            body = await queue.get()
            backoff = Backoff(None, FIRST_PAUSE_S, MAX_PAUSE_S)
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    await self._post(session, url, body)
                except _NotTaken as error:
                    if attempt == ATTEMPTS:
                        self._alerts.begin(
                            topic,
                            f"The webhook {url} does not take what it is told: {error}.",
                            "Check the receiver, or the address in `webhooks` of node.json.",
                        )
                    else:
                        await self._clock.sleep(backoff.pause())
                else:
                    self._alerts.end(topic)
                    break

    async def _post(self, session: aiohttp.ClientSession, url: str, body: bytes) -> None:
        timestamp = str(self._clock.wall_ns() // 10**9)
        signature = hmac.new(self._secret, timestamp.encode() + b"." + body, hashlib.sha256)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "lucidnode",
            "X-Lucidnode-Timestamp": timestamp,
            "X-Lucidnode-Signature": f"v1={signature.hexdigest()}",
        }
        with outside(_NotTaken, _NotTaken):
            # A redirect would send the message, and us, wherever the receiver likes.
            async with session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                if answer.status >= 300:
                    raise _NotTaken(f"status {answer.status}")
