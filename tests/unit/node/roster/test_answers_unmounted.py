"""Requests to join on a workstation with nothing mounted: answered by who gets keys, told if nobody does."""

from __future__ import annotations

from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.own_process import ProcessFailed
from lucidnode.node.roster.answers_unmounted import AnswersUnmounted, GivenAnswers, ToldAnswer

LET_IN = ToldAnswer("invited:words", "Bo was let in.", "If the words differ, put him out.")


class Daemon:
    """A daemon without mounts; each look is *later_s* behind the one before."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.given: GivenAnswers | Exception = GivenAnswers()
        self.answered = 0
        self.now = 0.0
        self.alerts = Alerts(self)
        self._unmounted = AnswersUnmounted(self._unanswered, self._answer, self.alerts, self)

    def boot(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError

    async def look(self, later_s: float = 5.0) -> list[str]:
        self.now += later_s
        await self._unmounted.look()
        return [one.cause for one in self.alerts.current()]

    async def _unanswered(self) -> list[wire.Invitation]:
        return [wire.Invitation(ident, b"offer", b"request", b"") for ident in self.waiting]

    async def _answer(self) -> GivenAnswers:
        self.answered += 1
        if isinstance(self.given, Exception):
            raise self.given
        if self.given.told:
            self.waiting = [one for one in self.waiting if one in self.given.to_confirm]
        return self.given


async def test_who_asks_is_answered_and_it_is_told(expected_warnings: list[str]) -> None:
    expected_warnings.append("Bo was let in")
    daemon = Daemon()
    assert await daemon.look() == []
    assert daemon.answered == 0  # no process for nobody
    daemon.waiting, daemon.given = ["bo"], GivenAnswers(told=[LET_IN])
    assert await daemon.look() == ["Bo was let in."]
    for _ in range(10):
        await daemon.look()
    assert daemon.answered == 1


async def test_a_locked_workstation_says_who_waits_and_answers_once_it_is_unlocked(
    expected_warnings: list[str],
) -> None:
    expected_warnings += ["this workstation is locked", "Bo was let in"]
    daemon = Daemon()
    daemon.waiting, daemon.given = ["bo"], GivenAnswers(is_locked=True)
    (cause,) = await daemon.look()
    assert "this workstation is locked, and has nothing mounted" in cause
    (alert,) = daemon.alerts.current()
    assert "`lucidnode unlock`" in alert.remedy
    for _ in range(120):  # ten minutes
        await daemon.look()
    assert 15 < daemon.answered < 30  # each is a process
    daemon.given = GivenAnswers(told=[LET_IN])
    assert await daemon.look(later_s=30) == ["Bo was let in."]


async def test_what_is_withdrawn_or_answered_elsewhere_is_no_alert_any_more(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("waits for an answer")
    daemon = Daemon()
    daemon.waiting, daemon.given = ["bo"], ProcessFailed("no memory")
    (cause,) = await daemon.look()
    assert "that failed here: no memory." in cause
    daemon.waiting = []
    assert await daemon.look() == []


async def test_who_has_to_be_confirmed_is_told_of_once_and_keeps_nobody_else_waiting(
    expected_warnings: list[str],
) -> None:
    expected_warnings += ["asks to join", "Bo was let in"]
    daemon = Daemon()
    asks = ToldAnswer("invited:others", "Cy asks to join.", "Say the words.")
    daemon.waiting = ["cy"]
    daemon.given = GivenAnswers(told=[asks], to_confirm=["cy"])
    for _ in range(50):
        await daemon.look()
    assert daemon.answered == 1
    daemon.waiting, daemon.given = ["cy", "bo"], GivenAnswers(told=[LET_IN], to_confirm=["cy"])
    assert await daemon.look() == ["Cy asks to join.", "Bo was let in."]


async def test_somebody_new_does_not_wait_for_the_pause_of_another(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("waits for an answer")
    daemon = Daemon()
    daemon.waiting, daemon.given = ["bo"], Unavailable("the bucket is away")
    for _ in range(20):
        await daemon.look()
    before = daemon.answered
    daemon.waiting = ["bo", "cy"]
    await daemon.look(later_s=0)
    assert daemon.answered == before + 1
