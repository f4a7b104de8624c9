"""This daemon among those that work with its device key: there should be no other.

A home was copied, or a machine cloned. The two meet on a LAN (network.py), or through the bucket
(instances.py). It is said on both; the one that began later has its mounts write no more.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock


class OwnInstance:
    """*yield_to* hears where another is that began before this one, each time it is met."""

    def __init__(self, yield_to: Callable[[str], None], alerts: Alerts, clock: Clock) -> None:
        # In the order in which daemons began: of two with one key both know which is the later.
        self.id = clock.wall_ns().to_bytes(8, "big") + secrets.token_bytes(8)
        self._yield_to = yield_to
        self._alerts = alerts
        self._clock = clock
        self._later_until = 0.0

    def meet(self, other: bytes, host: str, lasts_s: float) -> None:
        """Hear that the daemon *other*, at *host*, works with this one's device key: for *lasts_s* it is so."""
        is_later = self.id > other
        self._alerts.begin(
            "identity",
            f"Another daemon, at {host}, uses this workstation's device key. "
            + ("It began before this one: " if is_later else "It began after this one: ")
            + ("projects are read-only here." if is_later else "projects are read-only there."),
            "A home directory was copied: join the copy anew.",
            lasts_s=lasts_s,
        )
        if is_later:
            self._later_until = self._clock.boot() + lasts_s
            self._yield_to(host)

    def why_forbidden(self) -> str:
        """Return why nothing may be committed here now, "" if all may."""
        if self._clock.boot() >= self._later_until:
            return ""
        return "Another daemon works with this workstation's keys, and began before this one."
