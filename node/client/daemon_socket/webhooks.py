"""Receivers that are told what happens in projects."""

from __future__ import annotations

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.daemon_socket.transport import DaemonTransport

_WEBHOOK_ADDED = msgspec.msgpack.Decoder(wire.WebhookAdded)


class DaemonWebhooks:
    """The webhooks of this workstation and of the projects that are mounted here."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    async def add(self, wish: wire.WebhookWish) -> wire.WebhookAdded:
        """Have the daemon tell a receiver what happens. Raises Refused for one that will not do."""
        return await self._transport.ask("/v1/webhooks/add", wish, _WEBHOOK_ADDED)

    async def remove(self, ident: str) -> None:
        """Have a receiver told no more. Raises NotThere, Refused."""
        await self._transport.tell("/v1/webhooks/remove", wire.WebhookNamed(ident))

    async def test(self, ident: str) -> None:
        """Have a receiver take a test. Raises NotThere, and Unavailable if it does not."""
        await self._transport.tell("/v1/webhooks/test", wire.WebhookNamed(ident))
