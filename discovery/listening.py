"""Listens for a while to what nodes of a studio announce, without announcing anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from zeroconf import Error, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from lucidnode.discovery import advert
from lucidnode.discovery.mdns import MAX_INSTANCES, RESOLVE_TIMEOUT_MS, SERVICE

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Announced:
    """Nodes of the studio by device id, each with the addresses and the control port it announces.

    So many *foreign* nodes announce themselves as another release does, of this studio or another.
    """

    places: Mapping[str, tuple[tuple[str, ...], int]]
    foreign: int = 0


async def announcements(lan_key: bytes, seconds: float) -> Announced:
    """Return who announces himself to this machine within *seconds*, a daemon of this one included.

    Addresses are as announced: nobody has said yet that they are near. Raises OSError where multicast
    cannot be used at all.
    """
    places: dict[str, tuple[tuple[str, ...], int]] = {}
    asked: set[str] = set()
    foreign: set[str] = set()

    async def ask(zeroconf: Zeroconf, name: str) -> None:
        try:
            info = AsyncServiceInfo(SERVICE, name)
            if not await info.async_request(zeroconf, RESOLVE_TIMEOUT_MS):
                return
        except Exception as error:  # noqa: BLE001
            # Anybody may announce anything; what the library makes of a name concerns that name.
            log.debug("mDNS: %r means nothing: %r", name, error)
            return
        found = advert.parse(info.properties, lan_key, name.removesuffix(f".{SERVICE}"))
        if found is not None:
            places[found.device] = tuple(info.parsed_scoped_addresses()), found.control_port
        elif advert.is_of_another_release(info.properties):
            foreign.add(name)

    try:
        async with AsyncZeroconf(ip_version=IPVersion.All) as service, asyncio.TaskGroup() as group:

            def changed(
                zeroconf: Zeroconf,
                service_type: str,  # noqa: ARG001  # zeroconf's signature, by name
                name: str,
                state_change: ServiceStateChange,
            ) -> None:
                is_new = state_change is not ServiceStateChange.Removed and name not in asked
                if is_new and len(asked) < MAX_INSTANCES:
                    asked.add(name)
                    group.create_task(ask(zeroconf, name))

            async with AsyncServiceBrowser(service.zeroconf, SERVICE, handlers=[changed]):
                await asyncio.sleep(seconds)
    except* (Error, RuntimeError) as failed:
        raise OSError(str(failed.exceptions[0])) from failed
    return Announced(dict(places), len(foreign))
