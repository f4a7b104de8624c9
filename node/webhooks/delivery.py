"""One request to a receiver, signed: docs/webhooks.md says how it is checked."""

from __future__ import annotations

import hashlib
import hmac
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.supervision import outside
from lucidnode.node.webhooks.book import Webhook

ANSWER_S = 10.0
"""Seconds that a receiver has to take a delivery."""


class NotTaken(Exception):
    """The receiver did not take a delivery; the message says why."""


class Deliveries:
    """Posts to receivers. Use it as an async context manager."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_S), cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def post(self, webhook: Webhook, message: dict[str, Any]) -> None:
        """Have the receiver take *message*. Raises NotTaken."""
        body = msgspec.json.encode(message)
        timestamp = str(self._clock.wall_ns() // 10**9)
        signed = hmac.new(webhook.secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "lucidnode",
            "X-Lucidnode-Timestamp": timestamp,
            "X-Lucidnode-Signature": f"v1={signed.hexdigest()}",
        }
        with outside(NotTaken, NotTaken):
            # A redirect would send the message, and us, wherever the receiver likes.
            async with self._session.post(
                webhook.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                if answer.status >= 300:
                    raise NotTaken(f"status {answer.status}")
