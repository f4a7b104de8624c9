"""Ports that a firewall lets in: the usual ones, unless somebody has them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest
from aiohttp import web
from committer_fixture import VirtualClock
from lab.free_ports import free_ports

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.supervision import supervised
from lucidnode.node.peers.errors import PortTaken
from lucidnode.node.peers.listener import LimitedListener, UnauthenticatedLimit, bind
from lucidnode.node.peers.memory_budget import MemoryBudget

HERE = "127.0.0.1"


def _port(bound: socket.socket) -> int:
    port: int = bound.getsockname()[1]
    return port


def test_the_usual_port_is_taken_and_another_if_somebody_has_it() -> None:
    with contextlib.ExitStack() as stack:
        [port] = free_ports(1)
        usual = stack.enter_context(bind(HERE, port))
        assert _port(stack.enter_context(bind(HERE, 0, port))) not in {0, port}
        with pytest.raises(PortTaken, match=str(port)):
            bind(HERE, port)
        usual.close()
        assert _port(stack.enter_context(bind(HERE, 0, port))) == port


def test_a_port_that_was_chosen_is_taken_whatever_is_usual() -> None:
    with bind(HERE, 0) as free:
        chosen = _port(free)
    with bind(HERE, 0) as usual, bind(HERE, chosen, _port(usual)) as bound:
        assert _port(bound) == chosen


async def _answer(_: web.BaseRequest) -> web.Response:
    return web.Response()


class Counted(socket.socket):
    """Counts who was accepted."""

    accepted = 0

    def accept(self) -> tuple[socket.socket, Any]:
        found = super().accept()
        self.accepted += 1
        return found


async def test_who_calls_as_the_listener_ends_is_hung_up_on() -> None:
    clock = VirtualClock()
    with Counted(fileno=bind(HERE, 0).detach()) as bound, socket.socket() as caller:
        bound.setblocking(False)
        async with supervised(Alerts(clock), clock) as tasks:
            server = web.Server(_answer)
            listener = LimitedListener(
                bound, server, UnauthenticatedLimit(), tasks, memory=MemoryBudget(1 << 20), most=8
            )
            running = asyncio.ensure_future(listener.run())
            loop = asyncio.get_running_loop()

            def end_once_accepted() -> None:
                if bound.accepted:
                    running.cancel()
                else:
                    loop.call_soon(end_once_accepted)

            loop.call_soon(end_once_accepted)
            await asyncio.sleep(0)  # it waits for callers from now on
            caller.setblocking(False)
            await loop.sock_connect(caller, bound.getsockname())
            await asyncio.wait([running])
        assert await asyncio.wait_for(loop.sock_recv(caller, 1), 5) == b""
