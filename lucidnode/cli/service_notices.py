"""What a service manager is told of a service: the datagrams of sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping

_MOST_WORDS = 500
"""Characters of a status line."""


class ServiceNotices:
    """Tells the service manager at the socket *address*; nobody if that is None. Never blocks."""

    def __init__(self, address: str | None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> ServiceNotices:
        """Return what *environment* names, and take it out there: it is for no child of ours."""
        for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
            environment.pop(name, None)
        return cls(environment.pop("NOTIFY_SOCKET", None))

    def ready(self) -> None:
        """Say that what depends on us may begin."""
        self._send("READY=1")

    def well(self) -> None:
        """Say that we are well, before the watchdog's time is over."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that we end, as we were asked to."""
        self._send("STOPPING=1")

    def status(self, words: str) -> None:
        """Show *words* in `systemctl status`."""
        self._send(f"STATUS={' '.join(words.split())[:_MOST_WORDS]}")

    def _send(self, text: str) -> None:
        if self._address is None:
            return
        # Who does not listen gets the next one; a manager that is gone needs none.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.connect(os.fsencode(self._address))
            line.send(text.encode())
