"""The mounts of this workstation, as the daemon sees them: one event stream for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import msgspec

from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import LOST, UNSENT
from lucidnode.node.client.conflicts import ConflictOrder, ConflictQuery, ConflictReply
from lucidnode.node.client.errors import NotThere, Refused, Unavailable
from lucidnode.node.client.file_blocks import BlocksPage, BlocksQuery
from lucidnode.node.client.ids import DeviceId, ProjectId, parse_device_id
from lucidnode.node.client.pins import PinOrder, PinPlace, PinsQuery, PinsReply
from lucidnode.node.client.webhooks import (
    ProjectWebhook,
    ProjectWebhooks,
    WebhookOrder,
    WebhookQuery,
    WebhookReply,
)
from lucidnode.node.mount_questions import MountQuestions

_BACKLOG = 256
"""Events that may wait for a mount. One that reads none for so long finds the rest by polling."""

_ANSWER_S = 1.0

_EVENTS_S = 60.0
"""Seconds for a page of events. A mount answers in 15 if nothing happens."""

_BLOCKS_S = 60.0
"""Seconds for a page of blocks, or the pins, which takes some milliseconds."""

_READERS = 64
"""Questions for events that may wait for one mount, or orders for its webhooks, or for conflicts."""

_UNREAD = 256
"""Messages that wait for somebody who follows a mount."""


def lost_topic(project: ProjectId) -> str:
    """Return the topic of the alert that the mount of *project* has lost its process."""
    return f"{LOST}:{project}"


def unsent_topic(project: ProjectId) -> str:
    """Return the topic of the alert that changes wait for the next mount of *project*."""
    return f"{UNSENT}:{project}"


Relay = Callable[[DeviceId, ProjectId, bytes], bool]
"""Brings what a mount says to that of the same project on a device; tells whether there is a link to it."""


def _to_nobody(_device: DeviceId, _project: ProjectId, _word: bytes) -> bool:
    return False


class Mount:
    """A registered mount: what it said of itself, and a queue of what to tell it."""

    def __init__(
        self,
        project: ProjectId,
        hello: mount_messages.MountHello,
        relay: Relay = _to_nobody,
    ) -> None:
        """Take what it said, and who brings its words to the mounts of others."""
        self._relay = relay
        self.project = project
        self.hello = hello
        self.stats = mount_messages.MountStats(head=hello.head)
        self.outbox: asyncio.Queue[mount_messages.FromDaemon] = asyncio.Queue(_BACKLOG)
        self.has_ended = False
        """Whether it said goodbye."""
        self._followers: set[Follower] = set()
        self._described = MountQuestions[mount_messages.StatusReply](
            self.tell, within_s=_ANSWER_S, silent="the mount does not say how it is"
        )
        self._events = MountQuestions[mount_messages.EventsPage](
            self.tell,
            within_s=_EVENTS_S,
            silent="the mount does not say what happens",
            most=_READERS,
            busy=f"{_READERS} others read the events of this project",
        )
        self._blocks = MountQuestions[BlocksPage](
            self.tell,
            within_s=_BLOCKS_S,
            silent="the drive does not say what its files lie in",
        )
        self._pins = MountQuestions[PinsReply](
            self.tell, within_s=_BLOCKS_S, silent="the drive does not say what is pinned"
        )
        self._webhooks = MountQuestions[WebhookReply](
            self.tell,
            within_s=_EVENTS_S,
            silent="the drive does not say what of its webhooks",
            most=_READERS,
            busy=f"{_READERS} others wait for the webhooks of this project",
        )
        self._conflicts = MountQuestions[ConflictReply](
            self.tell,
            within_s=_BLOCKS_S,
            silent="the drive does not say whether it is settled",
            most=_READERS,
            busy=f"{_READERS} other conflicts are being settled",
        )
        self.webhooks: list[ProjectWebhook] = []
        """The webhooks of the project, as the mount has told of them last."""

    def tell(self, message: mount_messages.FromDaemon) -> None:
        """Queue *message*; dropped when the mount has not listened for long."""
        if not self.outbox.full():
            self.outbox.put_nowait(message)

    def heard(self, message: mount_messages.FromMount) -> None:
        """Take in what the mount said. Raises Refused for what a mount does not say."""
        match message:
            case mount_messages.MountStats():
                self.stats = _without(message, self.hello.told)
            case mount_messages.StatusReply():
                self._described.heard(message.number, message)
            case mount_messages.Accesses():
                for follower in self._followers:
                    follower.heard(message)
            case mount_messages.EventsPage():
                self._events.heard(message.number, message)
            case BlocksPage():
                self._blocks.heard(message.number, message)
            case PinsReply():
                self._pins.heard(message.number, message)
            case ProjectWebhooks():
                self.webhooks = message.webhooks
            case WebhookReply():
                self._webhooks.heard(message.number, message)
            case ConflictReply():
                self._conflicts.heard(message.number, message)
            case mount_messages.Goodbye():
                self.has_ended = True
            case mount_messages.OfficeMessage():
                if not self._relay(parse_device_id(message.device), self.project, message.word):
                    self.tell(mount_messages.NotLinked(message.device))
            case mount_messages.MountHello():
                raise Refused("a mount introduces itself once")

    async def describe(
        self, *, every_alert: bool, devices: Sequence[str] = ()
    ) -> mount_messages.StatusReply | None:
        """Ask the mount to describe itself, and what people call *devices*; None if it does not answer within a second.

        The daemon holds no key to names, so this is shown and forgotten.
        """
        try:
            return await self._described.ask(
                lambda number: mount_messages.StatusQuery(number, every_alert, list(devices))
            )
        except Unavailable:
            return None

    async def events(self, reader: str, after: int | None, told: int) -> mount_messages.EventsPage:
        """Return what comes next for *reader* (mount_messages.EventsQuery); an empty page if that is nothing soon.

        Raises NotThere if the mount ends, Unavailable if it does not answer, and Refused while as
        many wait already as there may be. The page is passed on and forgotten: it names files.
        """
        return await self._events.ask(
            lambda number: mount_messages.EventsQuery(number, reader, after, told)
        )

    async def blocks(self, inos: list[int], offset: int) -> BlocksPage:
        """Return what the first of *inos* lie in, of the first from *offset* on (BlocksQuery).

        Raises NotThere if the mount ends, Unavailable if it does not answer.
        """
        return await self._blocks.ask(lambda number: BlocksQuery(number, inos, offset))

    async def pins(self, order: PinOrder, places: list[PinPlace]) -> PinsReply:
        """Have the mount do *order* with its pins, and return them.

        Raises NotThere if the mount ends, Unavailable if it does not answer. They are passed on and
        forgotten: they name files.
        """
        return await self._pins.ask(lambda number: PinsQuery(number, order, places))

    async def webhook(
        self,
        order: WebhookOrder,
        ident: str,
        place: tuple[int, int] = (0, 0),
        *,
        url: str = "",
        secret: str = "",
        paths: bool = False,
    ) -> WebhookReply:
        """Have the mount do *order* with the webhook *ident* (WebhookQuery).

        Raises NotThere if the mount ends, Unavailable if it does not answer, and Refused while as many
        wait already as there may be.
        """
        return await self._webhooks.ask(
            lambda number: WebhookQuery(
                number=number,
                order=order,
                id=ident,
                url=url,
                secret=secret,
                paths=paths,
                after=place[0],
                told=place[1],
            )
        )

    async def settle(self, path: str, order: ConflictOrder) -> None:
        """Have the mount settle the conflict copy at *path*.

        Raises Refused with the reason if it does not, NotThere if the mount ends, Unavailable if it
        does not answer.
        """
        reply = await self._conflicts.ask(lambda number: ConflictQuery(number, path, order))
        if reply.refused:
            raise Refused(reply.refused)

    @contextlib.contextmanager
    def followed(self, *, names: bool) -> Iterator[Follower]:
        """Have the mount tell what programs ask of it, with *names* or without."""
        follower = Follower(names=names)
        self._followers.add(follower)
        self._tell_followed()
        try:
            yield follower
        finally:
            self._followers.discard(follower)
            self._tell_followed()

    def ended(self) -> None:
        """Note that the mount tells nothing more."""
        for follower in self._followers:
            follower.over.set()
        self._events.end()
        self._blocks.end()
        self._pins.end()
        self._webhooks.end()
        self._conflicts.end()

    def _tell_followed(self) -> None:
        if self._followers:
            self.tell(mount_messages.Follow(any(follower.names for follower in self._followers)))
        else:
            self.tell(mount_messages.Ignore())


class Follower:
    """Somebody who follows what programs ask of one mount."""

    def __init__(self, *, names: bool) -> None:
        self.names = names
        self.over = asyncio.Event()
        """Set when nothing more comes."""
        self._heard: deque[mount_messages.Accesses] = deque()
        self._any = asyncio.Event()
        self._left_out = 0

    def heard(self, message: mount_messages.Accesses) -> None:
        """Take in what the mount told. Who reads too slowly hears how much was left out."""
        if len(self._heard) >= _UNREAD:
            self._left_out += len(message.requests) + message.left_out
            return
        requests = message.requests
        if not self.names:
            requests = [msgspec.structs.replace(request, name="") for request in requests]
        left_out, self._left_out = self._left_out, 0
        self._heard.append(mount_messages.Accesses(requests, message.left_out + left_out))
        self._any.set()

    async def take(self, wait_s: float) -> mount_messages.Accesses | None:
        """Return what comes next; None if that is nothing in *wait_s*."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._any.wait()
        if not self._heard:
            return None
        message = self._heard.popleft()
        if not self._heard:
            self._any.clear()
        return message


class MountTable:
    """All mounts here, at most one for each project."""

    def __init__(self) -> None:
        self._by_project: dict[ProjectId, Mount] = {}
        self._ended = mount_messages.MountStats()

    def __iter__(self) -> Iterator[Mount]:
        return iter(list(self._by_project.values()))

    def check_free(self, project: ProjectId) -> None:
        """Raise Refused if *project* is mounted here already."""
        if project in self._by_project:
            other = self._by_project[project].hello.mountpoint
            raise Refused(f"this project is mounted already, at {other}")

    def add(self, mount: Mount) -> None:
        """Register *mount*. Raises Refused if its project is mounted here already."""
        self.check_free(mount.project)
        self._by_project[mount.project] = mount

    def remove(self, mount: Mount) -> None:
        """Forget *mount*; what it read and wrote stays counted."""
        mount.ended()
        if self._by_project.get(mount.project) is mount:
            del self._by_project[mount.project]
            self._ended = _sum(self._ended, mount.stats)

    def mount(self, project: ProjectId) -> Mount:
        """Return the mount of *project*. Raises NotThere if there is none."""
        mount = self._by_project.get(project)
        if mount is None:
            raise NotThere("this project is not mounted here")
        return mount

    def tell(self, project: ProjectId, message: mount_messages.FromDaemon) -> None:
        """Tell the mount of *project*, if there is one."""
        mount = self._by_project.get(project)
        if mount is not None:
            mount.tell(message)

    def tell_all(self, message: mount_messages.FromDaemon) -> None:
        """Tell every mount."""
        for mount in self:
            mount.tell(message)

    def head(self, project: ProjectId) -> int:
        """Return which entry the mount of *project* stands on, 0 if there is no mount."""
        mount = self._by_project.get(project)
        return 0 if mount is None else mount.stats.head

    def totals(self) -> mount_messages.MountStats:
        """Return the sums over all mounts, past ones included."""
        total = self._ended
        for mount in self:
            total = _sum(total, mount.stats)
        return total


_COUNTED_BYTES = (
    "read_memory",
    "read_cache",
    "read_peer",
    "read_bucket",
    "read_unsent",
    "read_again",
    "written",
    "prefetched",
    "prefetched_used",
)


def _without(
    stats: mount_messages.MountStats, told: mount_messages.MountStats | None
) -> mount_messages.MountStats:
    """Return *stats* less the bytes that an earlier daemon was *told* of, and has counted."""
    if told is None:
        return stats
    return msgspec.structs.replace(
        stats,
        **{name: max(0, getattr(stats, name) - getattr(told, name)) for name in _COUNTED_BYTES},
    )


def _sum(a: mount_messages.MountStats, b: mount_messages.MountStats) -> mount_messages.MountStats:
    figures = {
        name: getattr(a, name) + getattr(b, name)
        for name in mount_messages.MountStats.__struct_fields__
        if name != "requests"
    }
    requests = dict(a.requests)
    for operation, times in b.requests.items():
        other = requests.get(operation)
        requests[operation] = times if other is None else _both(other, times)
    return mount_messages.MountStats(**figures, requests=requests)


def _both(
    a: mount_messages.RequestTimes, b: mount_messages.RequestTimes
) -> mount_messages.RequestTimes:
    counts = [one + other for one, other in zip(a.counts, b.counts, strict=True)]
    return mount_messages.RequestTimes(a.seconds + b.seconds, a.failed + b.failed, counts)
