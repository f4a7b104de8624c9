"""Addresses for aiohttp: it takes names, and loses the zone of link-local IPv6 addresses.

A host is written into the URL as `h` and the hex of its text, and read back here when aiohttp
resolves it. With the zone left in the address, the event loop's own look-up finds the interface.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import types
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


def url_host(host: str) -> str:
    """Return *host* in the form that `Hosts` resolves."""
    return "h" + host.encode().hex()


class Hosts(AbstractResolver):
    """Resolves what `url_host` wrote: addresses to themselves, names by the system."""

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - aiohttp passes it
    ) -> list[ResolveResult]:
        """Return where *host*, as `url_host` wrote it, is to be reached."""
        wanted = bytes.fromhex(host.removeprefix("h")).decode()
        try:
            version = ipaddress.ip_address(wanted).version
        except ValueError:
            found = await asyncio.get_running_loop().getaddrinfo(
                wanted, port, type=socket.SOCK_STREAM
            )
            return [_result(host, str(entry[4][0]), port, entry[0]) for entry in found]
        return [_result(host, wanted, port, socket.AF_INET if version == 4 else socket.AF_INET6)]

    async def close(self) -> None:
        """Nothing is held open."""


def fact(transport: asyncio.BaseTransport | None, name: str) -> Any:
    """Return what the transport says of itself under *name*, or None if it has closed."""
    try:
        return None if transport is None else transport.get_extra_info(name)
    except AttributeError:
        return None  # how asyncio's own TLS transport answers once it is closed (CPython 3.11)


def peer_host(peername: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """Return the host of a connection's far end, as it can be dialled again."""
    address = ipaddress.ip_address(peername[0].partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if address.is_link_local and len(peername) == 4:
            return f"{address}%{peername[3]}"
    return str(address)


def _result(name: str, host: str, port: int, family: int) -> ResolveResult:
    return ResolveResult(
        hostname=name, host=host, port=port, family=family, proto=socket.IPPROTO_TCP, flags=0
    )


def refusing_redirects() -> aiohttp.TraceConfig:
    """Return what keeps an aiohttp session from going where an answer sends it.

    For requests that cannot be told so one by one, as those that open a WebSocket.
    """

    async def refuse(
        _session: aiohttp.ClientSession,
        _context: types.SimpleNamespace,
        asked: aiohttp.TraceRequestRedirectParams,
    ) -> None:
        raise aiohttp.ClientError(f"{asked.url} redirects elsewhere")

    config = aiohttp.TraceConfig()
    config.on_request_redirect.append(refuse)
    return config
