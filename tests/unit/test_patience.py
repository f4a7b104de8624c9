"""Patience ends silence, and blames nobody for our own standstill."""

from __future__ import annotations

import asyncio
import time

import pytest

from lucidnode.node.peers.patience import Patience


async def test_silence_ends_in_a_timeout_on_time() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with Patience(0.1):
            await asyncio.sleep(10)
    assert 0.09 < time.monotonic() - began < 0.3


async def test_signs_of_life_renew_it() -> None:
    async with Patience(0.1) as waiting:
        for _ in range(5):
            await asyncio.sleep(0.05)
            waiting.renew(0.1)


async def test_a_renewal_may_shorten_it() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):  # noqa: PT012 - what is renewed is what raises
        async with Patience(5) as waiting:
            waiting.renew(0.05)
            await asyncio.sleep(10)
    assert time.monotonic() - began < 1


async def test_what_ends_in_time_is_left_alone() -> None:
    async with Patience(0.05):
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)


async def test_our_own_standstill_is_not_held_against_the_peer() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"answer")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        async with Patience(0.1):
            await asyncio.sleep(0)
            time.sleep(0.3)  # noqa: ASYNC251, TID251 - the standstill
            assert await reader.read() == b"answer"
        writer.close()
        await writer.wait_closed()


async def test_a_standstill_is_forgiven_once() -> None:
    with pytest.raises(TimeoutError):  # noqa: PT012 - it must happen inside
        async with Patience(0.1):
            await asyncio.sleep(0)
            time.sleep(0.3)  # noqa: ASYNC251, TID251 - the standstill
            await asyncio.sleep(0.5)


async def test_cancelling_goes_through_it() -> None:
    async def waits() -> None:
        async with Patience(5):
            await asyncio.sleep(10)

    task = asyncio.ensure_future(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
