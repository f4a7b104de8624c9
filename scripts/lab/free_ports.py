"""Ports of loopback for servers that have to be told theirs before they listen."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack, suppress


def free_ports(count: int) -> list[int]:
    """Return *count* ports in a row that nobody has, and nobody is given before a server is there.

    They lie below those that the kernel hands out: what runs beside this takes those all the time.
    """
    while True:
        first = 10_240 + secrets.randbelow(20_000)
        ports = list(range(first, first + count))
        with ExitStack() as held, suppress(OSError):
            for port in ports:
                held.enter_context(socket.create_server(("", port)))
            return ports
