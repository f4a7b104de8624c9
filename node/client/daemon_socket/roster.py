"""The log of members, read and written."""

from __future__ import annotations

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.daemon_socket.transport import DaemonTransport
from lucidnode.node.client.ids import Seq

_COMMIT_REPLY = msgspec.msgpack.Decoder(wire.CommitReply)
_ROSTER_LOG = msgspec.msgpack.Decoder(wire.RosterLog)


class DaemonRoster:
    """The studio's roster, in raw entries."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    async def entries(self, look: wire.RosterLook = "try") -> list[bytes]:
        """Return all raw roster entries, oldest first, unverified.

        The daemon looks for news first, if *look* says so; if it "must" and cannot, Unavailable is
        raised.
        """
        return (await self._transport.get(f"/v1/roster?look={look}", _ROSTER_LOG)).entries

    async def append(self, seq: Seq, body: bytes) -> wire.CommitReply:
        """Create roster entry *seq* if absent."""
        return await self._transport.ask(f"/v1/roster/{seq}", body, _COMMIT_REPLY)
