"""Who invites on this LAN at the moment, by multicast DNS: for `join` without a ticket.

An inviter announces himself while his code is good, under a random name, with words of his own
choice, which anybody can make up: they are for people, and prove nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from lucidnode.discovery.interfaces import interfaces
from lucidnode.discovery.mdns import RESOLVE_TIMEOUT_MS

SERVICE = "_lucidnode-join._tcp.local."

MAX_WORDS_BYTES = 120
_MOST = 32
"""Inviters that are asked for their address; more are made up."""


class Inviting(NamedTuple):
    """Somebody who invites: *words* are his own."""

    hosts: tuple[str, ...]
    port: int
    words: str


@asynccontextmanager
async def announcing(port: int, words: str) -> AsyncIterator[None]:
    """Announce for the time of the context that somebody is invited at *port*. Raises OSError."""
    addresses = [a.ip for each in interfaces() for a in each.addresses]
    instance = secrets.token_hex(8)
    info = AsyncServiceInfo(
        SERVICE,
        f"{instance}.{SERVICE}",
        port=port,
        properties={"by": words.encode()[:MAX_WORDS_BYTES].decode(errors="ignore")},
        server=f"{instance}.local.",
        addresses=[address.packed for address in addresses],
    )
    async with AsyncZeroconf(ip_version=IPVersion.All) as service:
        await (await service.async_register_service(info))
        try:
            yield
        finally:
            await (await service.async_unregister_service(info))


async def inviters(seconds: float) -> list[Inviting]:
    """Return who announces within so many *seconds* that he invites. Raises OSError."""
    found: dict[str, Inviting] = {}
    async with AsyncZeroconf(ip_version=IPVersion.All) as service, asyncio.TaskGroup() as asking:
        changed = _changes(asking, found)
        async with AsyncServiceBrowser(service.zeroconf, SERVICE, handlers=[changed]):
            await asyncio.sleep(seconds)
    return [found[name] for name in sorted(found)]


def _changes(asking: asyncio.TaskGroup, found: dict[str, Inviting]) -> Callable[..., None]:
    asked: set[str] = set()

    def changed(
        zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is ServiceStateChange.Removed:
            found.pop(name, None)
        elif name not in asked and len(asked) < _MOST and service_type == SERVICE:
            asked.add(name)
            asking.create_task(_resolve(zeroconf, name, found))

    return changed


async def _resolve(zeroconf: Zeroconf, name: str, found: dict[str, Inviting]) -> None:
    try:
        info = AsyncServiceInfo(SERVICE, name)
        if not await info.async_request(zeroconf, RESOLVE_TIMEOUT_MS) or not info.port:
            return
        said = info.properties.get(b"by") or b""
        words = said[:MAX_WORDS_BYTES].decode(errors="replace")
        found[name] = Inviting(tuple(info.parsed_scoped_addresses()[:8]), info.port, words)
    except Exception:  # noqa: BLE001
        return  # whatever a packet of anybody makes the library raise concerns this name only
