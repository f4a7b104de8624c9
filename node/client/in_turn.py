"""Asking again for what waits for its turn on a line that people hold to a rate."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from lucidnode.node.client.errors import Held

P = ParamSpec("P")
T = TypeVar("T")


async def in_turn(ask: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what *ask* does, asked again whenever it raises Held."""
    while True:
        with contextlib.suppress(Held):
            return await ask(*args, **kwargs)
