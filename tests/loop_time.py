"""How long work lasts, counted in turns of the loop it runs on instead of by the clock on the wall.

A machine that is busy with something else takes turns away from the beat as from the work, so a
bound that holds on an idle machine holds on any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

_BEAT_S = 0.01


async def lasted(work: Awaitable[T]) -> tuple[T, float]:
    """Return what *work* returns, and the seconds that it took, at most those on the wall."""
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(_BEAT_S)
            beats += 1

    beating = asyncio.ensure_future(beat())
    try:
        return await work, beats * _BEAT_S
    finally:
        beating.cancel()
