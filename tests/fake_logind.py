"""A bus of its own with a logind on it that tests send to sleep: real dbus-daemon, no real sleep."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jeepney import (
    DBusAddress,
    HeaderFields,
    MessageType,
    message_bus,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import Proxy, open_dbus_connection

_NAME = "org.freedesktop.login1"
_MANAGER = DBusAddress("/org/freedesktop/login1", _NAME, f"{_NAME}.Manager")


class FakeLogind:
    """Hands out delay inhibitors, and waits for them before it says that the machine sleeps."""

    def __init__(self, address: str) -> None:
        self._bus = open_dbus_connection(address, enable_fds=True)
        Proxy(message_bus, self._bus).RequestName(_NAME)
        self._held: list[int] = []
        self._asked = threading.Condition()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def wait_for_inhibitor(self) -> None:
        """Return once somebody holds a sleep up."""
        with self._asked:
            assert self._asked.wait_for(lambda: self._held, 20), "nobody holds a sleep up"

    def sleep(self, within_s: float = 20) -> None:
        """Tell of a sleep, and return once nobody holds it up."""
        self.wait_for_inhibitor()
        self._say(sleeps=True)
        with self._asked:
            held, self._held = self._held, []
        for each in held:
            assert select.select([each], [], [], within_s)[0], "the sleep is held up for ever"
            os.close(each)

    def wake(self) -> None:
        """Tell that the machine is awake again."""
        self._say(sleeps=False)

    def close(self) -> None:
        """Leave the bus."""
        with contextlib.suppress(OSError):
            self._bus.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._bus.close()
        for each in self._held:
            os.close(each)

    def _say(self, *, sleeps: bool) -> None:
        self._bus.send(new_signal(_MANAGER, "PrepareForSleep", "b", (sleeps,)))

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._answer(self._bus.receive())

    def _answer(self, call: Any) -> None:
        if call.header.message_type != MessageType.method_call:
            return
        assert call.header.fields[HeaderFields.member] == "Inhibit"
        assert call.body[0] == "sleep"
        assert call.body[3] == "delay"
        ours, theirs = os.pipe()
        self._bus.send(new_method_return(call, "h", (theirs,)))
        os.close(theirs)
        with self._asked:
            self._held.append(ours)
            self._asked.notify_all()


@contextlib.contextmanager
def bus(folder: Path) -> Iterator[str]:
    """Run a bus in *folder*; gives its address."""
    address = f"unix:path={folder}/bus"
    config = folder / "bus.conf"
    config.write_text(
        f"<busconfig><listen>{address}</listen><auth>EXTERNAL</auth>"
        '<policy context="default"><allow send_destination="*" eavesdrop="true"/>'
        '<allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>'
    )
    with subprocess.Popen(
        ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"],
        stdout=subprocess.PIPE,
    ) as daemon:
        assert daemon.stdout is not None
        try:
            assert daemon.stdout.readline()
            yield address
        finally:
            daemon.terminate()
