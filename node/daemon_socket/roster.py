"""The log of members, read and written."""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from lucidnode.node.client import wire
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import Seq
from lucidnode.node.daemon_socket.requests import packed, seq_of

_LOOKS: dict[str, wire.RosterLook] = {"none": "none", "try": "try", "must": "must"}


class ServedRoster(Protocol):
    """The roster, read and written (RosterService)."""

    async def entries(self, look: wire.RosterLook) -> list[bytes]: ...
    async def append(self, seq: Seq, body: bytes) -> wire.CommitReply: ...


class RosterRoutes:
    """Answers whoever reads the log of members, or writes it."""

    def __init__(self, roster: ServedRoster) -> None:
        self._roster = roster

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [
            web.get("/v1/roster", self._entries),
            web.post("/v1/roster/{seq}", self._append),
        ]

    async def _entries(self, request: web.Request) -> web.Response:
        look = request.query.get("look", "try")
        if look not in _LOOKS:
            raise Malformed("look: none, try or must")
        return packed(wire.RosterLog(await self._roster.entries(_LOOKS[look])))

    async def _append(self, request: web.Request) -> web.Response:
        seq = seq_of(request)
        return packed(await self._roster.append(seq, await request.read()))
