"""The slots of one log that are proven to hold what is no entry, as people are told of them."""

from __future__ import annotations

from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.ids import Seq
from lucidnode.node.journal.register import SlotContent

_KEPT_PROOFS = 64
"""Slots that are remembered, so that each is proven once, and looked at until it holds an entry."""


class ForeignSlots:
    """What was proven, and one alert about all of it that ends with the last.

    *called* is what people call an entry; *topic* is that of the log's alerts.
    """

    def __init__(self, called: str, topic: str, alerts: Alerts) -> None:
        self._called = called
        self._topic = f"{topic}:foreign"
        self._alerts = alerts
        self._held: dict[Seq, SlotContent] = {}

    def get(self, seq: Seq) -> SlotContent | None:
        """Return what is proven to lie in slot *seq*, None if nothing is."""
        return self._held.get(seq)

    def numbers(self) -> list[Seq]:
        """Return the numbers of the slots, lowest first."""
        return sorted(self._held)

    def next_in_turn(self) -> Seq | None:
        """Return the slot that was looked at longest ago, which is the last in the line now."""
        if not self._held:
            return None
        seq = next(iter(self._held))
        self._held[seq] = self._held.pop(seq)
        return seq

    def note(self, seq: Seq, held: SlotContent) -> None:
        """Note that *held*, which is no entry, is proven to lie in slot *seq*."""
        self._held[seq] = held
        if len(self._held) > _KEPT_PROOFS:
            del self._held[next(iter(self._held))]
        self._tell()

    def over(self, seq: Seq) -> None:
        """Note that slot *seq* holds an entry, or nothing."""
        if self._held.pop(seq, None) is None:
            return
        if self._held:
            self._tell()
        else:
            self._alerts.end(self._topic)

    def _tell(self) -> None:
        first, last, count = min(self._held), max(self._held), len(self._held)
        more = " or more" if count == _KEPT_PROOFS else ""
        places = (
            f"number {first}" if count == 1 else f"{count}{more} numbers from {first} to {last}"
        )
        self._alerts.begin(
            self._topic,
            f"The bucket holds something that is no {self._called} in the place of {places}, "
            "which counts as empty.",
            "Find out who besides Lucidnode writes to this bucket.",
            lasts_s=EVENT_S,
        )
