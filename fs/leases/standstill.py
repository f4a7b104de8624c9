"""How long the log has given no word: whether a bucket that does not answer is what somebody waits for."""

from __future__ import annotations

from lucidnode.fs.commit.signs_of_life import SignsOfLife
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.clock import Clock


class Standstill:
    """The wait of one program, which begins now.

    As long as entries are read, whoever made them, the bucket is there, and the wait is for somebody
    who works: to go on without his word would be wrong, however slow the line or the machine.
    """

    def __init__(self, replica: Replica, life: SignsOfLife, clock: Clock) -> None:
        self._replica = replica
        self._life = life
        self._clock = clock
        self._head = replica.pending.head().seq
        self._since = clock.boot()

    def lasts_s(self, *, asked: bool) -> float:
        """Return for how many seconds nothing was read of the log, and it failed or what was *asked* is not in it."""
        now, head = self._clock.boot(), self._replica.pending.head().seq
        if head != self._head or not (asked or self._life.is_failing()):
            self._head, self._since = head, now
        return now - self._since
