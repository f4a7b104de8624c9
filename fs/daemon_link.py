"""The conversation of one mount with the node daemon, kept up across restarts of the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

import msgspec

from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import Alert
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.conflicts import ConflictQuery, ConflictReply
from lucidnode.node.client.daemon_socket.mounts import DaemonEvents, DaemonMounts
from lucidnode.node.client.errors import DaemonUnreachable, NodeError
from lucidnode.node.client.file_blocks import BlocksPage, BlocksQuery
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq, block_ids
from lucidnode.node.client.pins import PinsQuery, PinsReply
from lucidnode.node.client.supervision import Tasks
from lucidnode.node.client.webhooks import ProjectWebhooks, WebhookQuery, WebhookReply

log = logging.getLogger(__name__)

_RECONNECT_S = 0.5
_MAX_RECONNECT_S = 5.0
"""Seconds between attempts to reach a daemon that went away, doubling up to the last."""

_STATS_INTERVAL_S = 1.0

_MOST_WORDS = 256
"""What may wait to be said to other mounts: it is said again while it matters."""

Facts = dict[str, str | int | float | bool | list[str]]


class DaemonEventHandler(Protocol):
    """What the daemon's messages are for."""

    def hinted(self, seq: Seq) -> None:
        """Look at the journal: somebody says that there is news at *seq*."""

    def roster_news(self) -> None:
        """Read the log of members again: it has grown."""

    def copy_met(self, host: str) -> None:
        """Write nothing more: another daemon, at *host*, is this workstation, and was it before us."""

    def office_word(self, device: DeviceId, word: bytes) -> None:
        """Hear what the mount of this project on *device* says, sealed."""

    def not_linked(self, device: DeviceId) -> None:
        """Hear that what was said to *device* does not go there."""

    def uploaded(self, blocks: list[BlockId]) -> None:
        """Note that *blocks* are in the bucket."""

    def stats(self) -> mount_messages.MountStats:
        """Return the totals of this mount."""

    def follow(self, *, names: bool) -> None:
        """Keep what programs ask for from now on, with *names* or without."""

    def ignore(self) -> None:
        """Keep it no longer."""

    def accesses(self) -> mount_messages.Accesses | None:
        """Return the oldest of what was kept, None if there is nothing more."""

    async def events(self, query: mount_messages.EventsQuery) -> mount_messages.EventsPage:
        """Return what happened in the project after the place that *query* names."""

    async def blocks(self, query: BlocksQuery) -> BlocksPage:
        """Return which blocks files lie in."""

    async def pins(self, query: PinsQuery) -> PinsReply:
        """Do what a command wants of the pins, and return them."""

    def webhooks(self) -> ProjectWebhooks:
        """Return the webhooks of the project."""

    async def webhook(self, query: WebhookQuery) -> WebhookReply:
        """Do what the daemon wants of a webhook."""

    async def settle(self, query: ConflictQuery) -> ConflictReply:
        """Settle a conflict."""

    def facts(self) -> Facts:
        """Describe the project in plain words."""

    def alerts(self, *, every: bool) -> list[Alert]:
        """Return what is amiss with this mount; *every* one, or of each kind some."""

    def files_on_their_way(self) -> list[mount_messages.FileOnItsWay]:
        """Return the files whose newest content is not whole in the bucket."""

    async def ask_elsewhere(self) -> None:
        """Ask the mounts of others how far their files on their way are."""

    async def tokens(self) -> list[mount_messages.FileToken]:
        """Return which workstations decide the locks of files."""

    def leases(self) -> list[mount_messages.FileLease]:
        """Return which files workstations have for themselves."""

    async def names(self, devices: Sequence[str]) -> dict[str, str]:
        """Return what people call each of *devices*, as far as anybody does."""


class DaemonLink:
    """One mount's WebSocket, again and again. Use `async with`: that makes the first connection.

    Entering raises a NodeError if there is no daemon, or it wants no such mount.
    """

    def __init__(
        self,
        mounts: DaemonMounts,
        project: ProjectId,
        hello: Callable[[], mount_messages.MountHello],
        clock: Clock,
    ) -> None:
        self._mounts = mounts
        self._project = project
        self._hello = hello
        self._clock = clock
        self._connection = contextlib.AsyncExitStack()
        self._events: DaemonEvents | None = None
        self._told: mount_messages.MountStats | None = None
        self._words: asyncio.Queue[mount_messages.OfficeMessage] = asyncio.Queue(_MOST_WORDS)
        self.has_served = False
        """Programs use the mount, or did before it came back: they lose something if it fails."""

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._events is not None and (error is None or not self.has_served):
            with contextlib.suppress(DaemonUnreachable):
                await self._events.send(mount_messages.Goodbye())
        await self._connection.aclose()

    @property
    def welcome(self) -> mount_messages.MountWelcome:
        """What the daemon said when it last let us in."""
        assert self._events is not None
        return self._events.welcome

    def say(self, device: DeviceId, word: bytes) -> None:
        """Have the mount of this project on *device* hear *word*, if there is a link; dropped if too many wait."""
        if not self._words.full():
            self._words.put_nowait(mount_messages.OfficeMessage(device, word))

    async def run(self, listener: DaemonEventHandler, tasks: Tasks) -> None:
        """Pass messages both ways until cancelled; answers are errands among *tasks*."""
        while True:
            assert self._events is not None
            try:
                await self._converse(self._events, listener, tasks)
            except* NodeError as group:
                log.warning("the daemon was not understood: %s", group.exceptions[0])
            log.warning("the connection to the daemon has ended; connecting again")
            await self._connection.aclose()
            await self._reconnect()

    async def _connect(self) -> None:
        self._events = await self._connection.enter_async_context(
            self._mounts.events(
                self._project, msgspec.structs.replace(self._hello(), told=self._told)
            )
        )

    async def _reconnect(self) -> None:
        backoff = Backoff(None, _RECONNECT_S, _MAX_RECONNECT_S)
        while True:
            await self._clock.sleep(backoff.pause())
            try:
                await self._connect()
                return
            except NodeError:
                continue

    async def _converse(
        self, events: DaemonEvents, listener: DaemonEventHandler, errands: Tasks
    ) -> None:
        async with asyncio.TaskGroup() as tasks:
            telling = [
                tasks.create_task(self._tell_stats(events, listener)),
                tasks.create_task(self._tell_words(events)),
            ]
            async for message in events:
                self._hear(message, events, listener, errands)
            for task in telling:
                task.cancel()
        # Whoever followed has to ask anew.
        listener.ignore()

    async def _tell_stats(self, events: DaemonEvents, listener: DaemonEventHandler) -> None:
        told = None
        # Of webhooks a daemon hears only where there are any: an earlier one knows nothing of them.
        told_webhooks = ProjectWebhooks([])
        while True:
            stats, webhooks = listener.stats(), listener.webhooks()
            try:
                if stats != told:
                    await self._send_stats(events, stats)
                if webhooks != told_webhooks:
                    await events.send(webhooks)
                    told_webhooks = webhooks
                while (accesses := listener.accesses()) is not None:
                    await events.send(accesses)
            except DaemonUnreachable:
                # The reading side notices as well, and reconnects.
                return
            told = stats
            await self._clock.sleep(_STATS_INTERVAL_S)

    async def _send_stats(self, events: DaemonEvents, stats: mount_messages.MountStats) -> None:
        await events.send(stats)
        self._told = stats

    async def _tell_words(self, events: DaemonEvents) -> None:
        with contextlib.suppress(DaemonUnreachable):
            while True:
                await events.send(await self._words.get())

    def _hear(
        self,
        message: mount_messages.FromDaemon,
        events: DaemonEvents,
        listener: DaemonEventHandler,
        errands: Tasks,
    ) -> None:
        match message:
            case mount_messages.Look(seq=seq):
                listener.hinted(Seq(seq))
            case mount_messages.CopyMet(host=host):
                listener.copy_met(host)
            case mount_messages.RosterNews():
                listener.roster_news()
            case mount_messages.OfficeMessage(device=device, word=word):
                listener.office_word(DeviceId(device), word)
            case mount_messages.NotLinked(device=device):
                listener.not_linked(DeviceId(device))
            case mount_messages.StatusQuery():
                # What cannot be described is no reason to hear nothing more.
                _ = errands.create_task(
                    self._describe(message, events, listener), name="describing the project"
                )
            case mount_messages.EventsQuery():
                _ = errands.create_task(
                    self._tell_events(message, events, listener), name="telling what happened"
                )
            case BlocksQuery():
                _ = errands.create_task(
                    self._tell_blocks(message, events, listener), name="telling blocks of files"
                )
            case PinsQuery():
                _ = errands.create_task(
                    self._tell_pins(message, events, listener), name="telling what is pinned"
                )
            case WebhookQuery():
                _ = errands.create_task(
                    self._order_webhook(message, events, listener), name="minding a webhook"
                )
            case ConflictQuery():
                _ = errands.create_task(
                    self._settle(message, events, listener), name="settling a conflict"
                )
            case mount_messages.BlocksUploaded(ids=ids):
                listener.uploaded(block_ids(ids))
            case mount_messages.Follow(names=names):
                listener.follow(names=names)
            case mount_messages.Ignore():
                listener.ignore()
            case mount_messages.MountWelcome() | mount_messages.MountRejected():
                pass

    async def _describe(
        self, query: mount_messages.StatusQuery, events: DaemonEvents, listener: DaemonEventHandler
    ) -> None:
        names = await listener.names(query.devices)
        async with asyncio.TaskGroup() as asking:  # each may take as long as somebody's silence
            tokens = asking.create_task(listener.tokens())
            _ = asking.create_task(listener.ask_elsewhere())
        stats = listener.stats()
        answer = mount_messages.StatusReply(
            query.number,
            listener.facts(),
            listener.alerts(every=query.every_alert),
            listener.files_on_their_way(),
            names,
            tokens.result(),
            listener.leases(),
        )
        with contextlib.suppress(DaemonUnreachable):
            # Of the same moment as the answer: a save that is neither on its way nor counted as waiting
            # would look as if it were safe in the bucket.
            await self._send_stats(events, stats)
            await events.send(answer)

    async def _tell_events(
        self, query: mount_messages.EventsQuery, events: DaemonEvents, listener: DaemonEventHandler
    ) -> None:
        page = await listener.events(query)
        with contextlib.suppress(DaemonUnreachable):
            await events.send(page)

    async def _tell_blocks(
        self, query: BlocksQuery, events: DaemonEvents, listener: DaemonEventHandler
    ) -> None:
        page = await listener.blocks(query)
        with contextlib.suppress(DaemonUnreachable):
            await events.send(page)

    async def _tell_pins(
        self, query: PinsQuery, events: DaemonEvents, listener: DaemonEventHandler
    ) -> None:
        reply = await listener.pins(query)
        with contextlib.suppress(DaemonUnreachable):
            await events.send(reply)

    async def _order_webhook(
        self, query: WebhookQuery, events: DaemonEvents, listener: DaemonEventHandler
    ) -> None:
        reply = await listener.webhook(query)
        with contextlib.suppress(DaemonUnreachable):
            if query.order in {"add", "remove"}:
                await events.send(listener.webhooks())  # known by the time of the answer
            await events.send(reply)

    async def _settle(
        self, query: ConflictQuery, events: DaemonEvents, listener: DaemonEventHandler
    ) -> None:
        reply = await listener.settle(query)
        with contextlib.suppress(DaemonUnreachable):
            await events.send(reply)
