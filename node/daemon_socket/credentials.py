"""Credentials of the bucket that owners gave a role."""

from __future__ import annotations

import msgspec
from aiohttp import web

from lucidnode.node.client import wire
from lucidnode.node.daemon_socket.requests import message_of, nothing, packed, role_of
from lucidnode.node.roster.role_credentials import RoleCredentials

_ROLE = msgspec.msgpack.Decoder(wire.RoleNamed)
_NEW = msgspec.msgpack.Decoder(wire.NewRoleSet)


class CredentialRoutes:
    """Answers who gives credentials to a role, or hands them on."""

    def __init__(self, credentials: RoleCredentials) -> None:
        self._credentials = credentials

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [
            web.post("/v1/credentials/of-role", self._of_role),
            web.post("/v1/credentials/unreached", self._unreached),
            web.post("/v1/credentials/create", self._create),
            web.post("/v1/credentials/look", self._look),
        ]

    async def _of_role(self, request: web.Request) -> web.Response:
        role = role_of((await message_of(request, _ROLE)).role)
        return packed(await self._credentials.of_role(role))

    async def _unreached(self, _: web.Request) -> web.Response:
        return packed(wire.RolesUnreached(await self._credentials.unreached()))

    async def _create(self, request: web.Request) -> web.Response:
        new = await message_of(request, _NEW)
        created = await self._credentials.create(role_of(new.role), new.number, new.body)
        return packed(wire.RoleSetCreated(created))

    async def _look(self, _: web.Request) -> web.Response:
        await self._credentials.follow()
        return nothing()
