"""What the office tells this node: hints and heads from peers, announcements from the network.

A peer's word decides nothing. What it says of the journal makes us look into the bucket, at a
bounded rate, and a person hears of what the bucket then shows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from lucidnode.discovery.candidate import Candidate
from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NotThere, Unavailable
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.supervision import Tasks
from lucidnode.node.journal.service import JournalService
from lucidnode.node.mounts import MountTable
from lucidnode.node.peers.network import PeerNetwork
from lucidnode.node.roster.service import RosterService
from lucidnode.node.token_bucket import TokenBucket

_PUSH_S = 2.0
"""How long an entry that a peer has may take to reach a mount here before it is looked for."""

MAX_SEQS_AHEAD = 16
"""How far beyond what the bucket has shown a hint may lead."""

_CLAIM_S = 10.0
"""How often what one device says of one project may make us look into the bucket."""

_CHECKS_PER_S = 0.5
_CHECKS_BURST = 16
"""How many of those, of all projects together, one device may cause."""

_WORDS_PER_S = 50
_WORDS_BURST = 200
"""What one device may say to mounts here: a word for each lock that programs there want."""

_SLACK_S = 0.5
"""Timers are no exact thing."""


class PeerEventHandlers:
    """What peers say, checked and handed on to the mounts. Implements `PeerEvents`.

    *projects* are those of the studio, and *heard_of_roster* compares logs of members.
    *counted* takes in what they counted by day.
    """

    def __init__(
        self,
        mounts: MountTable,
        journal: JournalService,
        tasks: Tasks,
        projects: Callable[[], Collection[ProjectId]],
        heard_of_roster: Callable[[DeviceId, Seq, bytes], None],
        counted: Callable[[DeviceId, Mapping[str, Sequence[int]]], None],
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        self._mounts = mounts
        self._journal = journal
        self._tasks = tasks
        self._projects = projects
        self._heard_of_roster = heard_of_roster
        self._counted = counted
        self._alerts = alerts
        self._clock = clock
        # Bounded as the studio is: by its devices, and by its projects.
        self._claims: dict[tuple[DeviceId, ProjectId], Sequence[tuple[Seq, bytes]]] = {}
        self._hinted: dict[tuple[DeviceId, ProjectId], Seq] = {}
        self._checked_at: dict[tuple[DeviceId, ProjectId], float] = {}
        self._checks: dict[DeviceId, TokenBucket] = {}
        self._words: dict[DeviceId, TokenBucket] = {}

    def pushed(self, device: DeviceId, project: ProjectId, seq: Seq) -> None:
        if project not in self._projects():
            return
        known = max(self._journal.recent(project), default=self._mounts.head(project))
        hinted = self._hinted.get((device, project), 0)
        # A device that is wrong, or lies, soon has no numbers left until the bucket shows more.
        if max(known, hinted) < seq <= known + MAX_SEQS_AHEAD:
            self._hinted[device, project] = seq
            self._mounts.tell(project, mount_messages.Look(seq))

    def word(self, device: DeviceId, project: ProjectId, word: bytes) -> None:
        if project not in self._projects():
            return
        now = self._clock.boot()
        said = self._words.setdefault(device, TokenBucket(_WORDS_PER_S, _WORDS_BURST, now))
        if said.take(1, now):
            self._mounts.tell(project, mount_messages.OfficeMessage(device, word))

    def days(self, device: DeviceId, days: Mapping[str, Sequence[int]]) -> None:
        self._counted(device, days)

    def heads(
        self, device: DeviceId, heads: Mapping[ProjectId, Sequence[tuple[Seq, bytes]]]
    ) -> None:
        studio = self._projects()
        for project, claims in heads.items():
            if claims and project in studio:
                self._claims[device, project] = claims
                self._weigh(device, project, claims)

    def roster_head(self, device: DeviceId, seq: Seq, hash_: bytes) -> None:
        self._heard_of_roster(device, seq, hash_)

    async def run(self) -> None:
        """Weigh what was said again and again until cancelled: we learn more, and so may they."""
        while True:
            await self._clock.sleep(_CLAIM_S)
            for (device, project), claims in list(self._claims.items()):
                self._weigh(device, project, claims)

    def _weigh(
        self, device: DeviceId, project: ProjectId, claims: Sequence[tuple[Seq, bytes]]
    ) -> None:
        known = self._journal.recent(project)
        if not known:
            return  # nothing of this project was ever read here
        common = [claim for claim in claims if claim[0] in known]
        differing = [claim for claim in common if known[claim[0]] != claim[1]]
        if differing:
            self._check(device, project, *differing[0])
        elif claims[-1][0] > max(known):
            self._check(device, project, *claims[-1])
        elif common:
            self._alerts.end(_topic(device, project))

    def _check(self, device: DeviceId, project: ProjectId, seq: Seq, hash_: bytes) -> None:
        about = device, project
        now = self._clock.boot()
        if now - self._checked_at.get(about, -_CLAIM_S) >= _CLAIM_S - _SLACK_S:
            checks = self._checks.setdefault(device, TokenBucket(_CHECKS_PER_S, _CHECKS_BURST, now))
            if not checks.take(1, now):
                return  # its turn comes with a later round
            self._checked_at[about] = now
            _ = self._tasks.create_task(self._compare(device, project, seq, hash_))

    async def _compare(self, device: DeviceId, project: ProjectId, seq: Seq, hash_: bytes) -> None:
        """See what the bucket has where *device* says that entry *seq* of this hash is."""
        await self._clock.sleep(_PUSH_S)  # for what is only on its way
        ours = self._journal.recent(project).get(seq)
        if ours == hash_:
            return  # it came meanwhile
        try:
            look = self._journal.entry if ours is None else self._journal.proven
            held = await look(project, seq)
            if ours is None and held.hash != hash_:
                held = await self._journal.proven(project, seq)
        except NotThere:
            await self._missing(device, project, seq)
            return
        except Unavailable:
            return  # said elsewhere
        # What is new there is news for the mount; what is other than before, even more so.
        self._mounts.tell(project, mount_messages.Look(seq))
        if held.hash == hash_:
            self._alerts.end(_topic(device, project))
        else:
            self._alerts.begin(
                _topic(device, project),
                f"Device {device[:8]} has another journal entry {seq} of project {project[:8]} than "
                "the bucket.",
                f"Run `lucidnode repair {project}` on that workstation.",
                lasts_s=EVENT_S,
            )

    async def _missing(self, device: DeviceId, project: ProjectId, seq: Seq) -> None:
        try:
            await self._journal.proven(project, seq)
        except NotThere:
            self._mounts.tell(project, mount_messages.Look(seq))
            self._alerts.begin(
                _topic(device, project),
                f"Device {device[:8]} has journal entry {seq} of project {project[:8]}, and the "
                "bucket has not: it lost its newest entries, or that device is not to be trusted.",
                f"Run `lucidnode repair {project} --put-back` on that workstation.",
                lasts_s=EVENT_S,
            )
        except Unavailable:
            return


def _topic(device: DeviceId, project: ProjectId) -> str:
    return f"history:{project}:{device}"


class Announcements:
    """What mDNS finds, for the office. Implements `DiscoveryListener`."""

    def __init__(self, office: PeerNetwork, roster: RosterService) -> None:
        self._office = office
        self._roster = roster

    def found(self, instance: str, candidate: Candidate) -> None:
        # Tagged with the studio's key, so a member: one that joined a moment ago.
        if candidate.device is not None and candidate.device not in self._roster.current.devices:
            self._roster.look_soon()
        self._office.found(instance, candidate)

    def gone(self, instance: str) -> None:
        self._office.gone(instance)
