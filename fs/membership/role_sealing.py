"""Credentials of roles, sealed by an owner: new ones, and those there are, to workstations that came later.

An owner who joins after credentials were given to a role cannot open them, and so could not hand them
to newcomers. So the mounts of owners who can, seal them once more, to all who need them by then.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable
from typing import Protocol

import msgspec

from lucidnode.fs.errors import MembershipError
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_client import RosterClient
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.node.client import wire
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.role_credentials import SetName, holders, seal_role_set
from lucidnode.node.client.roster import Device
from lucidnode.node.client.roster_entry import Role

LOOK_EVERY_S = 5.0
"""Between two questions to the daemon, which asks the bucket where the log of members has grown."""


class RoleSetClient(Protocol):
    """The part of the daemon that carries credentials of roles (DaemonCredentials)."""

    async def unreached(self) -> list[Role]: ...
    async def of_role(self, role: Role) -> wire.RoleSet: ...
    async def create(self, role: Role, number: int, body: bytes) -> bool: ...


def sealed_for_role(
    view: RosterView, name: SetName, contents: bytes, devices: Iterable[Device]
) -> bytes:
    """Return *contents*, credentials as bucket.json keeps them, sealed to *devices* and signed by us."""
    keys = view.membership.keys
    return seal_role_set(
        name, view.roster.studio, devices, contents, keys.public, keys.sign, secrets.token_bytes
    )


async def seal_to_who_came_later(
    credentials: RoleSetClient, roster: RosterClient, mine: Membership
) -> list[Role]:
    """Seal what is not sealed to all who need it; return the roles for which we did. Raises a NodeError."""
    unreached = await credentials.unreached()
    if not unreached:
        return []
    done: list[Role] = []
    view = RosterView.read(await roster.entries(), mine)
    if view.me.role != "owner":
        return []
    for role in unreached:
        found = await credentials.of_role(role)
        if not found.credentials:
            continue
        name = SetName(role, found.number + 1)
        contents = msgspec.json.encode(found.credentials)
        body = sealed_for_role(view, name, contents, holders(view.roster, role))
        # Of several mounts and owners one creates this number; the others find it next time.
        if await credentials.create(role, name.number, body):
            done.append(role)
    return done


async def seal_always(
    credentials: RoleSetClient, roster: RosterClient, mine: Membership, clock: Clock
) -> None:
    """Do so until cancelled."""
    while True:
        # Out of reach, or not a member any more: what else needs the daemon tells of that.
        with contextlib.suppress(NodeError, MembershipError):
            await seal_to_who_came_later(credentials, roster, mine)
        await clock.sleep(LOOK_EVERY_S)
