"""Whether commits go on: what fails for a while and is told, and what makes a mount read-only."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass

from lucidnode.fs.commit.commit_signals import CommitSignals
from lucidnode.fs.errors import (
    FormatError,
    HistoryForked,
    NoSpace,
    NoSuchProject,
    NotAMember,
    ReplicaError,
)
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import ProjectId


@dataclass(frozen=True, slots=True)
class CommitStep:
    """What may fail for a while, and what a person hears of it."""

    topic: str
    cause: str
    remedy: str


READ = CommitStep("journal:read", "The journal cannot be read now", "It is asked again by itself.")
SEND = CommitStep(
    "journal:send",
    "Changes cannot be committed now",
    "They wait here, and are sent as soon as it is over.",
)
_RECORD = CommitStep(
    "journal:record",
    "Changes cannot be recorded",
    "Make room on the disk of the home directory.",
)


class CommitHealth:
    """What keeps one mount from committing."""

    def __init__(
        self, replica: Replica, project: ProjectId, alerts: Alerts, signals: CommitSignals
    ) -> None:
        self._replica = replica
        self._project = project
        self._alerts = alerts
        self._signals = signals
        self.stopped: str | None = None
        """Why this mount is read-only, or None."""
        self.forbidden: str | None = None
        """Why nothing of ours would count, though what others do is followed; or None."""
        self.parked = False
        """Whether there is nothing to follow either, for as long as that is so."""
        self.ended = False
        """Whether it is so until it is mounted again."""
        self._unrecorded: set[str] = set()
        """Topics of the steps that the disk had no room for when they were tried last."""

    async def attempt(self, step: CommitStep, run: Coroutine[None, None, bool]) -> bool:
        """Await *run*. Faults that pass make it False, and are told; the others stop the mount."""
        try:
            done = await run
        except NoSpace as error:
            # What kept it before keeps it no more: nobody shall look there for the cause.
            self._alerts.end(step.topic)
            self._unrecorded.add(step.topic)
            self.tell(_RECORD, error)
            return False
        except HistoryForked as error:
            self.stop(str(error))
            return False
        except (ReplicaError, NotAMember, NoSuchProject) as error:
            self.end(str(error))
            return False
        except (NodeError, FormatError) as error:
            self.tell(step, error)
            return False
        if done or step is READ:
            self._alerts.end(step.topic)
            self._recorded(step)
        return done

    def tell(self, step: CommitStep, error: Exception) -> None:
        """Have people know that *step* fails now, because of *error*."""
        self._alerts.begin(step.topic, f"{step.cause}: {str(error).rstrip('.')}.", step.remedy)

    def sent(self) -> None:
        """Know that an entry of ours is committed, or that nothing waits any more."""
        self._alerts.end(SEND.topic)
        self._recorded(SEND)

    def _recorded(self, step: CommitStep) -> None:
        """Know that the disk has room for *step*, or that it needs none."""
        self._unrecorded.discard(step.topic)
        if not self._unrecorded:
            self._alerts.end(_RECORD.topic)

    def stop(self, reason: str) -> None:
        """Be read-only for as long as the bucket does not have our head."""
        self.stopped = reason
        self._replica.stop(reason)
        for step in (READ, SEND):
            self._alerts.end(step.topic)
        self._alerts.begin(
            f"history:{self._project}",
            f"This project is read-only here: {reason}.",
            f"Run `lucidnode repair {self._project}`.",
        )
        self._signals.changed_state()

    def go_on(self) -> None:
        """Commit again after `stop`: the bucket has our head."""
        self.stopped = None
        if self.forbidden is None:
            self._replica.go_on()
        self._alerts.end(f"history:{self._project}")
        self._signals.progressed()
        self._signals.worked()

    def forbid(self, reason: str, *, parked: bool = False) -> None:
        """Be read-only for as long as this member may not write; follow the others, unless *parked*."""
        self.parked = parked
        if self.forbidden != reason:
            self.forbidden = reason
            self._replica.stop(reason)
            self._alerts.begin(
                "rights",
                f"This project is read-only here: {reason}.",
                "Ask an owner of the studio if that is a mistake.",
            )
            self._signals.changed_state()

    def allow(self) -> None:
        """Write again after `forbid`."""
        if self.forbidden is not None:
            self.forbidden = None
            self.parked = False
            self._alerts.end("rights")
            if self.stopped is None:
                self._replica.go_on()
            self._signals.changed_state()

    def end(self, reason: str) -> None:
        """Be read-only until mounted again."""
        self.ended = True
        self.stopped = reason
        self._replica.stop(reason)
        self._alerts.end("rights")
        self._alerts.begin(
            "read-only",
            f"This project is read-only here until it is mounted again: {reason}.",
            "Unmount it, look at its log, and mount it again.",
        )
        self._signals.changed_state()
