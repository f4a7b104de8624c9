"""Giving everybody of a role other credentials for the bucket, sealed to their workstations.

Touches both planes: an owner's member key signs, and the bucket's credentials are what is sealed.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lucidnode.credentials import opened_with
from lucidnode.fs.errors import NotAllowed
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.role_sealing import sealed_for_role
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import Unsettled
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.probe import FOLDER, probe
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.credentials import DaemonCredentials
from lucidnode.node.client.errors import AccessDenied, Refused, Unavailable
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.role_credentials import SetName, holders
from lucidnode.node.client.roster import Device
from lucidnode.node.client.roster_entry import Role
from lucidnode.node.config import load_credentials

ROLES: tuple[Role, ...] = ("owner", "editor", "viewer")

_TRIES = 20


@dataclass(frozen=True, slots=True)
class RoleGiven:
    """What became of new credentials of a role.

    *old_key* is the access key that they replace, and *shared* whether roles without credentials of
    their own use it too. *may_delete*: the store lets them delete what an editor has no need to.
    """

    role: Role
    access_key: str
    devices: Sequence[DeviceId]
    old_key: str | None
    shared: bool
    open_invites: int
    may_delete: bool


async def give_role(
    home: Path,
    socket: Path,
    mine: Membership,
    role: Role,
    given: Credentials,
    network: Network,
) -> RoleGiven:
    """Try *given* for what *role* needs, and leave them for all who have it.

    Raises NotAllowed for who is no owner; WrongBucket, StoreUnfit, AccessDenied, Unavailable or Refused, a
    sentence, if they will not do. Then nothing has changed.
    """
    bucket = await opened_with(home, given, network)
    may_delete = False
    if role == "viewer":
        await _must_not_write(bucket)
    else:
        await probe(bucket)
        may_delete = role == "editor" and await _may_delete(bucket)
    async with DaemonClient(socket) as client:
        view = RosterView.read(await client.roster.entries(), mine)
        before = await client.credentials.of_role(role)
        own = load_credentials(home)
        old_key = before.credentials.get("access_key") or (own.access_key if own else None)
        devices = holders(view.roster, role)
        await _publish(client.credentials, view, role, given, devices)
        await client.credentials.look()
        shared = not before.credentials and await _is_shared(client.credentials)
        return RoleGiven(
            role=role,
            access_key=given.access_key,
            devices=[device.id for device in devices],
            old_key=None if old_key == given.access_key else old_key,
            shared=shared,
            open_invites=sum(one.role == role for one in view.roster.invites.values()),
            may_delete=may_delete,
        )


async def admit(
    socket: Path, mine: Membership, role: Role, devices: Collection[DeviceId]
) -> list[Role]:
    """Seal the credentials of *role* to *devices* too, which are to have it; an owner has those of all roles.

    Before they have it: their workstations look for them as soon as the log of members says so.
    Returns the roles that have credentials of their own. Raises NotAllowed, Unavailable.
    """
    sealed: list[Role] = []
    async with DaemonClient(socket) as client:
        view = RosterView.read(await client.roster.entries(), mine)
        for each in ROLES if role == "owner" else (role,):
            found = await client.credentials.of_role(each)
            if found.credentials:
                given = msgspec.convert(found.credentials, Credentials)
                wanted = {device.id: device for device in holders(view.roster, each)}
                wanted |= {one: view.roster.devices[one] for one in devices}
                await _publish(client.credentials, view, each, given, wanted.values())
                sealed.append(each)
    return sealed


async def known_to(socket: Path, role: Role) -> dict[Role, str]:
    """Return the access keys that whoever has *role* knows, by the roles that have their own. Raises Unavailable."""
    known: dict[Role, str] = {}
    async with DaemonClient(socket) as client:
        for each in ROLES if role == "owner" else (role,):
            found = await client.credentials.of_role(each)
            key = found.credentials.get("access_key")
            if key:
                known[each] = key
    return known


async def _publish(
    credentials: DaemonCredentials,
    view: RosterView,
    role: Role,
    given: Credentials,
    devices: Collection[Device],
) -> None:
    if view.me.role != "owner":
        raise NotAllowed("only an owner of the studio can give a role credentials")
    number = (await credentials.of_role(role)).number
    for _ in range(_TRIES):
        number += 1
        body = sealed_for_role(view, SetName(role, number), msgspec.json.encode(given), devices)
        if await credentials.create(role, number, body):
            return
    raise Unavailable("too many others give credentials at this moment: try again")


async def _is_shared(credentials: DaemonCredentials) -> bool:
    return any([not (await credentials.of_role(role)).credentials for role in ROLES])


async def _must_not_write(bucket: Bucket) -> None:
    """Raise Refused if what opens *bucket* can write there."""
    key = f"{FOLDER}/{secrets.token_hex(16)}/viewer"
    try:
        await bucket.create(key, b"a viewer's credentials must not be able to write this")
    except AccessDenied:
        return
    except Unsettled as error:
        if isinstance(error.__cause__, AccessDenied):
            return
        raise Unavailable("whether these credentials can write is not known: try again") from error
    await bucket.delete(key)
    raise Refused(
        "these credentials can write, and a viewer's must not: have the store make some as `lucidnode "
        "credentials policy --role viewer` says"
    )


async def _may_delete(bucket: Bucket) -> bool:
    """Tell whether what opens *bucket* may delete blocks. It is asked of a name that nobody has."""
    try:
        await bucket.delete(f"p/{secrets.token_hex(16)}/block/00/{'0' * 64}")
    except AccessDenied:
        return False
    return True
