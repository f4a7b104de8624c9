"""Has requests to join answered on a workstation that has nothing mounted.

An answer takes a member's keys, and a daemon has none. A process of the moment gets them from the
agent of the home, where that is unlocked; a mount, which has them, answers by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.json_text import json_in
from lucidnode.node.client.own_process import written_by
from lucidnode.node.roster.invitations import LOOK_EVERY_S

_COMMAND = "answer-process"

_ANSWER_S = 120.0
"""Seconds in which the bucket takes a few small objects, or does not."""

_MAX_PAUSE_S = 30.0
"""Before a request is tried again that was not answered: a person has unlocked meanwhile, perhaps."""

_TOPIC = "asked-to-join"


class ToldAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of one request, as an alert."""

    topic: str
    cause: str
    remedy: str


class GivenAnswers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of all that wait. *to_confirm* are invitations that a person has to say the words for."""

    is_locked: bool = False
    told: list[ToldAnswer] = []
    to_confirm: list[str] = []


async def given_answers(home: Path) -> GivenAnswers:
    """Answer what waits, with the keys that the agent of *home* holds. Raises ProcessFailed, Malformed."""
    raw = await written_by(str(home), [_COMMAND], within_s=_ANSWER_S)
    return json_in(raw, GivenAnswers)


class AnswersUnmounted:
    """Looks for what is *unanswered*, has it answered by *answer*, and tells what came of it."""

    def __init__(
        self,
        unanswered: Callable[[], Awaitable[list[wire.Invitation]]],
        answer: Callable[[], Awaitable[GivenAnswers]],
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        self._unanswered = unanswered
        self._answer = answer
        self._alerts = alerts
        self._clock = clock
        self._to_confirm: set[str] = set()
        self._tried: set[str] = set()
        self._backoff = Backoff(None, LOOK_EVERY_S, _MAX_PAUSE_S)
        self._next_at = 0.0

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            with contextlib.suppress(NodeError):  # that the bucket is away is told by others
                await self.look()
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Look once. Raises a NodeError where the bucket cannot be looked at."""
        there = {one.ident for one in await self._unanswered()}
        self._to_confirm &= there
        waiting = there - self._to_confirm
        if waiting - self._tried:
            self._backoff.reset()
            self._next_at = 0.0
        self._tried = waiting
        if not waiting:
            self._alerts.end(_TOPIC)
        elif self._clock.boot() >= self._next_at:
            await self._have_answered()
            self._next_at = self._clock.boot() + self._backoff.pause()

    async def _have_answered(self) -> None:
        try:
            given = await self._answer()
        except NodeError as error:
            self._cannot(f"that failed here: {error}".rstrip("."), "`lucidnode invite answer`")
            return
        if given.is_locked:
            ways = (
                "`lucidnode unlock` has it answer by itself, `lucidnode invite answer` does so once"
            )
            self._cannot("this workstation is locked, and has nothing mounted", ways)
            return
        self._alerts.end(_TOPIC)
        self._to_confirm |= set(given.to_confirm)
        for one in given.told:
            self._alerts.begin(one.topic, one.cause, one.remedy, lasts_s=EVENT_S)

    def _cannot(self, why: str, remedy: str) -> None:
        self._alerts.begin(
            _TOPIC, f"Somebody asks to join and waits for an answer: {why}.", f"{remedy}."
        )
