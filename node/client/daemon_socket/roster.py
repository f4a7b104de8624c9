"""The log of members, read and written."""

from __future__ import annotations

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.daemon_socket.transport import DaemonTransport, within
from lucidnode.node.client.ids import Seq

_COMMIT_REPLY = msgspec.msgpack.Decoder(wire.CommitReply)
_ROSTER_LOG = msgspec.msgpack.Decoder(wire.RosterLog)
_SHOWN_ROSTER = msgspec.msgpack.Decoder(wire.ShownRoster)

_WHOLE_S = 3600.0
"""Seconds for which a whole log is read anew at most: each object of nonsense in it takes seconds."""


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

    async def shown(self) -> wire.ShownRoster:
        """Return the roster as the bucket shows it, unverified; the daemon reads it from its beginning."""
        return await self._transport.ask(
            "/v1/shown-roster", None, _SHOWN_ROSTER, bound=within(_WHOLE_S)
        )

    async def start_again(self, seq: Seq, hash_: bytes) -> None:
        """Have the daemon go by what the bucket shows, if item *seq* of that has *hash_*."""
        choice = wire.RosterChoice(seq, hash_)
        await self._transport.tell("/v1/chosen-roster", choice, bound=within(_WHOLE_S))

    async def append(self, seq: Seq, body: bytes) -> wire.CommitReply:
        """Create roster entry *seq* if absent."""
        return await self._transport.ask(f"/v1/roster/{seq}", body, _COMMIT_REPLY)
