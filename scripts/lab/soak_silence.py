"""Who is kept from committing or reading by a hostile store, and says nothing of it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lab.hostile import BYTES, QUIET, Rule
from lab.hostile_bucket import DEADLINE_S
from lab.soak_node import SoakNode

ALERT_S, PARTIAL_ALERT_S = 5.0, 30.0
"""Virtual seconds a node may be kept from committing or reading before `status` says so. The first
counts if every request of it fails; if only some do, trying again is what helps, for 20 s."""

_HANG = frozenset({"hang", "endless", "drip"})
"""Faults that keep a request until its deadline."""


class Silence:
    """Since when one node has been kept from something, and what it did not say meanwhile.

    Instants are virtual seconds, None where it is not so now.
    """

    def __init__(self, node: SoakNode) -> None:
        self._node = node
        self.complaints: list[str] = []
        """What should have been said, once for each thing it was kept from in a row."""
        self._complained_of = ""
        self._head = -1
        self._commit_since: float | None = None
        self._read_since: float | None = None
        self._loud_since: float | None = None
        """Since when it meets faults that it can tell from a store that is well."""
        self._whole_since: float | None = None
        """Since when all its requests fail so, and not only some."""
        self._hung_until = 0.0
        """Until when requests may hang that were sent while nobody answered."""
        self._told_of: list[Rule] = []
        """What befell its requests when the alert began that it showed last."""
        self._told_at = -math.inf
        """When it was seen last to say that something is amiss."""
        self._was_told = False
        """Whether it said so when it was looked at last."""
        self._mended = 0
        self._free_at = -math.inf
        """Until when it had told of what is over since: something else is in its way now."""

    def look(self, now: float, rules: Iterable[Rule], *, behind: bool) -> list[str]:
        """Look at the node, about once a second; return the complaints that are new.

        *rules* are all that are in force; *behind* tells whether the store has an entry after its head.
        """
        node = self._node
        if not node.is_up:
            self._commit_since = self._read_since = None
            return []
        pending = node.user.replica.pending
        if (head := pending.head().seq) != self._head:
            self._head = head
            self._commit_since = self._read_since = None
        self._commit_since = (self._commit_since or now) if pending.has_work() else None
        self._read_since = (self._read_since or now) if behind else None
        met = _effective(rules, node.name)
        self._meet(now, met)
        self._follow_alerts(now, met)
        new: list[str] = []
        for what, since in (("committing", self._commit_since), ("reading", self._read_since)):
            if since is None or node.alerts() or not self._is_late(now, since):
                continue
            if what != self._complained_of:
                self._complained_of = what
                new.append(
                    f"{node.name} is kept from {what} for {now - since:.0f} s and says nothing"
                )
        self.complaints += new
        return new

    def _meet(self, now: float, rules: list[Rule]) -> None:
        """Note what befalls the node's requests from now on: *rules*."""
        if {rule.name for rule in rules} <= QUIET:
            self._loud_since = self._whole_since = None
            return
        self._loud_since = self._loud_since or now
        if any(rule.name in _HANG for rule in rules):
            self._hung_until = now + DEADLINE_S
        # While its own requests hang from before, nothing but looks meets what befalls it now.
        unmet = BYTES if now < self._hung_until else frozenset[str]()
        is_whole = any(_is_whole(rule) and rule.name not in unmet for rule in rules)
        self._whole_since = (self._whole_since or now) if is_whole else None

    def _follow_alerts(self, now: float, met: list[Rule]) -> None:
        """Note an alert that ended because what it told of is over, while *met* is in the way now.

        Only where the bucket has granted what it had failed to grant, and only once for each change of
        what befalls the node: an alert that goes and comes back of itself is silence in between.
        """
        is_told = bool(self._node.alerts())
        if is_told:
            if not self._was_told:
                self._told_of = met
            self._told_at = now
        elif self._was_told and met != self._told_of and self._node.mended != self._mended:
            self._free_at = self._told_at
        self._was_told = is_told
        self._mended = self._node.mended

    def _is_late(self, now: float, since: float) -> bool:
        """Tell whether the node should have said by now that it is kept from something *since* then."""
        since = max(since, self._free_at)
        if self._loud_since is None:
            return False
        if self._whole_since is not None and now - max(since, self._whole_since) >= ALERT_S:
            return True
        return now - max(since, self._loud_since) >= PARTIAL_ALERT_S


def _effective(rules: Iterable[Rule], name: str) -> list[Rule]:
    """Return the *rules* that befall requests of *name*: none behind one that befalls them all."""
    found: list[Rule] = []
    for rule in rules:
        if rule.client in {"*", name}:
            found.append(rule)
            if _is_whole(rule):
                break
    return found


def _is_whole(rule: Rule) -> bool:
    """Tell whether *rule* befalls every request there is."""
    return rule == Rule(rule.name, client=rule.client)
