"""From a short code to a ticket: who has it gets it once, and nobody may guess more than three times."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251  # seeded
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lucidnode.fs.errors import TicketSpent, WrongPassphrase
from lucidnode.node.client.errors import Unavailable
from lucidnode.pairing import TRIES, HandedOut, Inviter, fetch

CODE, WRONG = "7Q2K-M0XD", "7Q2K-M0XF"
TICKET = HandedOut("lucid1abc", "AAAA-BBBB-CCCC-DDDD")


class Screen:
    """What the inviter's screen shows."""

    def __init__(self) -> None:
        self.left: list[int] = []


@asynccontextmanager
async def inviting(screen: Screen) -> AsyncIterator[tuple[int, asyncio.Task[str | TicketSpent]]]:
    """Hand out the ticket; gives the port, and what becomes of it."""
    bound = socket.create_server(("127.0.0.1", 0))
    inviter = Inviter(CODE, TICKET, screen.left.append)
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(_ended(inviter, bound))
        await asyncio.sleep(0)
        yield bound.getsockname()[1], listening
        listening.cancel()
    bound.close()


async def _ended(inviter: Inviter, bound: socket.socket) -> str | TicketSpent:
    try:
        return await inviter.listen(bound)
    except TicketSpent as error:
        return error


async def _guess(port: int) -> type[Exception]:
    with pytest.raises((WrongPassphrase, TicketSpent, Unavailable)) as refused:
        await fetch("127.0.0.1", port, WRONG)
    return refused.type


async def test_who_types_the_code_gets_the_ticket_and_the_next_one_does_not() -> None:
    screen = Screen()
    async with inviting(screen) as (port, listening):
        assert await fetch("127.0.0.1", port, " 7q2k mOxd ") == TICKET
        assert await listening == "127.0.0.1"
        with pytest.raises((TicketSpent, Unavailable, WrongPassphrase)):
            await fetch("127.0.0.1", port, CODE)
    assert screen.left == []


async def test_after_three_wrong_codes_the_right_one_is_good_for_nothing() -> None:
    screen = Screen()
    async with inviting(screen) as (port, listening):
        for _ in range(TRIES):
            with pytest.raises(WrongPassphrase):
                await fetch("127.0.0.1", port, WRONG)
        assert screen.left == [2, 1, 0]
        with pytest.raises((TicketSpent, Unavailable)):
            await fetch("127.0.0.1", port, CODE)
        assert "three times" in str(await listening)


async def test_guesses_at_once_are_counted_one_by_one() -> None:
    screen = Screen()
    async with inviting(screen) as (port, listening):
        async with asyncio.TaskGroup() as tasks:
            guesses = [tasks.create_task(_guess(port)) for _ in range(8)]
        assert sum(guess.result() is WrongPassphrase for guess in guesses) >= TRIES
        assert screen.left == [2, 1, 0]
        assert isinstance(await listening, TicketSpent)


async def test_what_anybody_says_costs_nothing_and_uses_no_try() -> None:
    chance, screen = random.Random(5), Screen()
    async with inviting(screen) as (port, _):
        for size in (0, 1, 2, 33, 35, 200):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(chance.randbytes(size) if size != 35 else b"\0\x21" + b"A" + bytes(32))
            writer.write_eof()
            assert len(await reader.read()) in {0, 35}  # nothing, or a message that tells nothing
            writer.close()
        assert await fetch("127.0.0.1", port, CODE) == TICKET
    assert screen.left == []
