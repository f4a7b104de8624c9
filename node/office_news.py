"""What the office tells this node: entries and heads from peers, announcements from the network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from lucidnode.discovery.candidate import Candidate
from lucidnode.node.client import wire
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.journal_service import JournalService
from lucidnode.node.mounts import Mount, Mounts
from lucidnode.node.peers.office import Office
from lucidnode.node.roster_service import RosterService
from lucidnode.node.troubles import Troubles

_PUSH_SECONDS = 2.0
"""How long an entry that a peer has may take to reach a mount here before it is fetched."""


class OfficeNews:
    """What peers say, handed on to the mounts. Implements `peers.office.Events`.

    *journal* and *tasks* are set before the office opens.
    """

    journal: JournalService
    tasks: asyncio.TaskGroup

    def __init__(self, mounts: Mounts, troubles: Troubles, clock: Clock) -> None:
        self._mounts = mounts
        self._troubles = troubles
        self._clock = clock
        self._behind: set[Mount] = set()

    def pushed(self, device: DeviceId, project: ProjectId, seq: Seq, body: bytes) -> None:  # noqa: ARG002
        # Verified by the mount, which alone has the keys; an order of arrival is not promised.
        self._mounts.tell(project, wire.Entry(seq, body))

    def heads(self, device: DeviceId, heads: Mapping[ProjectId, tuple[Seq, bytes]]) -> None:
        ours = self.journal.heads()
        for project, (seq, hash_) in heads.items():
            if ours.get(project, (seq, hash_)) == (seq, hash_):
                continue
            if ours[project][0] == seq:
                self._troubles.tell(
                    f"this node and {device[:8]} see different histories of project {project[:8]}: "
                    "the bucket was rolled back or tampered with"
                )
        for mount in self._mounts:
            head = heads.get(mount.project, (0, b""))[0]
            if head > mount.stats.head and mount not in self._behind:
                self._behind.add(mount)
                self.tasks.create_task(self._catch_up(mount, head))

    def trouble(self, message: str) -> None:
        self._troubles.tell(message)

    async def _catch_up(self, mount: Mount, head: int) -> None:
        """Fetch what *mount* still lacks of *head*: a push can be lost with the link it was on."""
        await self._clock.sleep(_PUSH_SECONDS)
        self._behind.discard(mount)
        if mount.stats.head < head:
            with contextlib.suppress(NodeError):
                for entry in await self.journal.following(mount.project, Seq(mount.stats.head)):
                    mount.tell(entry)


class Announcements:
    """What mDNS finds, for the office. Implements `mdns.Listener`."""

    def __init__(self, office: Office, roster: RosterService) -> None:
        self._office = office
        self._roster = roster

    def found(self, instance: str, candidate: Candidate) -> None:
        # Tagged with the studio's key, so a member: one that joined a moment ago.
        if candidate.device is not None and candidate.device not in self._roster.current.devices:
            self._roster.look_soon()
        self._office.found(instance, candidate)

    def gone(self, instance: str) -> None:
        self._office.gone(instance)
