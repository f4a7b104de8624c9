"""What is done before the machine sleeps is done before it sleeps, each time, and at nobody else's word."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest
from fake_logind import FakeLogind, bus
from jeepney import DBusAddress, message_bus, new_signal
from jeepney.io.blocking import Proxy, open_dbus_connection

from lucidnode.cli import sleep_watch


class Follower:
    """Does something before each sleep, in a thread of its own, until the bus has gone."""

    def __init__(self) -> None:
        self.done = 0
        self.may_end = threading.Event()
        self.may_end.set()
        self.thread = threading.Thread(target=self._follow)

    def _follow(self) -> None:
        with contextlib.suppress(sleep_watch.LogindAway):
            for _ in sleep_watch.sleeps(lambda: True):
                assert self.may_end.wait(20)
                self.done += 1


def test_the_machine_sleeps_only_once_it_is_done_and_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = Follower()
    with bus(tmp_path) as address, contextlib.closing(FakeLogind(address)) as logind:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        follower.thread.start()
        logind.wait_for_inhibitor()
        follower.may_end.clear()
        with pytest.raises(AssertionError, match="held up"):
            logind.sleep(within_s=0.2)
        follower.may_end.set()
        logind.wake()
        logind.sleep()
        assert follower.done == 2
        logind.wake()
        logind.wait_for_inhibitor()
        _somebody_else_tells_of_a_sleep(address)
        logind.sleep()
        assert follower.done == 3
    follower.thread.join()


def _somebody_else_tells_of_a_sleep(address: str) -> None:
    """Send the same signal, past what is asked of the bus: straight to everybody on it."""
    with contextlib.closing(open_dbus_connection(address)) as other:
        for name in Proxy(message_bus, other).ListNames()[0]:
            if name.startswith(":") and name != other.unique_name:
                manager = DBusAddress(
                    "/org/freedesktop/login1", name, "org.freedesktop.login1.Manager"
                )
                other.send(new_signal(manager, "PrepareForSleep", "b", (True,)))


def test_without_a_logind_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    with pytest.raises(sleep_watch.LogindAway):
        next(sleep_watch.sleeps(lambda: True))
