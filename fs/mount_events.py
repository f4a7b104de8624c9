"""What the daemon tells a mount, and what it asks of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from lucidnode.fs.checkpoints.keeper import CheckpointKeeper
from lucidnode.fs.collection.turns import shown_turn
from lucidnode.fs.commit.catching_up import CatchingUp
from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.commit.rights_follower import RightsFollower
from lucidnode.fs.daemon_link import Facts
from lucidnode.fs.errors import FsError
from lucidnode.fs.events.project_events import ProjectEvents
from lucidnode.fs.files.blocks_of_files import BlocksOfFiles
from lucidnode.fs.files.conflict_settling import ConflictSettling
from lucidnode.fs.files.conflicts import Conflicts
from lucidnode.fs.format.project_facts import REKEY, rekey_progress_in
from lucidnode.fs.kernel.spans import Spans
from lucidnode.fs.leases.recalls import Recalls
from lucidnode.fs.leases.shown_leases import ShownLeases
from lucidnode.fs.leases.shown_progress import ShownProgress
from lucidnode.fs.leases.shown_tokens import ShownTokens
from lucidnode.fs.pins.pins import Pins
from lucidnode.fs.read.read_counts import ReadCounts
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.snapshots.snapshot_row import snapshots_of
from lucidnode.fs.webhooks.webhook_keeper import WebhookKeeper
from lucidnode.fs.write.shipments import Shipments
from lucidnode.fs.write.writer import Writer
from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import Alert, Alerts
from lucidnode.node.client.conflicts import ConflictQuery, ConflictReply
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.file_blocks import BlocksPage, BlocksQuery
from lucidnode.node.client.ids import BlockId, DeviceId, Seq
from lucidnode.node.client.pins import PinsQuery, PinsReply
from lucidnode.node.client.webhooks import ProjectWebhooks, WebhookQuery, WebhookReply

_SNAPSHOTS = 5
"""The newest of them are named; `lucidnode snapshot list` has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountEvents:
    """One mount as its daemon sees it: the DaemonEventHandler of its link."""

    access: ProjectAccess
    spans: Spans
    writer: Writer
    counts: ReadCounts
    replica: Replica
    committer: Committer
    catching_up: CatchingUp
    checkpoints: CheckpointKeeper
    shipments: Shipments
    shown_progress: ShownProgress
    blocks_of_files: BlocksOfFiles
    pinned: Pins
    conflicts: Conflicts
    settling: ConflictSettling
    kept_webhooks: WebhookKeeper
    shown_tokens: ShownTokens
    shown_leases: ShownLeases
    happened: ProjectEvents
    raised: Alerts
    rights: RightsFollower
    recalls: Recalls
    asked_for: set[str] = field(default_factory=set)
    """Devices for whose names the log of members was read again."""

    def hinted(self, seq: Seq) -> None:
        """Look at the journal: somebody says that there is news at *seq*."""
        self.committer.hinted(seq)

    def roster_news(self) -> None:
        """Read the log of members again: it has grown."""
        self.rights.look()

    def copy_met(self, host: str) -> None:
        """Write nothing more: another daemon, at *host*, is this workstation, and was it before us."""
        self.committer.end(
            f"another daemon, at {host}, works with this workstation's keys, and began before this one"
        )

    def office_word(self, device: DeviceId, word: bytes) -> None:
        """Hear what the mount of this project on *device* says, sealed."""
        self.recalls.heard(device, word)

    def not_linked(self, device: DeviceId) -> None:
        """Hear that what was said to *device* does not go there."""
        self.recalls.not_linked(device)

    def uploaded(self, blocks: list[BlockId]) -> None:
        """Note that *blocks* are in the bucket."""
        self.shipments.note_arrived(blocks)

    def stats(self) -> mount_messages.MountStats:
        """Return the totals of this mount."""
        counts = self.counts
        return mount_messages.MountStats(
            read_memory=counts.memory,
            read_cache=counts.by_source["cache"],
            read_peer=counts.by_source["peer"],
            read_bucket=counts.by_source["bucket"],
            read_unsent=counts.unsent,
            read_again=counts.again,
            written=self.writer.written,
            prefetched=counts.ahead,
            prefetched_used=counts.ahead_used,
            pending=self.replica.pending.count(),
            conflicts=self.conflicts.count(),
            alerts=len(self.raised.current()),
            head=self.replica.pending.head().seq,
            checkpoint=self.checkpoints.newest,
            reading_to=self.catching_up.upto or 0,
            requests=self.spans.times(),
        )

    def follow(self, *, names: bool) -> None:
        """Keep what programs ask for from now on, with *names* or without."""
        self.spans.follow(names=names)

    def ignore(self) -> None:
        """Keep it no longer."""
        self.spans.ignore()

    def accesses(self) -> mount_messages.Accesses | None:
        """Return the oldest of what was kept, None if there is nothing more."""
        return self.spans.take()

    async def events(self, query: mount_messages.EventsQuery) -> mount_messages.EventsPage:
        """Return what happened in the project after the place that *query* names."""
        return await self.happened.page(query)

    async def blocks(self, query: BlocksQuery) -> BlocksPage:
        """Return which blocks files lie in."""
        return await self.blocks_of_files.page(query)

    async def pins(self, query: PinsQuery) -> PinsReply:
        """Do what a command wants of the pins, and return them."""
        return await self.pinned.ordered(query)

    def webhooks(self) -> ProjectWebhooks:
        """Return the webhooks of the project."""
        return self.kept_webhooks.shown()

    async def webhook(self, query: WebhookQuery) -> WebhookReply:
        """Do what the daemon wants of a webhook."""
        return await self.kept_webhooks.ordered(query)

    async def settle(self, query: ConflictQuery) -> ConflictReply:
        """Settle a conflict."""
        return await self.settling.ordered(query)

    def facts(self) -> Facts:
        """Describe the project in plain words."""
        size, inodes = self.replica.tree.usage()
        return {
            "project": self.access.name,
            "workstation": self.access.workstation,
            "member": self.access.who(self.access.device)[0],
            "role": self.access.role or "",
            "bytes": size,
            "inodes": inodes,
            "conflicts": self.conflicts.paths(),
            "snapshots": [each.name for each in snapshots_of(self.replica.tree)[-_SNAPSHOTS:]],
            "read_only_because": self.committer.stopped or "",
            **self._collected(),
            **self._rekeyed(),
        }

    def _rekeyed(self) -> Facts:
        """Return how far what is older than the newest epoch is sealed anew, if that was begun."""
        said = rekey_progress_in(self.replica.tree.fact(REKEY))
        if said is None:
            return {}
        member, workstation = self.access.who(said.device)
        return {
            "rekey_at": said.wall_ns / 1e9,
            "rekey_by": f"{workstation} ({member})" if member else workstation,
            "rekey_blocks": said.blocks,
            "rekey_bytes": said.bytes,
            "rekey_is_behind": said.epoch < self.access.keys().current,
        }

    def _collected(self) -> Facts:
        turn = shown_turn(self.replica.tree)
        if turn is None:
            return {}
        member, workstation = self.access.who(turn.by)
        return {
            "collected_begun": turn.begun,
            "collected_ended": turn.ended,
            "collected_by": f"{workstation} ({member})" if member else workstation,
            "collected_bytes": turn.freed_bytes,
            "collected_next": turn.next,
        }

    def alerts(self, *, every: bool) -> list[Alert]:
        """Return what is amiss with this mount; *every* one, or of each kind some."""
        return self.raised.every() if every else self.raised.current()

    def files_on_their_way(self) -> list[mount_messages.FileOnItsWay]:
        """Return the files whose newest content is not whole in the bucket."""
        return self.shown_progress.files()

    async def ask_elsewhere(self) -> None:
        """Ask the mounts of others how far their files on their way are."""
        await self.shown_progress.ask()

    async def tokens(self) -> list[mount_messages.FileToken]:
        """Return which workstations decide the locks of files, and which processes have some."""
        return await self.shown_tokens.tokens()

    def leases(self) -> list[mount_messages.FileLease]:
        """Return which files workstations have for themselves."""
        return self.shown_leases.leases()

    async def names(self, devices: Sequence[str]) -> dict[str, str]:
        """Return what people call each of *devices*, as far as anybody does."""
        strangers = {device for device in devices if not self.access.who(DeviceId(device))[0]}
        if not strangers <= self.asked_for:
            # They joined after we had read the log of members; who is in no log is asked for once.
            with contextlib.suppress(NodeError, FsError):
                await self.access.refresh("try")
                self.asked_for.update(strangers)
        called = ((device, self.access.who(DeviceId(device))) for device in devices)
        return {device: f"{name} ({member})" for device, (member, name) in called if member}
