"""The mounts of this workstation, as the daemon sees them: one event stream for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.errors import Refused
from lucidnode.node.client.ids import ProjectId

_BACKLOG = 256
"""Events that may wait for a mount. One that reads none for so long finds the rest by polling."""

_ANSWER_SECONDS = 1.0


class Mount:
    """A registered mount: what it said of itself, and a queue of what to tell it."""

    def __init__(self, project: ProjectId, hello: wire.Hello) -> None:
        self.project = project
        self.hello = hello
        self.stats = wire.MountStats(head=hello.head)
        self.outbox: asyncio.Queue[wire.FromDaemon] = asyncio.Queue(_BACKLOG)
        self.has_ended = False
        """Whether it said goodbye."""
        self._asked: dict[int, asyncio.Future[wire.Answer]] = {}
        self._number = 0

    def tell(self, message: wire.FromDaemon) -> None:
        """Queue *message*; dropped when the mount has not listened for long."""
        if not self.outbox.full():
            self.outbox.put_nowait(message)

    def heard(self, message: wire.FromMount) -> None:
        """Take in what the mount said."""
        match message:
            case wire.MountStats():
                self.stats = message
            case wire.Answer():
                waiting = self._asked.pop(message.number, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
            case wire.Goodbye():
                self.has_ended = True
            case wire.Hello():
                raise Refused("a mount introduces itself once")

    async def in_plain_words(self) -> wire.Answer | None:
        """Ask the mount to describe itself; None if it does not answer within a second.

        The daemon holds no key to names, so this is shown and forgotten.
        """
        self._number += 1
        number = self._number
        answer: asyncio.Future[wire.Answer] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self.tell(wire.Ask(number))
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            return None
        finally:
            self._asked.pop(number, None)


class Mounts:
    """All mounts here, at most one for each project."""

    def __init__(self) -> None:
        self._by_project: dict[ProjectId, Mount] = {}
        self._ended = wire.MountStats()

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
        if self._by_project.get(mount.project) is mount:
            del self._by_project[mount.project]
            self._ended = _sum(self._ended, mount.stats)

    def tell(self, project: ProjectId, message: wire.FromDaemon) -> None:
        """Tell the mount of *project*, if there is one."""
        mount = self._by_project.get(project)
        if mount is not None:
            mount.tell(message)

    def head(self, project: ProjectId) -> int:
        """Return which entry the mount of *project* stands on, 0 if there is no mount."""
        mount = self._by_project.get(project)
        return 0 if mount is None else mount.stats.head

    def totals(self) -> wire.MountStats:
        """Return the sums over all mounts, past ones included."""
        total = self._ended
        for mount in self:
            total = _sum(total, mount.stats)
        return total


def _sum(a: wire.MountStats, b: wire.MountStats) -> wire.MountStats:
    return wire.MountStats(
        **{name: getattr(a, name) + getattr(b, name) for name in msgspec.structs.asdict(a)}
    )
