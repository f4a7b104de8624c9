"""Which proxy stands between this machine and a URL: one rule, taken from the environment once.

`HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` (upper or lower case; lower wins) name a proxy,
`NO_PROXY` what is reached without: `*`, hosts, domains with or without a leading dot, addresses
and networks, each with a `:port` if it shall count for that port only. As with curl and Go, a
network is compared with addresses and never with names, so no name is looked up for it. What is on
this machine itself is always reached without.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from lucidnode.node.client.errors import Malformed

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxies:
    """Proxies by the scheme of what is asked for, and what is reached without one."""

    by_scheme: Mapping[str, str]
    without: tuple[str, ...] = ()

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Proxies:
        """Return what *environ* says. Raises Malformed, a sentence, for a proxy of another kind."""
        found: dict[str, str] = {}
        for scheme in _PORTS:
            raw = _first(environ, f"{scheme}_proxy") or _first(environ, "all_proxy")
            if raw:
                found[scheme] = _proxy_url(raw)
        listed = _first(environ, "no_proxy").replace(",", " ").split()
        return cls(found, tuple(listed))

    def for_url(self, url: str) -> str | None:
        """Return the proxy for *url*, or None if it is reached without one."""
        parts = urlsplit(url)
        proxy = self.by_scheme.get(parts.scheme)
        if proxy is None or parts.hostname is None:
            return None
        host, port = parts.hostname.rstrip("."), parts.port or _PORTS[parts.scheme]
        if _is_here(host) or any(_excludes(entry, host, port) for entry in self.without):
            return None
        return proxy


def shown_proxy(proxy: str) -> str:
    """Return host and port of *proxy*; a URL may hold a password, which nobody shall read."""
    parts = urlsplit(proxy)
    return f"{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"


def _first(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _proxy_url(raw: str) -> str:
    url = raw if "://" in raw else f"http://{raw}"
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed only when read, and raises
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in _PORTS or not parts.hostname:
        raise Malformed(
            "The proxy in the environment (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) is none of "
            "http://HOST:PORT or https://HOST:PORT, the kinds that can be used."
        )
    return url


def _is_here(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _excludes(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    name, wanted = _split_port(entry.lower())
    if wanted is not None and wanted != port:
        return False
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(name, strict=False)
        except ValueError:
            return False
    domain = name.removeprefix("*").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):  # [::1]:9000
        name, _, rest = entry[1:].partition("]")
        port = rest.removeprefix(":")
    elif entry.count(":") == 1:
        name, _, port = entry.partition(":")
    else:
        name, port = entry, ""
    return name, int(port) if port.isdecimal() else None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
