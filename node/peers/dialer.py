"""The addresses at which peers may be, each dialled again, with back-off, until it is dropped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from lucidnode.discovery.candidate import Candidate
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.supervision import Tasks

FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 5.0
"""Seconds before a candidate is dialled again: doubled each time."""


class PeerDialer:
    """Candidates by key, each dialled again and again while it is here.

    *dial* stays as long as the link it makes, and returns who answered. *worth_dialling* says whether
    to dial a place where that device is expected (None: nobody knows who). *jitter* returns a
    random number from 0 up to 1.
    """

    def __init__(
        self,
        *,
        me: DeviceId,
        dial: Callable[[Candidate], Awaitable[DeviceId | None]],
        worth_dialling: Callable[[DeviceId | None], bool],
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._me = me
        self._dial = dial
        self._worth_dialling = worth_dialling
        self._clock = clock
        self._jitter = jitter
        self._candidates: dict[str, Candidate] = {}
        self._dialling: Tasks | None = None
        self._under_way: set[str] = set()

    def add(self, key: str, candidate: Candidate) -> None:
        """Try *candidate* from now on, in place of what had this key."""
        self._candidates[key] = candidate
        self._start(key)

    def drop(self, key: str) -> None:
        """Do not dial there again. A link that is up stays up."""
        self._candidates.pop(key, None)

    def begin(self, dialling: Tasks) -> None:
        """Dial from now on, in *dialling*; the links end with those."""
        self._dialling = dialling
        for key in list(self._candidates):
            self._start(key)

    def _start(self, key: str) -> None:
        if self._dialling is not None and key not in self._under_way:
            self._under_way.add(key)
            _ = self._dialling.create_task(self._reconnect(key), name="dialling a peer")

    async def _reconnect(self, key: str) -> None:
        try:
            await self._dialled(key)
        finally:
            self._under_way.discard(key)

    async def _dialled(self, key: str) -> None:
        expected: DeviceId | None = None
        backoff = Backoff(self._jitter, FIRST_PAUSE_S, MAX_PAUSE_S)
        while (candidate := self._candidates.get(key)) is not None:
            if candidate.device is not None:
                expected = DeviceId(candidate.device)
            if self._worth_dialling(expected):
                began = self._clock.boot()
                answered = await self._dial(candidate)
                if answered == self._me:
                    break  # our own address, as in a list that all nodes share
                # A link that lived is tried again at once, one that was refused is not.
                if answered is not None and self._clock.boot() - began > MAX_PAUSE_S:
                    backoff.reset()
                expected = answered or expected
            await self._clock.sleep(backoff.pause())
