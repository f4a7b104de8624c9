"""The network interfaces of this machine, and which addresses are near. The door to psutil here."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import psutil

OnInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that is up, by its kernel index, with its addresses and their networks."""

    index: int
    addresses: tuple[OnInterface, ...]


def interfaces(only: Collection[str] = ()) -> tuple[Interface, ...]:
    """Return the interfaces that are up and have addresses, loopback left out, by index.

    With *only*, those of these names.
    """
    up = {name for name, facts in psutil.net_if_stats().items() if facts.isup}
    found = []
    for name, entries in psutil.net_if_addrs().items():
        addresses = [
            _on_interface(entry.address, entry.netmask)
            for entry in entries
            if entry.family in {socket.AF_INET, socket.AF_INET6} and entry.netmask
        ]
        near = sorted((a for a in addresses if not a.ip.is_loopback), key=lambda a: (a.version, a))
        if name in up and near and (not only or name in only):
            found.append(Interface(socket.if_nametoindex(name), tuple(near)))
    return tuple(sorted(found, key=lambda interface: interface.index))


def dialable(host: str, here: Iterable[Interface]) -> bool:
    """Return whether an announced address may be dialled: only one on a link of ours.

    Multicast does not leave the link, so neither does a true announcement; one that names another
    network would make this node call hosts its sender cannot reach, or should not. Our own addresses
    lead nowhere else, though others may have them too: on their container bridges.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback or address.is_multicast or address.is_unspecified:
        return False
    ours = [on for interface in here for on in interface.addresses]
    if address in {on.ip for on in ours}:
        return False
    if address.is_link_local:
        # Without its zone a link-local IPv6 address says on no link where it is.
        return address.version == 4 or address.scope_id is not None
    return any(address in on.network for on in ours)


def _on_interface(address: str, netmask: str) -> OnInterface:
    if ":" not in address:
        return ipaddress.IPv4Interface(f"{address}/{netmask}")
    bits = int(ipaddress.IPv6Address(netmask)).bit_count()
    return ipaddress.IPv6Interface(f"{address}/{bits}")
