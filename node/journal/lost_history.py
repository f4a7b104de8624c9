"""What the bucket has lost of journals, as people are told of it: one alert for each project."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.ids import ProjectId, Seq


@dataclass(frozen=True, slots=True)
class _Lost:
    """An entry that the bucket no longer has; *fits* is the question to a hash whether it is it."""

    seq: Seq
    fits: Callable[[bytes], bool]
    was_seen: bool


_KNOWN = 1024
"""Lost entries of a project that are remembered, the lowest."""


class LostHistory:
    """The entries of each project that are known to be lost.

    The alert names the lowest: it explains those above, so it does not change its words with every
    entry that is missed.
    """

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._lost: dict[ProjectId, dict[Seq, _Lost]] = {}

    def projects(self) -> list[ProjectId]:
        """Return the projects of which something is lost."""
        return list(self._lost)

    def entries(self, project: ProjectId) -> list[Seq]:
        """Return what is to be asked for again, as it may be there by now: in turn."""
        return list(self._lost.get(project, ()))

    def knows(self, project: ProjectId, seq: Seq) -> bool:
        """Tell whether entry *seq* is known to be lost."""
        return seq in self._lost.get(project, {})

    def had_turn(self, project: ProjectId, seq: Seq) -> None:
        """Note that *seq* was asked for again, in vain: the others come first now."""
        known = self._lost[project]
        known[seq] = known.pop(seq)

    def report(self, project: ProjectId, seq: Seq, fits: Callable[[bytes], bool]) -> None:
        """Tell that the bucket does not hold entry *seq* as this workstation has seen it."""
        self._note(project, _Lost(seq, fits, was_seen=True))

    def report_gap(self, project: ProjectId, seq: Seq) -> None:
        """Tell that nothing is in slot *seq*, which was never read here, and that others built on it."""
        self._note(project, _Lost(seq, lambda _hash: True, was_seen=False))

    def shown(self, project: ProjectId, seq: Seq, hash_: bytes) -> None:
        """Note that slot *seq* holds what has this hash; the last that is lost ends the alert."""
        lost = self._lost.get(project, {}).get(seq)
        if lost is not None and lost.fits(hash_):
            self.give_up(project, [seq])

    def give_up(self, project: ProjectId, seqs: Collection[Seq]) -> None:
        """Note that nobody here misses *seqs* any more."""
        known = self._lost.get(project, {})
        lowest = min(known, default=None)
        for seq in seqs:
            known.pop(seq, None)
        if not known:
            self.end(project)
        elif min(known) != lowest:
            self._tell(project)

    def end(self, project: ProjectId) -> None:
        """End the alert of *project*."""
        self._lost.pop(project, None)
        self._alerts.end(f"history:{project}")

    def _note(self, project: ProjectId, lost: _Lost) -> None:
        known = self._lost.setdefault(project, {})
        known.setdefault(lost.seq, lost)
        if len(known) > _KNOWN:
            del known[max(known)]
        self._tell(project)

    def _tell(self, project: ProjectId) -> None:
        known = self._lost[project][min(self._lost[project])]
        if known.was_seen:
            cause = (
                f"The bucket no longer has journal entry {known.seq} of project {project[:8]} as "
                "this workstation has seen it."
            )
            remedy = f"Run `lucidnode repair {project}`."
        else:
            cause = (
                f"The bucket has no journal entry {known.seq} of project {project[:8]}, but later "
                "ones: nothing can be committed or read here until it is back."
            )
            remedy = (
                f"Run `lucidnode repair {project} --put-back` on a workstation that was at work when "
                "it was made."
            )
        self._alerts.begin(f"history:{project}", cause, remedy)
