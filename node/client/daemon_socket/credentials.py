"""Credentials of the bucket that owners gave a role."""

from __future__ import annotations

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.daemon_socket.transport import PATIENT, DaemonTransport
from lucidnode.node.client.roster_entry import Role

_ROLE_SET = msgspec.msgpack.Decoder(wire.RoleSet)
_ROLE_SET_CREATED = msgspec.msgpack.Decoder(wire.RoleSetCreated)
_ROLES_UNREACHED = msgspec.msgpack.Decoder(wire.RolesUnreached)


class DaemonCredentials:
    """The credentials of all roles, as far as this workstation may know them."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    async def of_role(self, role: Role) -> wire.RoleSet:
        """Return the newest credentials of *role* that this workstation may know."""
        named = wire.RoleNamed(role)
        return await self._transport.ask("/v1/credentials/of-role", named, _ROLE_SET)

    async def unreached(self) -> list[Role]:
        """Return the roles whose newest credentials are not sealed to all who need them."""
        path = "/v1/credentials/unreached"
        return (await self._transport.ask(path, None, _ROLES_UNREACHED)).roles

    async def create(self, role: Role, number: int, body: bytes) -> bool:
        """Create sealed credentials of *role*; False if something else stands there already."""
        wish = wire.NewRoleSet(role, number, body)
        answer = await self._transport.ask("/v1/credentials/create", wish, _ROLE_SET_CREATED)
        return answer.created

    async def look(self) -> None:
        """Have this workstation look for those of its own role now, and use them."""
        await self._transport.tell("/v1/credentials/look", bound=PATIENT)
