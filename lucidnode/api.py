"""Projects that are mounted on this workstation, for programs in Python: docs/pipelines.md.

    from lucidnode import api

    project = api.project("demo")
    film = project.path("out/film.mov")
    shutil.copy("film.mov", film)
    project.wait(film)
    for event in project.events(since=0):
        print(event)

Files are read and written through the mount, as any program does. What is here comes on top: where
a project is, how far a file is, what happens. Errors are those of `lucidnode.node.client.errors`
(NodeError), `lucidnode.fs.errors` (FsError), and OSError; their text is a sentence for people.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import platformdirs

from lucidnode.fs.errors import Invalid, MountPointMissing, StillOnTheirWay
from lucidnode.in_the_cloud import State, state_of, waited_for
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.connection import DaemonClient
from lucidnode.node.client.event_stream import EventStream, MissedEvents
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.mount_messages import ProjectEvent
from lucidnode.node.config import SOCKET_FILE

__all__ = [
    "MissedEvents",
    "MountedProject",
    "ProjectEvent",
    "State",
    "StillOnTheirWay",
    "default_home",
    "project",
    "projects",
    "state_of",
]


def default_home() -> Path:
    """Return where this workstation keeps its keys and settings, as the command line takes it."""
    chosen = os.environ.get("LUCIDNODE_HOME")
    return Path(chosen or platformdirs.user_data_dir("lucidnode")).expanduser().absolute()


@dataclass(frozen=True, slots=True)
class MountedProject:
    """A project that is mounted on this workstation at *mountpoint*. Get it from `project`."""

    name: str
    id: ProjectId
    mountpoint: Path
    home: Path

    def path(self, below: str | PurePosixPath = "") -> Path:
        """Return where *below*, a path from the root of the project, is on this workstation.

        It need not be there. Raises Invalid for one that leads out of the project.
        """
        parts = PurePosixPath(below).parts
        if ".." in parts or parts[:1] == ("/",):
            raise Invalid(f"{below} is no path from the root of a project")
        return self.mountpoint.joinpath(*parts)

    def state(self, below: str | PurePosixPath) -> State:
        """Return how far a file is. Raises FileNotFoundError, or another OSError."""
        return state_of(self.path(below))

    def wait(self, *paths: str | PurePosixPath | Path, timeout_s: float | None = None) -> None:
        """Return once *paths*, and all that is below them now, are in the cloud.

        A `Path` is one of this workstation, such as `path` returned; all else is from the root of
        the project. Raises StillOnTheirWay after
        *timeout_s*, and FileNotFoundError for what is not there.
        """
        where = [path if isinstance(path, Path) else self.path(path) for path in paths]
        waited_for(where, timeout_s, lambda _: None).check()

    def conflicts(self) -> list[str]:
        """Return the conflict copies there are, from the root of the project. Raises a NodeError."""
        found = asyncio.run(_facts(self.home, "conflicts"))["mounts"]
        return [
            path
            for mount in found
            if mount["mountpoint"] == str(self.mountpoint)
            for path in mount["conflicts"]
        ]

    def events(
        self, since: int | None = None, *, follow: bool = True
    ) -> Generator[ProjectEvent | MissedEvents, None, None]:
        """Yield what happens after journal entry *since*, or from now on; for ever if *follow*.

        Each event comes once, in order, and also when the mount or the daemon died and came back.
        Raises a NodeError if they are away for a minute. In a program that runs asyncio use `follow`.
        """
        with asyncio.Runner() as runner:
            events = self.follow(since, follow=follow)
            try:
                while (event := runner.run(_next(events))) is not None:
                    yield event
            finally:
                runner.run(_close(events))

    async def follow(
        self, since: int | None = None, *, follow: bool = True
    ) -> AsyncIterator[ProjectEvent | MissedEvents]:
        """Do as `events`, in asyncio."""
        async with DaemonClient(self.home / SOCKET_FILE) as client:
            stream = EventStream(client, self.id, SystemClock(), since)
            newest = await stream.begin()
            async for event in stream.read(None if follow else newest):
                yield event


def projects(home: Path | None = None) -> list[MountedProject]:
    """Return the projects that are mounted here and answer. Raises DaemonUnreachable.

    *home* is what `lucidnode --home` names.
    """
    where = home or default_home()
    return asyncio.run(_projects(where))


def project(name: str, home: Path | None = None) -> MountedProject:
    """Return the mounted project that people call *name*, or with that id.

    Raises MountPointMissing if it is not mounted here, DaemonUnreachable if nothing is.
    """
    for each in projects(home):
        if name in {each.name, each.id}:
            return each
    raise MountPointMissing(f"{name} is not mounted here: `lucidnode status` shows what is mounted")


async def _projects(home: Path) -> list[MountedProject]:
    status = await _facts(home, "status")
    names = {
        mount["mountpoint"]: mount["project"]
        for mount in (await _facts(home, "conflicts"))["mounts"]
    }
    return [
        MountedProject(
            names[mount["mountpoint"]], ProjectId(mount["project"]), Path(mount["mountpoint"]), home
        )
        for mount in status["mounts"]
        if mount["mountpoint"] in names
    ]


async def _facts(home: Path, topic: str) -> dict[str, Any]:
    async with DaemonClient(home / SOCKET_FILE) as client:
        return await client.facts(topic)


async def _next(
    events: AsyncIterator[ProjectEvent | MissedEvents],
) -> ProjectEvent | MissedEvents | None:
    return await anext(events, None)


async def _close(events: AsyncIterator[ProjectEvent | MissedEvents]) -> None:
    close = getattr(events, "aclose", None)
    if close is not None:
        await close()
