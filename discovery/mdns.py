"""Finding peers by multicast DNS. The door to zeroconf.

Nothing here is ever fatal: without multicast a node has no found peers, and that is all. A session
with the network ends when the interfaces change or the library fails, and another one begins.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, Protocol

from zeroconf import Error, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from lucidnode.discovery import advert
from lucidnode.discovery.advert import Advert
from lucidnode.discovery.candidate import Candidate
from lucidnode.discovery.interfaces import Interface, dialable, interfaces

SERVICE = "_lucidnode._tcp.local."

BROWSE_INTERVAL_S = 2.0
"""Seconds between looks at the interfaces: a cable, a VPN or a lid may have changed them."""

ANNOUNCE_INTERVAL_S = 60.0
"""Seconds between unasked announcements. Browsers ask again only after most of an hour, so nodes
that started while the network was split would not hear of each other for as long."""

RESTART_PAUSE_S = 5.0
"""Seconds before another attempt after a failure."""

RESOLVE_TIMEOUT_MS = 3000
"""Milliseconds to learn the address behind a name."""

MAX_INSTANCES = 512
"""Instances remembered, and questions under way at once an eighth of it: an office is smaller, and
who floods the network with names shall not fill our memory."""

MAX_HOSTS_RESOLVED = 8
"""Addresses tried of one instance."""

log = logging.getLogger(__name__)


class DiscoveryListener(Protocol):
    """Told what the network announces. Called in the event loop; must not block or raise."""

    def found(self, instance: str, candidate: Candidate) -> None:
        """Hear that a node of this studio announces itself, again with each change of address."""

    def gone(self, instance: str) -> None:
        """Hear that an announcement ended. Anyone may say so: it is no proof of absence."""


class Mdns:
    """Announces this node and listens for others of the studio, for as long as `run` runs."""

    def __init__(
        self,
        *,
        lan_key: bytes,
        own: Advert,
        listener: DiscoveryListener,
        here: Callable[[], tuple[Interface, ...]] = interfaces,
        announces: bool = True,
    ) -> None:
        """Do it on the interfaces that *here* returns; without *announces* only listen."""
        self._lan_key = lan_key
        self._own = own
        self._listener = listener
        self._here = here
        self._announces = announces
        self.state = "starting"
        """For people: whether multicast works here, and why not."""

    async def run(self) -> NoReturn:
        """Announce and listen until cancelled; on the way out, say goodbye."""
        while True:
            here = self._here()
            if not here:
                self._report("waiting: no network interface is up")
                await asyncio.sleep(BROWSE_INTERVAL_S)
                continue
            try:
                session = _Session(
                    self._lan_key, self._own, self._listener, self._here, self._announces
                )
                await session.run(self._report)
            except* (OSError, Error, RuntimeError) as failed:
                self._report(f"multicast does not work here: {failed.exceptions[0]!r}")
                await asyncio.sleep(RESTART_PAUSE_S)

    def _report(self, state: str) -> None:
        # Only changes are logged: a network that stays away would fill the log.
        if state != self.state:
            log.info("mDNS: %s", state)
        self.state = state


class _Session:
    """One stay on one set of interfaces, under one random name."""

    def __init__(
        self,
        lan_key: bytes,
        own: Advert,
        listener: DiscoveryListener,
        look: Callable[[], tuple[Interface, ...]],
        announces: bool,  # as for Mdns
    ) -> None:
        self._lan_key = lan_key
        self._own = own
        self._listener = listener
        self._look = look
        self._here = look()
        self._announces = announces
        # Never the host name: two hosts may share one, and outsiders would learn it.
        self._instance = secrets.token_hex(8)
        self._known: dict[str, Candidate] = {}
        self._asking: set[str] = set()

    async def run(self, report: Callable[[str], None]) -> None:
        """Stay until the interfaces change."""
        try:
            async with (
                AsyncZeroconf(interfaces=self._sockets(), ip_version=IPVersion.All) as service,
                asyncio.TaskGroup() as questions,
                # Listening first: announcing begins with most of a second of asking for our name.
                AsyncServiceBrowser(service.zeroconf, SERVICE, handlers=[self._changes(questions)]),
            ):
                if self._announces:
                    await (await service.async_register_service(self._service()))
                    report(f"announced on {len(self._here)} interface(s)")
                else:
                    report(f"listening on {len(self._here)} interface(s)")
                await self._stay(service)
        finally:
            for instance in self._known:
                self._listener.gone(instance)

    async def _stay(self, service: AsyncZeroconf) -> None:
        while True:
            for _ in range(round(ANNOUNCE_INTERVAL_S / BROWSE_INTERVAL_S)):
                await asyncio.sleep(BROWSE_INTERVAL_S)
                if self._look() != self._here:
                    return
            if self._announces:
                await (await service.async_update_service(self._service()))

    def _sockets(self) -> list[str | int]:
        """Name the interfaces as zeroconf wants it: IPv4 by address, IPv6 by index."""
        sockets: list[str | int] = []
        for interface in self._here:
            sockets += [str(a.ip) for a in interface.addresses if a.version == 4]
            sockets += [interface.index] if any(a.version == 6 for a in interface.addresses) else []
        return sockets

    def _service(self) -> AsyncServiceInfo:
        addresses = [a.ip for interface in self._here for a in interface.addresses]
        addresses = addresses[: advert.MAX_HOSTS]
        hosts = [str(address) for address in addresses]
        return AsyncServiceInfo(
            SERVICE,
            f"{self._instance}.{SERVICE}",
            port=self._own.control_port,
            properties=advert.encode(self._own, self._lan_key, self._instance, hosts),
            server=f"{self._instance}.local.",
            addresses=[address.packed for address in addresses],
        )

    def _changes(self, questions: asyncio.TaskGroup) -> Callable[..., None]:
        def changed(
            zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
        ) -> None:
            instance = name.removesuffix(f".{service_type}")
            if instance == self._instance:
                return
            if state_change is ServiceStateChange.Removed:
                if self._known.pop(instance, None) is not None:
                    self._listener.gone(instance)
            elif instance not in self._asking and len(self._asking) < MAX_INSTANCES // 8:
                self._asking.add(instance)
                questions.create_task(self._resolve(zeroconf, name, instance))

        return changed

    async def _resolve(self, zeroconf: Zeroconf, name: str, instance: str) -> None:
        """Ask for the details behind *name*, and pass on a node of our studio."""
        try:
            candidate = await self._asked(zeroconf, name, instance)
        except Exception as error:  # noqa: BLE001
            # Anybody on the network may send a packet, and whatever it makes the library raise
            # (it refuses some names by an exception of its own) concerns this name only.
            log.debug("mDNS: %r means nothing: %r", name, error)
            return
        finally:
            self._asking.discard(instance)
        if candidate is None:
            return
        if self._known.get(instance) != candidate and len(self._known) < MAX_INSTANCES:
            self._known[instance] = candidate
            self._listener.found(instance, candidate)

    async def _asked(self, zeroconf: Zeroconf, name: str, instance: str) -> Candidate | None:
        info = AsyncServiceInfo(SERVICE, name)
        if not await info.async_request(zeroconf, RESOLVE_TIMEOUT_MS):
            return None
        return announced(
            info.properties,
            info.parsed_scoped_addresses(),
            lan_key=self._lan_key,
            instance=instance,
            here=self._here,
        )


def announced(
    txt: Mapping[bytes, bytes | None],
    hosts: Sequence[str],
    *,
    lan_key: bytes,
    instance: str,
    here: Sequence[Interface],
) -> Candidate | None:
    """Return where a node of our studio may be dialled, if the records heard come to that.

    *hosts* are of address records, which anybody may send: only those count that the text record
    was made for, and that are on a link of ours.
    """
    heard = advert.parse(txt, lan_key, instance)
    if heard is None:
        return None
    near = [
        host
        for host in hosts
        if dialable(host, here) and advert.names(txt, host, lan_key, instance)
    ]
    return (
        Candidate(tuple(near[:MAX_HOSTS_RESOLVED]), heard.control_port, heard.device)
        if near
        else None
    )
