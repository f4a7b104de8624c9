"""The log of members, read and written."""

from __future__ import annotations

from typing import Protocol

import msgspec
from aiohttp import web

from lucidnode.node.client import wire
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import Seq, parse_seq
from lucidnode.node.client.roster_entry import HASH_SIZE
from lucidnode.node.daemon_socket.requests import done, message_of, packed, seq_of

_LOOKS: dict[str, wire.RosterLook] = {"none": "none", "try": "try", "must": "must"}

_CHOICE = msgspec.msgpack.Decoder(wire.RosterChoice)


class ServedRoster(Protocol):
    """The roster, read and written (RosterService)."""

    async def entries(self, look: wire.RosterLook) -> list[bytes]: ...
    async def append(self, seq: Seq, body: bytes) -> wire.CommitReply: ...
    async def shown(self) -> wire.ShownRoster: ...
    async def start_again(self, seq: Seq, hash_: bytes) -> None: ...


class RosterRoutes:
    """Answers whoever reads the log of members, or writes it."""

    def __init__(self, roster: ServedRoster) -> None:
        self._roster = roster

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [
            web.get("/v1/roster", self._entries),
            web.post("/v1/roster/{seq}", self._append),
            web.post("/v1/shown-roster", self._shown),
            web.post("/v1/chosen-roster", self._start_again),
        ]

    async def _entries(self, request: web.Request) -> web.Response:
        look = request.query.get("look", "try")
        if look not in _LOOKS:
            raise Malformed("look: none, try or must")
        return packed(wire.RosterLog(await self._roster.entries(_LOOKS[look])))

    async def _append(self, request: web.Request) -> web.Response:
        seq = seq_of(request)
        return packed(await self._roster.append(seq, await request.read()))

    async def _shown(self, _request: web.Request) -> web.Response:
        return packed(await self._roster.shown())

    async def _start_again(self, request: web.Request) -> web.Response:
        choice = await message_of(request, _CHOICE)
        if len(choice.hash) != HASH_SIZE:
            raise Malformed("a hash")
        await self._roster.start_again(parse_seq(str(choice.seq)), choice.hash)
        return done()
