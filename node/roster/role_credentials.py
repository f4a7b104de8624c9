"""Credentials of the bucket that an owner gave a role: found in it, tried, and used from then on.

Whoever has rights in the bucket can put anything below `credentials/`; what no owner has made is
passed over. A set is used once: what a person gives this workstation by hand afterwards stays, until
an owner gives the role newer ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple, get_args

import msgspec
from cachetools import LRUCache

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.errors import AlreadyThere, Oversize
from lucidnode.node.bucket.keys import CREDENTIALS, credentials_key
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import AccessDenied, Malformed, NodeError, NotThere, Refused
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.json_text import json_in
from lucidnode.node.client.role_credentials import (
    MAX_NUMBER,
    MAX_SET_BYTES,
    SetName,
    holders,
    open_role_set,
)
from lucidnode.node.client.roster import Roster
from lucidnode.node.client.roster_entry import Role

log = logging.getLogger(__name__)

TOPIC = "role-credentials"

LOOK_EVERY_S = 60.0
"""Between two listings of a workstation: some 20 cents a month on S3."""

_MOST_READ = 32
"""Objects of a role that one look reads: all but the newest are there for nothing, or by strangers."""

_PAGE = 1000


class _Newest(NamedTuple):
    """The newest set of a role that an owner has made; no *credentials* if it is sealed to others alone."""

    name: SetName
    credentials: Credentials | None
    devices: frozenset[DeviceId]


class RoleCredentials:
    """Follows the credentials of the roles that this workstation may know."""

    def __init__(
        self,
        *,
        bucket: Bucket,
        roster: Callable[[], Roster],
        device: DeviceId,
        unseal: Callable[[bytes, bytes], bytes | None],
        used: SetName | None,
        attempt: Callable[[Credentials], Awaitable[None]],
        use: Callable[[Credentials, SetName], Awaitable[None]],
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        """Begin after *used*, the set that was used here last.

        *attempt* raises a NodeError if the bucket does not take what it is given.
        """
        self._bucket = bucket
        self._roster = roster
        self._device = device
        self._unseal = unseal
        self._used = used
        self._attempt = attempt
        self._use = use
        self._alerts = alerts
        self._clock = clock
        self._newest: dict[Role, _Newest] = {}
        self._no_sets: LRUCache[tuple[SetName, int], None] = LRUCache(1024)
        """Names and sizes of what was read, and was no set by the roster of that moment."""
        self._looked: set[Role] = set()
        """Roles that were looked at since the roster changed."""
        self._hurried = asyncio.Event()
        self._looking = asyncio.Lock()

    def look_soon(self) -> None:
        """Look now: the roster has changed, and with it what is for whom."""
        self._no_sets.clear()
        self._looked.clear()
        self._hurried.set()

    async def run(self) -> None:
        """Look for newer credentials of our role, and use them, until cancelled."""
        while True:
            try:
                await self.follow()
            except NodeError as error:
                log.info("no credentials of the role now: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._hurried.wait()
            self._hurried.clear()
            await self._clock.sleep(1.0)  # however often somebody hurries us

    async def follow(self) -> None:
        """Use the newest credentials of our role, if they are newer than what we used. Raises a NodeError."""
        role = self._roster().widest_role(self._device)
        if role is None:
            return
        found = await self._look(role)
        if found is None or found.credentials is None:
            return
        name, credentials = found.name, found.credentials
        if self._used is not None and self._used.role == role and name.number <= self._used.number:
            return
        try:
            await self._attempt(credentials)
        except AccessDenied as error:
            self._alerts.begin(
                TOPIC,
                f"An owner gave every {role} new credentials for the bucket, and it does not take them "
                f"({error.cause.removesuffix('.')}).",
                "The ones from before are used on. Tell the owner, who gives others with `lucidnode "
                "credentials set --role`.",
            )
            return
        await self._use(credentials, name)
        self._used = name
        self._alerts.end(TOPIC)
        log.info("credentials of the bucket for every %s were taken over", role)

    # -- what commands and mounts ask --------------------------------------------------------

    async def of_role(self, role: Role) -> wire.RoleSet:
        """Return the newest credentials of *role*, as far as this workstation may know them."""
        found = await self._look(role)
        if found is None:
            return wire.RoleSet(0, {})
        given = found.credentials
        fields = {} if given is None else msgspec.structs.asdict(given)
        return wire.RoleSet(found.name.number, fields)

    async def unreached(self) -> list[Role]:
        """Return the roles of which the newest credentials are known here, and not to all who need them."""
        roster = self._roster()
        roles: list[Role] = []
        if roster.widest_role(self._device) == "owner":
            for role in get_args(Role):
                # The bucket is asked where the log of members has grown, and before it is said that
                # somebody is missing, for another owner may have seen to it.
                if role not in self._looked or self._misses(role, roster):
                    await self._look(role)
                    if self._misses(role, roster):
                        roles.append(role)
        return roles

    async def create(self, role: Role, number: int, body: bytes) -> bool:
        """Create a set, once; tell whether nothing else stood there. Raises Malformed."""
        if not 1 <= number <= MAX_NUMBER or len(body) > MAX_SET_BYTES:
            raise Malformed("no credentials of a role")
        key = credentials_key(SetName(role, number))
        try:
            await self._bucket.create(key, body)
        except AlreadyThere:
            return await self._bucket.get(key) == body  # by a try that was not told
        return True

    async def newest(self, role: Role) -> Credentials | None:
        """Return the newest credentials of *role*, None if it has none. Raises Refused if they are others' secret."""
        found = await self._look(role)
        if found is None:
            return None
        if found.credentials is None:
            raise Refused(
                f"every {role} has credentials of the bucket that this workstation does not know yet: an "
                "owner's who does hands them on within seconds while it runs, and `lucidnode credentials "
                f"set --role {role}` gives new ones"
            )
        return found.credentials

    # ----------------------------------------------------------------------------------------

    def _misses(self, role: Role, roster: Roster) -> bool:
        found = self._newest.get(role)
        needed = {device.id for device in holders(roster, role)}
        return found is not None and found.credentials is not None and not needed <= found.devices

    async def _look(self, role: Role) -> _Newest | None:
        async with self._looking:
            held = self._newest.get(role)
            for name, size in (await self._listed(role, held))[:_MOST_READ]:
                found = await self._read(name, size)
                if found is not None:
                    self._newest[role] = found
                    break
            self._looked.add(role)
            return self._newest.get(role)

    async def _listed(self, role: Role, held: _Newest | None) -> list[tuple[SetName, int]]:
        """Return the names behind *held* that may be sets, newest first."""
        after = credentials_key(held.name) if held else None
        found: list[tuple[SetName, int]] = []
        while True:
            page = await self._bucket.list(f"{CREDENTIALS}/{role}", after, _PAGE)
            for key, size in page:
                name = SetName.parse(key.removeprefix(f"{CREDENTIALS}/"))
                if name is not None and (name, size) not in self._no_sets:
                    found.append((name, size))
            if len(page) < _PAGE:
                return found[::-1]
            after = page[-1].key

    async def _read(self, name: SetName, size: int) -> _Newest | None:
        if size <= MAX_SET_BYTES:
            with contextlib.suppress(NotThere, Malformed, Oversize):
                raw = await self._bucket.get(credentials_key(name))
                contents, devices = open_role_set(
                    raw, name, self._roster(), self._device, self._unseal
                )
                credentials = None if contents is None else json_in(contents, Credentials)
                return _Newest(name, credentials, devices)
        self._no_sets[name, size] = None
        return None
