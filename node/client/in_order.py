"""Does slow work on many things, some at once, and hands the results on in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import islice
from typing import TypeVar

from lucidnode.node.client.errors import NodeError

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 8
"""Objects that are under way together: up to 17 MiB each."""


async def in_order(
    things: Iterable[T], work: Callable[[T], Awaitable[R]]
) -> AsyncIterator[tuple[T, R]]:
    """Yield each of *things* with what *work* makes of it. Raises the NodeError of the first that does."""

    async def one(thing: T) -> R | NodeError:
        try:
            return await work(thing)
        except NodeError as error:
            return error  # raised below as itself, not as a group of one

    left = iter(things)
    while some := list(islice(left, _AT_ONCE)):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(thing)) for thing in some]
        for thing, task in zip(some, tasks, strict=True):
            result = task.result()
            if isinstance(result, NodeError):
                raise result
            yield thing, result
