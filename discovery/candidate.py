"""A place where a peer may answer, and the text form in which people write one."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from lucidnode.discovery.errors import BadAddress

_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody may speak our protocol at one of *hosts*, on *port* (the control port).

    Hosts are IP addresses, IPv6 link-local ones with their zone, or a name a person gave. Nothing
    here is proven: who it is shows in the TLS handshake.
    """

    hosts: tuple[str, ...]
    port: int
    device: str | None = None
    """The device id announced, if one was."""


def parse_peer(text: str) -> Candidate:
    """Return the candidate written as `HOST:PORT`, an IPv6 host in brackets, else BadAddress."""
    host, colon, digits = text.rpartition(":")
    if not colon or not (digits.isascii() and digits.isdecimal() and len(digits) <= 5):
        raise BadAddress(f"{text!r} is not HOST:PORT")
    port = int(digits)
    if not 1 <= port <= 65535:
        raise BadAddress(f"{text!r}: a port is 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        try:
            return Candidate((str(ipaddress.IPv6Address(host[1:-1])),), port)
        except ValueError:
            raise BadAddress(f"{host} is no IPv6 address") from None
    if not _HOST_NAME.fullmatch(host):
        raise BadAddress(f"{text!r} is not HOST:PORT (an IPv6 address goes in brackets)")
    return Candidate((host,), port)
