"""What answers in the place of the bucket: people hear of it, and it is asked at a bounded rate."""

from __future__ import annotations

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Backoff, Jitter
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.journal.log_names import LogNames

FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 10.0
"""Pauses before a log is asked again after something else answered: the first and the last."""


class WrongAnswers:
    """Keeps the alert of one log, and the time before which it is not asked again."""

    def __init__(self, names: LogNames, alerts: Alerts, clock: Clock, jitter: Jitter) -> None:
        self._names = names
        self._alerts = alerts
        self._clock = clock
        self._pauses = Backoff(jitter, FIRST_PAUSE_S, MAX_PAUSE_S)
        self._closed_until = 0.0

    def require_pause(self) -> None:
        """Raise Unavailable while it is too soon to ask again."""
        if self._clock.boot() < self._closed_until:
            raise Unavailable(self._sentence())

    def over(self) -> None:
        """Note that the bucket itself has answered."""
        self._closed_until = 0.0
        self._pauses.reset()
        self._alerts.end(self._names.topic)

    def note(self) -> Unavailable:
        """Note that something else has answered; return what that is for whoever asked."""
        self._closed_until = self._clock.boot() + self._pauses.pause()
        return self.tell()

    def tell(self) -> Unavailable:
        """Begin the alert, though other slots may be asked meanwhile; return as `note` does."""
        self._alerts.begin(
            self._names.topic,
            self._sentence(),
            "Look for the login page of a network, a proxy or a VPN; it is asked again by itself.",
        )
        return Unavailable(self._sentence())

    def _sentence(self) -> str:
        return (
            "Something between here and the bucket answers in its place, or mixes its answers up: "
            f"what came is not the {self._names.called} that was asked for."
        )
