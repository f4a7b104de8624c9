"""How a running hostile proxy is told its rules and asked what came of them: JSON on a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from lab.errors import LabError
from lab.hostile import Hostility, parse_rule

_PATIENCE_S = 5.0


class Order(msgspec.Struct, frozen=True):
    """What to do: put *rules* in force instead of those before. None only asks."""

    rules: list[str] | None


class State(msgspec.Struct, frozen=True):
    """The rules in force and the hits of each fault since the start, or why an order was refused."""

    rules: list[str] = []
    hits: dict[str, int] = {}
    refused: str = ""


@contextlib.asynccontextmanager
async def control_socket(path: Path, hostility: Hostility) -> AsyncIterator[None]:
    """Take orders for *hostility* at *path* while the context lasts."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            state = _obeyed(await reader.readline(), hostility)
            writer.write(msgspec.json.encode(state) + b"\n")
            await writer.drain()

    server = await asyncio.start_unix_server(answer, path)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)  # noqa: ASYNC240  # one name, on the way out


def _obeyed(line: bytes, hostility: Hostility) -> State:
    try:
        order = msgspec.json.decode(line, type=Order)
        if order.rules is not None:
            hostility.set([parse_rule(text) for text in order.rules])
    except (msgspec.MsgspecError, ValueError) as error:
        return State(refused=str(error))
    return State([str(rule) for rule in hostility.rules], dict(sorted(hostility.hits.items())))


def give_order(path: Path, rules: Sequence[str] | None) -> State:
    """Give the proxy at *path* its rules, or ask with None. Raises LabError with a sentence."""
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(str(path))
            order = Order(None if rules is None else list(rules))
            connection.sendall(msgspec.json.encode(order) + b"\n")
            with connection.makefile("rb") as answer:
                state = msgspec.json.decode(answer.readline(), type=State)
    except (OSError, msgspec.MsgspecError) as error:
        raise LabError(
            f"no hostile proxy answers ({error}): was the lab made with --hostile?"
        ) from error
    if state.refused:
        raise LabError(state.refused)
    return state
