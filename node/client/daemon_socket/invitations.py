"""Invitations that ask, between the bucket and who answers them."""

from __future__ import annotations

from typing import Literal

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.daemon_socket.transport import DaemonTransport
from lucidnode.node.client.roster_entry import Role

_INVITATION = msgspec.msgpack.Decoder(wire.Invitation)
_INVITATIONS = msgspec.msgpack.Decoder(wire.InvitationList)
_INVITATION_CREATED = msgspec.msgpack.Decoder(wire.InvitationCreated)
_WAY_IN = msgspec.msgpack.Decoder(wire.WayIn)


class DaemonInvitations:
    """The studio's invitations. Who is invited by one is known to the caller alone."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    async def asked(self) -> list[wire.Invitation]:
        """Return the requests to join that wait for an owner of this machine."""
        return (await self._transport.ask("/v1/invitations/asked", None, _INVITATIONS)).waiting

    async def look(self) -> None:
        """Have the next `asked` look into the bucket, however short ago it did."""
        await self._transport.tell("/v1/invitations/look")

    async def parts(self, ident: bytes) -> wire.Invitation:
        """Return what the bucket has of an invitation."""
        named = wire.InvitationNamed(ident.hex())
        return await self._transport.ask("/v1/invitations/parts", named, _INVITATION)

    async def create(self, ident: bytes, part: Literal["offer", "answer"], body: bytes) -> bool:
        """Create a part of an invitation; False if another stands there already."""
        wish = wire.InvitationPart(ident.hex(), part, body)
        answer = await self._transport.ask("/v1/invitations/create", wish, _INVITATION_CREATED)
        return answer.created

    async def way_in(self, role: Role) -> wire.WayIn:
        """Return what a newcomer of *role* needs to reach the bucket, where the role has its own."""
        named = wire.RoleNamed(role)
        return await self._transport.ask("/v1/invitations/way-in", named, _WAY_IN)
