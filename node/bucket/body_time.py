"""How long a body is waited for: as long as it comes, and no longer than its bytes take at the slowest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SLOWEST_BYTES = 32 * 1024
"""Bytes a second. A transfer below this rate counts as dead; eight at once fit 2 Mbit/s."""


def whole_s(answer_s: float, size: int) -> float:
    """Return what an answer with *size* bytes may take in seconds; *answer_s* are for all but its bytes."""
    return answer_s + size / SLOWEST_BYTES


def still_coming(
    limit: asyncio.Timeout, size: int | None, answer_s: float
) -> Callable[[int], None]:
    """Begin to wait for a body of *size* bytes; return what is to be told as it comes how many have come.

    It moves *limit* on. All of the body is given its time, that of the bytes which have come if its *size*
    is not known: else a trickle would have minutes. And a connection on which nothing comes for *answer_s*
    is dead: a network that went away does not say so, and a large block would be waited for until
    everybody who wants it has given up.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()

    def came(count: int) -> None:
        if not limit.expired():  # else its end is on the way already
            end = began + whole_s(answer_s, count if size is None else size)
            limit.reschedule(min(end, loop.time() + answer_s))

    came(0)
    return came
