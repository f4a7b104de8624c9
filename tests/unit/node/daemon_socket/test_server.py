"""What goes wrong at the daemon's socket ends one request, and tells no stranger about us."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from socket_fixture import served

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import NotThere, Refused, Unavailable
from lucidnode.node.daemon_socket.facts import FactRoutes
from lucidnode.node.daemon_socket.orders import OrderRoutes


async def broken() -> None:
    raise KeyError("nobody thought of this")


async def status() -> dict[str, int]:
    return {"mounts": 0}


def no_key(_: bytes) -> None:
    raise AssertionError("no key is handed over here")


ROOMS = (FactRoutes({"status": status}), OrderRoutes({"break": broken}, no_key))


async def test_an_exception_in_a_request_ends_that_request_and_is_an_alert(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings += ["answering POST requests failed", "answering POST requests has failed"]
    alerts = Alerts(SystemClock())
    async with served(tmp_path / "daemon.sock", *ROOMS, alerts=alerts) as client:
        with pytest.raises(Unavailable, match="its log says"):
            await client.orders.give("break")
        assert await client.facts.on("status") == {"mounts": 0}
        assert alerts.is_on("work:answering POST requests")


async def test_what_nobody_knows_of_is_said_not_to_be_there(tmp_path: Path) -> None:
    async with served(tmp_path / "daemon.sock", *ROOMS) as client:
        with pytest.raises(NotThere, match="no such topic"):
            await client.facts.on("weather")
        # An earlier release has never heard of it.
        with pytest.raises(Refused, match="is of another release, and does not know this"):
            await client.orders.give("cache/fill")
        with pytest.raises(Refused, match="is of another release, and does not know this"):
            await client.pins.here()


async def test_no_answer_of_the_socket_names_the_software_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "daemon.sock"
    async with served(path, *ROOMS):
        for request in (b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16nonsense\r\n\r\n"):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            writer.close()
            assert b"\r\nServer: lucidnode\r\n" in head
            assert b"aiohttp" not in head
