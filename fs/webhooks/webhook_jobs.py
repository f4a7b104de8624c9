"""Which workstation tells a webhook, as one mount sees it and changes it: by the rules of leases.

The job is taken from nobody, or from one who has been silent for a whole TTL (docs/design/0012-leases.md);
its holder uses it for less than that since he sent his newest entry. Nothing is renewed while there is nothing
to tell. So a holder may well be silent when something happens: whoever wants the job gives him time to say that he is there.
"""

from __future__ import annotations

from lucidnode.fs.commit.signs_of_life import SignsOfLife
from lucidnode.fs.leases.lease_changes import LeaseChanges
from lucidnode.fs.leases.lease_row import NOBODY
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import Lease
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.webhooks.webhook_record import WebhookJob, job_in, job_name
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import DeviceId

JOB_TTL_S = 120.0
"""How long a holder must be silent before another may tell. While a receiver takes nothing, its teller makes
an entry a minute."""

RENEW_WITHIN_S = 60.0
"""A job that is used is renewed once it lasts no longer than this."""

MIN_USE_S = 15.0
"""For how long the job must be ours yet to begin a delivery, which takes ten seconds at most."""

GRACE_S = 20.0
"""How long something must have been waiting to be told before a holder who is silent loses the job."""


class WebhookJobs:
    """The jobs of one mount, which is *device*. Nothing here awaits."""

    def __init__(
        self,
        replica: Replica,
        device: DeviceId,
        changes: LeaseChanges,
        life: SignsOfLife,
        clock: Clock,
    ) -> None:
        self._replica = replica
        self._device = device
        self._changes = changes
        self._life = life
        self._clock = clock
        self._wanted_since: dict[str, float] = {}

    def of(self, ident: str) -> WebhookJob | None:
        """Return the job of webhook *ident*, changes of it that wait among them."""
        return job_in(self._replica.tree.fact(job_name(ident)))

    def ours_for(self, ident: str) -> float:
        """Return for how many seconds yet we may tell it, as the log says; 0 if not at all."""
        job = self.of(ident)
        if job is None or job.holder != self._device:
            return 0.0
        if any(change.claims for change in self._changes.pending(job_name(ident))):
            return 0.0
        return max(0.0, self._life.ours_for(JOB_TTL_S))

    def ask_for(self, ident: str) -> None:
        """Do the next step towards telling *ident*, for which there is something to tell; unless one is under way."""
        job = self.of(ident)
        now = self._clock.boot()
        since = self._wanted_since.setdefault(ident, now)
        if self._changes.pending(job_name(ident)):
            return
        if job is None:
            self._change(ident, None, WebhookJob(self._device, 1, self._head(), 0), claims=True)
        elif job.holder == self._device:
            if self._life.ours_for(JOB_TTL_S) <= RENEW_WITHIN_S:
                self._change(ident, job, job.changed(self._device, job.after, job.told))
        elif job.holder == NOBODY:
            self._change(ident, job, job.changed(self._device, job.after, job.told), claims=True)
        elif now - since >= GRACE_S and self._life.is_silent(job.holder, JOB_TTL_S):
            taken = job.changed(self._device, job.after, job.told)
            self._change(ident, job, taken, claims=True, alone=True)

    def wants_nothing(self, ident: str) -> None:
        """Note that there is nothing to tell for now."""
        self._wanted_since.pop(ident, None)

    def note(self, ident: str, after: int, told: int) -> None:
        """Have the log say how far *ident* was told, if we tell it and nothing else is said of it."""
        job = self.of(ident)
        if job is None or job.holder != self._device or self._is_changing(ident):
            return
        if (job.after, job.told) < (after, told):
            self._change(ident, job, job.changed(self._device, after, told))

    def resign(self, ident: str, after: int, told: int) -> None:
        """Say with the next entry that anybody may tell *ident* from there on, if we tell it."""
        job = self.of(ident)
        if job is not None and job.holder == self._device:
            self._change(ident, job, job.changed(NOBODY, after, told))

    def begin(self, ident: str) -> None:
        """Have a new webhook told what comes from now on, by us. It has no record yet."""
        self._change(ident, None, WebhookJob(self._device, 1, self._head(), 0), claims=True)

    def end(self, ident: str) -> None:
        """Have nobody tell *ident* any more: its record goes."""
        if (job := self._replica.tree.fact(job_name(ident))) is not None:
            self._changes.change(Lease(ROOT, job, None, name=job_name(ident)))

    def _is_changing(self, ident: str) -> bool:
        return bool(self._changes.pending(job_name(ident)))

    def _head(self) -> int:
        return int(self._replica.pending.head().seq)

    def _change(
        self,
        ident: str,
        job: WebhookJob | None,
        wanted: WebhookJob,
        *,
        claims: bool = False,
        alone: bool = False,
    ) -> None:
        name = job_name(ident)
        expected = self._replica.tree.fact(name) if job is None else job.encoded()
        self._changes.change(Lease(ROOT, expected, wanted.encoded(), claims, alone, name))
