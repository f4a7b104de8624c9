"""What a service manager hears, at a real socket of its kind."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from lucidnode.cli.service_notices import ServiceNotices


@pytest.mark.parametrize("is_abstract", [False, True])
def test_a_manager_hears_each_notice_as_a_datagram(tmp_path: Path, is_abstract: bool) -> None:
    name = f"{tmp_path}/notify"
    address = f"@{name}" if is_abstract else name
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "2", "HOME": "/"}
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind("\0" + name if is_abstract else name)
        manager.settimeout(5)
        notices = ServiceNotices.of(environment)
        notices.status("1 of 2\nmounted")
        notices.ready()
        notices.well()
        notices.stopping()
        heard = [manager.recv(4096) for _ in range(4)]
    assert heard == [b"STATUS=1 of 2 mounted", b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]
    assert environment == {"HOME": "/"}  # none of our children is the service


def test_without_a_manager_or_with_one_that_is_gone_nothing_happens(tmp_path: Path) -> None:
    ServiceNotices.of({}).ready()
    ServiceNotices(f"{tmp_path}/gone").well()


def test_a_manager_that_does_not_listen_holds_nobody_up(tmp_path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(f"{tmp_path}/notify")
        notices = ServiceNotices(f"{tmp_path}/notify")
        for _ in range(5000):  # more than any queue of datagrams holds
            notices.well()
