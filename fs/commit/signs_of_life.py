"""When this device and the others last made an entry, by our own boot clock: how long a lease holds.

The rules are those of docs/design/0012-leases.md. Our own time begins when an entry was *sent*, since
others may have read it any moment after; theirs begins when we *read* it, since we cannot know when
they sent it. So theirs ends later here than it does there.
"""

from __future__ import annotations

from collections.abc import Callable

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.journal import SIGNATURE_SIZE, EntryHeader

LEASE_TTL_S = 30.0
"""How long a device must be silent before another may take its leases."""

LEASE_MARGIN_S = 5.0
"""By how much its holder stops using a lease sooner: more than two clocks drift apart meanwhile."""


_SLEPT_S = 60.0
"""A gap between two looks at the log in which the machine must have slept: that is no outage."""


class SignsOfLife:
    """What one mount has seen of the devices of its project in this life.

    Nothing of an earlier life counts: the boot clock of another boot says nothing.
    """

    def __init__(self, clock: Clock, earlier: bytes | None) -> None:
        """Take what an *earlier* life may have sent: when that was, nobody knows any more."""
        self._clock = clock
        self._earlier = earlier
        self._began_at = clock.boot()
        self._sent: tuple[bytes, float] | None = None
        self._renewed_at: float | None = None
        self._heard_at: dict[DeviceId, float] = {}
        self._end_seen_at: float | None = None
        self._saw_end = False
        self._looked_at: float | None = None
        self._failing_since: float | None = None
        self._on_news: list[Callable[[], None]] = []

    def watch(self, on_news: Callable[[], None]) -> None:
        """Have *on_news* called when a slot is decided, and when the end of the log was seen."""
        self._on_news.append(on_news)

    # -- what happens ------------------------------------------------------------------------

    def sending(self, unsigned: bytes) -> None:
        """Note that our entry *unsigned* is about to be sent; it counts from the first time."""
        if unsigned != self._earlier and (self._sent is None or self._sent[0] != unsigned):
            self._sent = (unsigned, self._clock.boot())

    def committed(self, unsigned: bytes) -> None:
        """Note that *unsigned* was read in its slot: it has renewed all our leases."""
        if self._sent is not None and self._sent[0] == unsigned:
            self._renewed_at = self._sent[1]

    def heard(self, entry: bytes) -> None:
        """Note that *entry*, whose signature was checked, was read."""
        try:
            device = EntryHeader.parse(entry[:-SIGNATURE_SIZE]).device
        except Malformed:
            return
        self._heard_at[device] = self._clock.boot()

    def saw_end(self, asked_at: float) -> None:
        """Note that the log had no more entries when the bucket was asked, at *asked_at*."""
        self._end_seen_at = asked_at
        self._saw_end = True
        self.tell()

    def looked(self) -> None:
        """Note that a look at the log is over, whether it saw the end or failed."""
        now, before = self._clock.boot(), self._looked_at
        if self._saw_end:
            self._failing_since = None
        elif self._failing_since is None or before is None or now - before > _SLEPT_S:
            self._failing_since = now
        self._looked_at = now
        self._saw_end = False

    def tell(self) -> None:
        """Tell those who watch that there is news."""
        for on_news in self._on_news:
            on_news()

    # -- what follows ------------------------------------------------------------------------

    def ours_for(self, ttl_s: float = LEASE_TTL_S) -> float:
        """Return for how many seconds yet our leases may be used; not above zero if not at all."""
        if self._renewed_at is None:
            return 0.0
        return self._renewed_at + ttl_s - LEASE_MARGIN_S - self._clock.boot()

    def is_silent(
        self, device: DeviceId, ttl_s: float = LEASE_TTL_S, *, since: float = 0.0
    ) -> bool:
        """Tell whether the leases of *device* may be taken from it.

        It has made no entry for a whole TTL since we read its newest, nor since *since* by the boot clock, as
        the end of the log shows.
        """
        since = max(since, self._heard_at.get(device, self._began_at))
        return self._end_seen_at is not None and self._end_seen_at - since >= ttl_s

    def end_seen_s(self) -> float | None:
        """Return for how many seconds the end of the log was not looked for, and seen; None if it never was."""
        return None if self._end_seen_at is None else self._clock.boot() - self._end_seen_at

    def is_failing(self) -> bool:
        """Tell whether the last look at the log has failed."""
        return self._failing_since is not None

    def away_for(self) -> float:
        """Return for how many seconds all looks at the log have failed.

        Time in which the machine slept is none of it: others may have worked all the while.
        """
        if self._failing_since is None or self._looked_at is None:
            return 0.0
        return self._looked_at - self._failing_since
