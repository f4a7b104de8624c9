"""Invitations that ask, between the bucket and who answers them."""

from __future__ import annotations

import msgspec
from aiohttp import web

from lucidnode.node.client import wire
from lucidnode.node.daemon_socket.requests import message_of, nothing, packed, role_of
from lucidnode.node.roster.invitations import Invitations
from lucidnode.node.roster.way_in import WaysIn

_NAMED = msgspec.msgpack.Decoder(wire.InvitationNamed)
_PART = msgspec.msgpack.Decoder(wire.InvitationPart)
_ROLE = msgspec.msgpack.Decoder(wire.RoleNamed)


class InvitationRoutes:
    """Answers who invites, and who lets somebody in."""

    def __init__(self, invitations: Invitations, ways_in: WaysIn) -> None:
        self._invitations = invitations
        self._ways_in = ways_in

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [
            web.post("/v1/invitations/asked", self._asked),
            web.post("/v1/invitations/look", self._look),
            web.post("/v1/invitations/parts", self._parts),
            web.post("/v1/invitations/create", self._create),
            web.post("/v1/invitations/way-in", self._way_in),
        ]

    async def _asked(self, _: web.Request) -> web.Response:
        return packed(wire.InvitationList(await self._invitations.asked()))

    async def _look(self, _: web.Request) -> web.Response:
        self._invitations.look()
        return nothing()

    async def _parts(self, request: web.Request) -> web.Response:
        named = await message_of(request, _NAMED)
        return packed(await self._invitations.parts(named.ident))

    async def _create(self, request: web.Request) -> web.Response:
        wish = await message_of(request, _PART)
        created = await self._invitations.create(wish.ident, wish.part, wish.body)
        return packed(wire.InvitationCreated(created))

    async def _way_in(self, request: web.Request) -> web.Response:
        role = role_of((await message_of(request, _ROLE)).role)
        return packed(await self._ways_in.of_role(role))
