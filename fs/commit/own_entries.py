"""Notices when somebody else commits with this workstation's device key: a copied home.

Where the two meet on a LAN, their daemons tell. Without one, each sees the other's entries in the
journal alone: signed as this workstation, and not made here.
"""

from __future__ import annotations

from collections import deque

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, Seq
from lucidnode.node.client.journal import SIGNATURE_SIZE, EntryHeader

_REMEMBERED_ENTRIES = 64
"""Entries made here whose slots may be decided late: one is in flight, and what it needs may be given up."""

COPY_SEEN_S = 3600.0
"""Seconds for which a copied home is an alert after its last entry: nothing else tells that it is over."""


class OwnEntries:
    """What this mount, *device*, has committed since it started, and what others did in its name.

    An entry of an earlier life of this home may come into the journal anew: after a repair, which
    puts back what the bucket had lost. So it counts only what was made since, after the journal
    was read to its end once.
    """

    def __init__(self, device: DeviceId, alerts: Alerts, clock: Clock) -> None:
        self._device = device
        self._alerts = alerts
        self._began_ns = clock.wall_ns()
        self._made: deque[bytes] = deque(maxlen=_REMEMBERED_ENTRIES)
        self._has_caught_up = False

    def made(self, unsigned: bytes) -> None:
        """Note that the entry *unsigned* was made here."""
        if unsigned not in self._made:
            self._made.append(unsigned)

    def caught_up(self) -> None:
        """Note that the end of the journal was seen."""
        self._has_caught_up = True

    def seen(self, seq: Seq, entry: bytes, made_ns: int) -> None:
        """Hear that *entry*, whose signature was checked, is number *seq*, made at *made_ns*."""
        unsigned = entry[:-SIGNATURE_SIZE]
        try:
            is_signed_as_we = EntryHeader.parse(unsigned).device == self._device
        except Malformed:
            return
        is_late = self._has_caught_up and made_ns > self._began_ns
        if is_signed_as_we and is_late and unsigned not in self._made:
            self._alerts.begin(
                "twin",
                f"Somebody else works as this workstation: journal entry {seq} bears its signature "
                "and was not made here. Its home directory was copied, and the copy is in use.",
                "Unmount one of the two, and join it anew with a ticket of its own.",
                lasts_s=COPY_SEEN_S,
            )
