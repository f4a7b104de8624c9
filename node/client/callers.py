"""Who calls at a listening socket, one after the other."""

from __future__ import annotations

import asyncio
import socket
from typing import Any


async def next_caller(bound: socket.socket) -> tuple[socket.socket, Any]:
    """Return the next connection to *bound*, which does not block, and its address. Raises OSError.

    Not `loop.sock_accept`: a task that is cancelled as that returns loses the connection, open, and
    who has called waits for an answer that nobody will give.
    """
    while True:
        try:
            connection, address = bound.accept()
        except BlockingIOError:
            await _readable(bound)
        else:
            connection.setblocking(False)
            return connection, address


def closed_if_cancelled(connection: socket.socket, taking: asyncio.Task[None]) -> None:
    """Close *connection* if the task that was to take it has been cancelled.

    As a task's done callback: one that is cancelled before its first step does nothing itself.
    """
    if taking.cancelled():
        connection.close()


async def _readable(bound: socket.socket) -> None:
    loop, called = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(bound, called.set)
    try:
        await called.wait()
    finally:
        loop.remove_reader(bound)
