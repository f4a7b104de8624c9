"""The daemon's socket with some of its rooms, and a client of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.supervision import supervised
from lucidnode.node.daemon_socket.listener import DaemonSocket
from lucidnode.node.daemon_socket.server import Room, SocketServer


@contextlib.asynccontextmanager
async def served(
    socket: Path, *rooms: Room, alerts: Alerts | None = None
) -> AsyncIterator[DaemonClient]:
    """Serve *rooms* at *socket*; what fails there is one of *alerts*."""
    clock = SystemClock()
    with DaemonSocket(socket) as listener:
        async with (
            supervised(alerts or Alerts(clock), clock) as tasks,
            SocketServer(listener, rooms, tasks),
            DaemonClient(socket) as client,
        ):
            yield client
