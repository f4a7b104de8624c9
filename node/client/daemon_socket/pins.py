"""What is pinned on this workstation."""

from __future__ import annotations

import msgspec

from lucidnode.node.client.daemon_socket.transport import DaemonTransport
from lucidnode.node.client.pins import PinnedPart, PinnedProjects, PinsReply, PinsWish

_PINS_REPLY = msgspec.msgpack.Decoder(PinsReply)
_PINNED_PROJECTS = msgspec.msgpack.Decoder(PinnedProjects)


class DaemonPins:
    """The pins of all projects here."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    async def order(self, wish: PinsWish) -> PinsReply:
        """Do what *wish* says. Raises NotThere if its project is not mounted here."""
        return await self._transport.ask("/v1/pins/order", wish, _PINS_REPLY)

    async def part(self, part: PinnedPart) -> None:
        """Tell the daemon a part of what is pinned."""
        await self._transport.tell("/v1/pins/part", part)

    async def here(self) -> PinnedProjects:
        """Return how far the pins of all projects are here."""
        return await self._transport.ask("/v1/pins/here", None, _PINNED_PROJECTS)
