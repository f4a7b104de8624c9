"""Blocks that cannot be had right: not fetched again by each read, and looked at in turn until they can."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import BlockId

FIRST_PAUSE_S, LAST_PAUSE_S = 2.0, 30.0
"""Seconds until a bad block that programs go on asking for is asked for again, doubling from the
first to the last. One that nobody has asked for as long as the last is asked for at once."""

LOOK_EVERY_S = 30.0
"""Seconds until one of them is looked at though nobody asks; while what is looked at is well, the
next at once."""

_KNOWN = 4096
"""Blocks remembered; the one looked at longest ago is forgotten first, and its alert with it."""

Amiss = Literal["damaged", "missing"]

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class _Bad:
    """*until* and *pause* are seconds of the boot clock: when it may be asked for again."""

    amiss: Amiss
    until: float
    pause: float


class BadBlocks(Generic[Key]):
    """What was bad, why, and when it may be asked for again. Keys say which block is meant."""

    def __init__(self, clock: Clock, over: Callable[[Key], None]) -> None:
        """*over* hears of each that is remembered no longer: it is well, or nobody needs it."""
        self._clock = clock
        self._over = over
        self._known: OrderedDict[Key, _Bad] = OrderedDict()
        self._any = asyncio.Event()

    def note(self, key: Key, amiss: Amiss) -> None:
        """Note that somebody asked for *key*, and that no source has it right."""
        now = self._clock.boot()
        known = self._known.get(key)
        if known is not None and known.until > now and known.amiss == amiss:
            return  # somebody asked at the same time
        lately = known is not None and now - known.until < LAST_PAUSE_S
        pause = min(2 * known.pause, LAST_PAUSE_S) if known and lately else FIRST_PAUSE_S
        self._known[key] = _Bad(amiss, now + pause, pause)
        self._known.move_to_end(key)
        self._any.set()
        if len(self._known) > _KNOWN:
            self.forget(next(iter(self._known)))

    def good(self, key: Key) -> None:
        """Note that a right copy of *key* was read."""
        self.forget(key)

    def forget(self, key: Key) -> None:
        """Remember *key* no longer."""
        if self._known.pop(key, None) is not None:
            if not self._known:
                self._any.clear()
            self._over(key)

    def knows(self, key: Key) -> bool:
        """Return whether *key* was bad when somebody asked for it last."""
        return key in self._known

    def lately(self, key: Key) -> Amiss | None:
        """Return what was wrong with *key* so lately that it is not asked for again now."""
        known = self._known.get(key)
        return known.amiss if known is not None and self._clock.boot() < known.until else None

    def ask_again(self, key: Key) -> None:
        """Let the next who asks for *key* have it asked for."""
        if (known := self._known.get(key)) is not None:
            known.until = min(known.until, self._clock.boot())

    def all(self) -> list[Key]:
        """Return all that is known to be bad; first what was looked at longest ago."""
        return list(self._known)

    async def look(self, is_over: Callable[[Key], Awaitable[bool]]) -> None:
        """Look at the one whose turn it is, and at the next while *is_over* says that it is well."""
        while self._known:
            key = next(iter(self._known))
            self._known.move_to_end(key)
            if not await is_over(key):
                return
            self.forget(key)

    async def look_in_turn(self, is_over: Callable[[Key], Awaitable[bool]]) -> None:
        """Look again and again, as long as anything is known to be bad, until cancelled."""
        while True:
            await self._any.wait()
            await self._clock.sleep(LOOK_EVERY_S)
            await self.look(is_over)


def topic(block: BlockId) -> str:
    """Return the topic of alerts about *block*."""
    return f"block:{block.hex()[:16]}"
