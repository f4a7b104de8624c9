"""The webhooks of one project at one mount: adds and removes them, and says which are told from here.

The mount holds the job and the secrets, as the log has them; its daemon reaches receivers. Whoever is an
owner may have a project's webhooks told by everybody's workstations; those of others are told from their own
only, for a receiver is an address that machines are sent to.
"""

from __future__ import annotations

import itertools
from typing import Protocol

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.errors import FsError
from lucidnode.fs.leases.lease_changes import LeaseChanges
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import Lease
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.webhooks.webhook_jobs import MIN_USE_S, WebhookJobs
from lucidnode.fs.webhooks.webhook_record import (
    WEBHOOK,
    WebhookRecord,
    ident_in,
    new_record,
    opened_secret,
    record_in,
    record_name,
)
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.webhooks import (
    MAX_WEBHOOKS,
    ProjectWebhook,
    ProjectWebhooks,
    WebhookQuery,
    WebhookReply,
)

CLAIM_S = 15.0
"""How long a daemon that wants to tell something waits for the job, or for another to have told it."""

NOTE_S = 30.0
"""How often the log is told at most how far a receiver is. What was told since then is told twice by who
takes the job of one who died."""

QUIET_S = 5.0
"""The log is told sooner when there was nothing to tell for so long."""

_TICK_S = 1.0

Place = tuple[int, int]


class WebhookRights(Protocol):
    """What the log of members says of a project (fs/commit/project_access.py)."""

    @property
    def may_write(self) -> bool:
        """Whether others would count what we commit."""

    def writer_boxes(self) -> list[bytes]:
        """Return the box keys of all members who may write to the project."""

    def role_of(self, member: bytes) -> str | None:
        """Return what the member with that signing key may do in the project, None for nobody."""


class WebhookKeeper:
    """The webhooks of *project* at the mount of *device*. Keep `run` running, if it may write."""

    def __init__(
        self,
        *,
        replica: Replica,
        project: ProjectId,
        device: DeviceId,
        keys: MemberKeys,
        rights: WebhookRights,
        committer: Committer,
        clock: Clock,
        read_only: bool,
    ) -> None:
        self._replica = replica
        self._project = project
        self._device = device
        self._keys = keys
        self._rights = rights
        self._clock = clock
        self._read_only = read_only
        self._changes = LeaseChanges(replica, committer, clock)
        self._jobs = WebhookJobs(replica, device, self._changes, committer.life, clock)
        committer.life.watch(self._changes.told)
        self._secrets: dict[str, tuple[bytes, str | None]] = {}
        """What was opened of records, by their bytes: a signature is not checked every second."""
        self._told: dict[str, Place] = {}
        """How far receivers were told from here."""
        self._told_at: dict[str, float] = {}
        self._noted_at: dict[str, float] = {}
        self._telling: set[str] = set()
        """Those of which the daemon may be telling something now."""

    # -- what the daemon is told ---------------------------------------------------------------

    def shown(self) -> ProjectWebhooks:
        """Return the webhooks of the project as they are now."""
        return ProjectWebhooks([self._shown(*one) for one in self._records().items()])

    def _shown(self, ident: str, record: WebhookRecord) -> ProjectWebhook:
        job = self._jobs.of(ident)
        why = self._why_not(ident, record)
        secret = None if why else self._secret(ident, record)
        after, told = self._place(ident)
        teller = "" if job is None else job.holder
        return ProjectWebhook(
            ident, record.url, secret or "", record.paths, why, teller, after, told
        )

    def _records(self) -> dict[str, WebhookRecord]:
        """Return the first webhooks there are, by their ids; of more nobody is told."""
        found = (
            (ident, record)
            for name, value in self._replica.tree.facts(WEBHOOK)
            if (ident := ident_in(name)) and (record := record_in(value))
        )
        return dict(itertools.islice(found, MAX_WEBHOOKS))

    def _why_not(self, ident: str, record: WebhookRecord) -> str:
        """Return why it is not told from here, empty if it is."""
        role = self._rights.role_of(record.by)
        if role is None:
            return "who added it is no member of the project any more: an owner can add it again"
        if record.paths and role != "owner":
            return "it is told paths, and who added it is no owner of the studio any more"
        if role != "owner" and record.by != self._keys.public:
            return "who added it is no owner of the studio, so it is told from his own workstations"
        if self._read_only or not self._rights.may_write:
            return "the project is mounted here to be read only"
        if self._secret(ident, record) is None:
            return "this workstation has not been let in yet: that comes with the next message"
        return ""

    def _secret(self, ident: str, record: WebhookRecord) -> str | None:
        value = record.encoded()
        known = self._secrets.get(ident)
        if known is None or known[0] != value:
            known = value, opened_secret(record, self._project, ident, self._keys)
            self._secrets[ident] = known
        return known[1]

    def _place(self, ident: str) -> Place:
        """Return how far it was told, as far as anybody here knows."""
        job = self._jobs.of(ident)
        logged = (0, 0) if job is None else (job.after, job.told)
        return max(logged, self._told.get(ident, logged))

    # -- what the daemon wants -----------------------------------------------------------------

    async def ordered(self, query: WebhookQuery) -> WebhookReply:
        """Do what the daemon wants, and say how the job stands then."""
        refused = ""
        may_tell_s = 0.0
        try:
            match query.order:
                case "add":
                    refused = self._add(query)
                case "remove":
                    refused = self._remove(query.id)
                case "claim":
                    may_tell_s = await self._claim(query.id, (query.after, query.told))
                case "told":
                    self._note_told(query.id, (query.after, query.told))
        except FsError as error:
            refused = str(error)
        return WebhookReply(query.number, may_tell_s, *self._place(query.id), refused)

    def _add(self, query: WebhookQuery) -> str:
        """Add a webhook, or return why not. Raises an FsError."""
        if self._read_only or not self._rights.may_write:
            return "the project is mounted here to be read only"
        if query.paths and self._rights.role_of(self._keys.public) != "owner":
            return "only an owner of the studio may have a webhook told paths"
        if len(self._records()) >= MAX_WEBHOOKS:
            return f"the project has {MAX_WEBHOOKS} webhooks already: remove one first"
        record = new_record(
            self._project,
            query.id,
            query.url,
            query.secret,
            paths=query.paths,
            keys=self._keys,
            device=self._device,
        ).sealed_to(query.secret, self._boxes())
        self._jobs.begin(query.id)
        name = record_name(query.id)
        self._replica.apply(Lease(ROOT, None, record.encoded(), name=name))
        return ""

    def _remove(self, ident: str) -> str:
        """Remove a webhook, or return why not. Raises an FsError."""
        if self._read_only or not self._rights.may_write:
            return "the project is mounted here to be read only"
        record = self._replica.tree.fact(record_name(ident))
        if record is not None:
            self._replica.apply(Lease(ROOT, record, None, name=record_name(ident)))
        self._jobs.end(ident)
        for known in (self._told, self._told_at, self._noted_at, self._secrets):
            known.pop(ident, None)
        return ""

    async def _claim(self, ident: str, wanted: Place) -> float:
        """Return for how long the daemon may tell what comes after *wanted*; 0 if another did, or has the job."""
        asked_at = self._clock.boot()
        while (record := self._records().get(ident)) and not self._why_not(ident, record):
            if self._place(ident) > wanted:
                self._jobs.wants_nothing(ident)
                return 0.0
            self._jobs.ask_for(ident)
            now = self._clock.boot()
            may_tell_s = self._jobs.ours_for(ident)
            if may_tell_s >= MIN_USE_S:
                self._telling.add(ident)
                return may_tell_s + now - asked_at
            if now - asked_at >= CLAIM_S:
                return 0.0
            await self._changes.news()
        return 0.0

    def _note_told(self, ident: str, place: Place) -> None:
        self._telling.discard(ident)
        if place > self._place(ident):
            self._jobs.wants_nothing(ident)
            self._told[ident] = place
            self._told_at[ident] = self._clock.boot()

    # -- what is done by itself ----------------------------------------------------------------

    async def run(self) -> None:
        """Have the log say how far receivers are, and let new members in, until cancelled."""
        while True:
            for ident, record in self._records().items():
                self._note(ident)
                self._let_in(ident, record)
            await self._clock.sleep(_TICK_S)

    def _note(self, ident: str) -> None:
        now, place = self._clock.boot(), self._told.get(ident)
        if place is None:
            return
        is_quiet = now - self._told_at.get(ident, now) >= QUIET_S
        if is_quiet or now - self._noted_at.setdefault(ident, now) >= NOTE_S:
            self._jobs.note(ident, *place)
            self._noted_at[ident] = now

    def _let_in(self, ident: str, record: WebhookRecord) -> None:
        """Seal the secret to whoever may tell it by now; the one who has the job does that.

        For two who had read the log of members up to different places would undo each other's work.
        """
        job = self._jobs.of(ident)
        if job is None or job.holder != self._device:
            return
        secret = self._secret(ident, record)
        if secret is None or self._why_not(ident, record):
            return
        sealed = record.sealed_to(secret, self._boxes())
        if sealed.seals.keys() != record.seals.keys():
            change = Lease(ROOT, record.encoded(), sealed.encoded(), name=record_name(ident))
            self._changes.change(change)

    def _boxes(self) -> list[bytes]:
        return [self._keys.box, *self._rights.writer_boxes()]

    def resign(self) -> None:
        """Say with the next entry that others may tell what we tell, but for what is being told now."""
        for ident in self._records():
            if ident not in self._telling:
                self._jobs.resign(ident, *self._place(ident))
