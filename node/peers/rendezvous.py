"""Workstations of one office find each other through the bucket, where multicast does not reach.

Each leaves a record of where it can be reached, and looks for the others' when it starts and now and
then. Who finds another dials it, and is dialled back, so a newcomer need not be looked for. What is
further away than a LAN is left alone: a site behind a VPN is no office.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol

from lucidnode.discovery.candidate import Candidate
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import RENDEZVOUS, rendezvous_key
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import AccessDenied, NodeError
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.peers.rendezvous_record import (
    MAX_HOSTS,
    RECORD_BYTES,
    ReachableAt,
    is_private,
    opened,
    sealed,
)

log = logging.getLogger(__name__)

LOOK_S = 1800.0
"""Seconds between looks for others: a list, and a read of each record that is new."""

TICK_S = 60.0
"""Seconds between looks at our own addresses."""

SAID_AGAIN_S = 12 * 3600.0
"""Seconds after which a record is made anew, so that others see that it is still true."""

STALE_S = 3 * 24 * 3600
"""Seconds after which a record says nothing any more, by the clocks of both."""

NEAR_S = 0.005
"""Seconds in which a connection to somebody in the office is made."""

_TRIES = 3
_PAGE = 1000
_MOST_RECORDS = 10_000
_MOST_DEVICES = 512

_KEY = re.compile(rf"{RENDEZVOUS}/([0-9a-f]{{32}})/(\d{{12}})")


class Distance(Protocol):
    """Measures how far away a host is."""

    def __call__(self, host: str, port: int) -> Awaitable[float | None]:
        """Return the seconds that a connection takes, None if none is made in time."""


async def connect_time(host: str, port: int) -> float | None:
    """Return the shortest of some times that a TCP connection to *host* takes. See `Distance`."""
    times = []
    for _ in range(_TRIES):
        began = time.perf_counter()
        try:
            async with asyncio.timeout(1.0):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            return None
        times.append(time.perf_counter() - began)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return min(times)


class FoundPeers(Protocol):
    """Who dials those that were found (PeerNetwork)."""

    def found(self, instance: str, candidate: Candidate) -> None:
        """Dial *candidate* from now on."""

    def gone(self, instance: str) -> None:
        """Dial there no more."""


class Rendezvous:
    """Does it for one workstation.

    *addresses* are its own now, *device_key* that of a member's device, None for a stranger's.
    """

    def __init__(
        self,
        *,
        bucket: Bucket,
        lan_key: bytes,
        me: DeviceId,
        sign: Callable[[bytes], bytes],
        random_bytes: Callable[[int], bytes],
        addresses: Callable[[], list[str]],
        port: Callable[[], int],
        device_key: Callable[[DeviceId], bytes | None],
        peers: FoundPeers,
        distance: Distance,
        clock: Clock,
        announces: bool = True,
    ) -> None:
        """Without *announces* no record is left; others are found all the same."""
        self._announces = announces
        self._bucket = bucket
        self._lan_key = lan_key
        self._me = me
        self._sign = sign
        self._random_bytes = random_bytes
        self._addresses = addresses
        self._port = port
        self._device_key = device_key
        self._peers = peers
        self._distance = distance
        self._clock = clock
        self._said: ReachableAt | None = None
        self._said_at = 0.0
        self._read: dict[DeviceId, tuple[str, ReachableAt | None]] = {}
        """The record of each device that was read last: its key, and what it says, None if nothing."""
        self._known: set[DeviceId] = set()
        """Those that are dialled for what their records say."""

    async def run(self) -> NoReturn:
        """Leave our record and look for others', until cancelled. The bucket may be away: then later."""
        looked_at: float | None = None
        while True:
            try:
                if self._announces:
                    await self._say()
                now = self._clock.boot()
                if looked_at is None or now - looked_at >= LOOK_S:
                    await self._look()
                    looked_at = now
            except NodeError as error:
                log.debug("no rendezvous now: %s", error)
            await self._clock.sleep(TICK_S)

    async def _say(self) -> None:
        """Leave a record if what it says is new, or old. Raises a NodeError."""
        hosts = [host for host in self._addresses() if is_private(host)][:MAX_HOSTS]
        here = ReachableAt(hosts, self._port())
        now = self._clock.boot()
        if not hosts or (here == self._said and now - self._said_at < SAID_AGAIN_S):
            return
        key = rendezvous_key(self._me, self._seconds())
        body = sealed(here, key, self._lan_key, self._sign, self._random_bytes)
        try:
            await self._bucket.create(key, body)
        except AccessDenied:
            # A viewer, who need not try it every minute: he finds the others, and they him then.
            log.debug("no record for others is left: this workstation may not write")
        self._said, self._said_at = here, now
        for old, device, _ in await self._records():
            if device == self._me and old != key:
                await self._bucket.delete(old)

    async def _look(self) -> None:
        """Dial those that have left a record since the last look. Raises a NodeError."""
        newest: dict[DeviceId, str] = {}
        for key, device, seconds in await self._records():
            fresh = abs(self._seconds() - seconds) <= STALE_S
            if fresh and device != self._me and self._device_key(device) is not None:
                newest[device] = key  # in the order of their times
        for device in self._known - newest.keys():
            self._forget(device)
        for device in self._read.keys() - newest.keys():
            del self._read[device]
        for device, key in list(newest.items())[:_MOST_DEVICES]:
            if device not in self._read or self._read[device][0] != key:
                await self._take_in(device, key)
            if device not in self._known:
                # Also one that was out of reach: a firewall is opened, a machine is less busy.
                await self._try(device)

    async def _take_in(self, device: DeviceId, key: str) -> None:
        public = self._device_key(device)
        body = await self._bucket.get(key)
        said = None if public is None else opened(body, key, self._lan_key, public)
        self._read[device] = key, said
        self._forget(device)

    async def _try(self, device: DeviceId) -> None:
        """Dial *device* from now on if one of its addresses is in the office."""
        _, said = self._read[device]
        if said is None:
            return
        own = set(self._addresses())
        near = []
        for host in said.hosts:
            if host not in own:
                took_s = await self._distance(host, said.port)
                if took_s is not None and took_s <= NEAR_S:
                    near.append(host)
        if near:
            log.info("device %s was found through the bucket", device[:8])
            self._known.add(device)
            self._peers.found(_instance(device), Candidate(tuple(near), said.port, device))

    def _forget(self, device: DeviceId) -> None:
        if device in self._known:
            self._known.remove(device)
            self._peers.gone(_instance(device))

    async def _records(self) -> list[tuple[str, DeviceId, int]]:
        """Return key, device and time of all records, those of each device in order. Raises a NodeError."""
        found: list[tuple[str, DeviceId, int]] = []
        after: str | None = None
        while len(found) < _MOST_RECORDS:
            page = await self._bucket.list(RENDEZVOUS, after, _PAGE)
            for key, size in page:
                parts = _KEY.fullmatch(key)
                if parts is not None and size == RECORD_BYTES:
                    found.append((key, DeviceId(parts[1]), int(parts[2])))
            if len(page) < _PAGE:
                break
            after = page[-1].key
        return found

    def _seconds(self) -> int:
        return self._clock.wall_ns() // 10**9


def _instance(device: DeviceId) -> str:
    """Return a name that no announcement on the network has."""
    return f"bucket:{device}"
