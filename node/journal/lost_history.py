"""What the bucket has lost of journals, as people are told of it: one alarm for each project."""

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


class LostHistory:
    """The lowest entry of each project that is known to be lost: it explains those above.

    So the alarm does not change its words with every entry that is missed.
    """

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._lost: dict[ProjectId, _Lost] = {}

    def entries(self) -> list[tuple[ProjectId, Seq]]:
        """Return what is to be asked for again: it may be there by now."""
        return [(project, lost.seq) for project, lost in self._lost.items()]

    def report(self, project: ProjectId, seq: Seq, fits: Callable[[bytes], bool]) -> None:
        """Tell that the bucket does not hold entry *seq* as this workstation has seen it."""
        self._report(project, _Lost(seq, fits, was_seen=True))

    def report_gap(self, project: ProjectId, seq: Seq) -> None:
        """Tell that nothing is in slot *seq*, which was never read here, and that others built on it."""
        self._report(project, _Lost(seq, lambda _hash: True, was_seen=False))

    def shown(self, project: ProjectId, seq: Seq, hash_: bytes) -> None:
        """End the alarm if this is the entry it is about."""
        lost = self._lost.get(project)
        if lost is not None and lost.seq == seq and lost.fits(hash_):
            self.end(project)

    def give_up(self, project: ProjectId, seqs: Collection[Seq]) -> None:
        """End the alarm if it is about one of *seqs*."""
        lost = self._lost.get(project)
        if lost is not None and lost.seq in seqs:
            self.end(project)

    def end(self, project: ProjectId) -> None:
        """End the alarm of *project*."""
        self._lost.pop(project, None)
        self._alerts.end(f"history:{project}")

    def _report(self, project: ProjectId, lost: _Lost) -> None:
        known = self._lost.get(project)
        if known is None or lost.seq < known.seq:
            known = self._lost[project] = lost
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
