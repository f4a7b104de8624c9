"""Work is watched for as long as it shows signs of life, and our own standstill is no one's fault."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import pytest
from lab.free_ports import free_ports
from loop_time import lasted

from lucidnode.node.client.errors import NotThere
from lucidnode.node.peers.keep_alive import KeepAlive, watch
from lucidnode.node.peers.reachability import ReachabilityProbe


def says(*answers: bool) -> Callable[[], Awaitable[bool]]:
    """Answer in this order, then fail."""
    left = list(answers)

    async def alive() -> bool:
        await asyncio.sleep(0.01)
        return left.pop(0)

    return alive


async def test_silence_ends_in_a_timeout_on_time() -> None:
    async def silent() -> None:
        with pytest.raises(TimeoutError):
            await watch(asyncio.sleep(10), KeepAlive(0.1), 0.1, says(False))

    began = time.monotonic()
    _, seconds = await lasted(silent())
    assert seconds < 0.4
    assert time.monotonic() - began > 0.09


async def test_signs_of_life_ask_for_no_doubt() -> None:
    keep_alive = KeepAlive(0.1)

    async def lively() -> str:
        for _ in range(5):
            await asyncio.sleep(0.05)
            keep_alive.beat(0.1)
        return "done"

    assert await watch(lively(), keep_alive, 0.1, says()) == "done"


async def test_one_that_is_there_is_given_more_time_each_time() -> None:
    async def slow() -> str:
        await asyncio.sleep(0.25)
        return "done"

    assert await watch(slow(), KeepAlive(0.1), 0.1, says(True, True)) == "done"


async def test_what_the_work_raises_is_raised_as_it_is() -> None:
    async def fails() -> None:
        raise NotThere("x")

    with pytest.raises(NotThere):
        await watch(fails(), KeepAlive(1), 1, says())


async def test_cancelling_ends_the_work_too() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            ended.set()

    task = asyncio.ensure_future(watch(work(), KeepAlive(5), 5, says()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_our_own_standstill_is_not_held_against_the_peer() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"answer")
        writer.close()
        await writer.wait_closed()

    async def work() -> bytes:
        time.sleep(0.3)  # noqa: ASYNC251, TID251 - the standstill
        return await reader.read()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await watch(work(), KeepAlive(0.1), 0.1, says(False)) == b"answer"
        writer.close()
        await writer.wait_closed()


async def test_a_host_that_accepts_is_there_though_nobody_serves() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        assert await ReachabilityProbe("127.0.0.1", nobody.getsockname()[1]).answered()


async def test_a_closed_port_is_not_there() -> None:
    [port] = free_ports(1)
    assert not await ReachabilityProbe("127.0.0.1", port).answered()


async def test_many_who_wonder_knock_once() -> None:
    knocks = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal knocks
        knocks += 1
        writer.close()

    server = await asyncio.start_server(count, "127.0.0.1", 0)
    async with server:
        probe = ReachabilityProbe(*server.sockets[0].getsockname())
        async with asyncio.TaskGroup() as tasks:
            wonder = [tasks.create_task(probe.answered()) for _ in range(50)]
        assert all(task.result() for task in wonder)
        await asyncio.sleep(0.05)
        assert knocks == 1
