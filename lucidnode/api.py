"""Projects for programs in Python, mounted on this workstation or not: docs/pipelines.md.

    from lucidnode import api

    with api.connect("demo") as project:
        project.put("film.mov", "out/film.mov")
        for each in project.list("out"):
            print(each.path, each.size, each.state)

A project that is mounted here is used through its mount. One that is not is opened by a process of
its own, which has its keys; programs speak with that over a socket of the home, several at once. In
asyncio, `connect_async` gives the same.

`project` and `projects` are about mounts: where a project is, for programs that open files by paths.
Errors are OSError, and those of `lucidnode.fs.errors` (FsError) and `lucidnode.node.client.errors`
(NodeError); their text is a sentence for people.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lucidnode.async_project import AsyncFile, AsyncProject
from lucidnode.file_streams import ReadStream, TextStream, WriteStream
from lucidnode.files_door import FileInfo
from lucidnode.fs.errors import MountPointMissing, StillOnTheirWay
from lucidnode.in_the_cloud import State, state_of, waited_for
from lucidnode.node.client.errors import DaemonUnreachable
from lucidnode.node.client.event_stream import MissedEvents
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.mount_messages import ProjectEvent
from lucidnode.project_files import ConnectedProject, inside
from lucidnode.told_events import conflicts_of, events_of, followed
from lucidnode.where_projects_are import default_home, open_projects, run_apart

__all__ = [
    "AsyncFile",
    "AsyncProject",
    "ConnectedProject",
    "FileInfo",
    "MissedEvents",
    "MountedProject",
    "ProjectEvent",
    "ReadStream",
    "State",
    "StillOnTheirWay",
    "TextStream",
    "WriteStream",
    "connect",
    "connect_async",
    "default_home",
    "open_names",
    "project",
    "projects",
    "state_of",
]


def connect(
    name: str, home: Path | None = None, *, passphrase_file: str | Path | None = None
) -> ConnectedProject:
    """Return the project *name*, of any that this workstation's member can open. Use it in a `with`.

    *home* is what `lucidnode --home` names. The passphrase is only needed if the project is not open here and
    this workstation is locked: it is read from the first line of *passphrase_file*, or asked for on
    the terminal. Raises NoSuchProject, WrongPassphrase, MembershipError where there is nobody to ask,
    NoStudio, another FsError or a NodeError.
    """
    words = None if passphrase_file is None else Path(passphrase_file).absolute()
    return ConnectedProject(name, home or default_home(), words)


async def connect_async(
    name: str, home: Path | None = None, *, passphrase_file: str | Path | None = None
) -> AsyncProject:
    """Do as `connect`, in asyncio. Use what it returns in an `async with`."""
    return AsyncProject(
        await asyncio.to_thread(connect, name, home, passphrase_file=passphrase_file)
    )


def open_names(home: Path | None = None) -> list[str]:
    """Return what the projects are called that are open here, mounted or not. Raises a NodeError."""
    with suppress(DaemonUnreachable):
        return sorted(each.name for each in run_apart(open_projects(home or default_home())))
    return []


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
        return self.mountpoint / inside(below)

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
        return conflicts_of(self.home, self.id)

    def events(
        self, since: int | None = None, *, follow: bool = True
    ) -> Generator[ProjectEvent | MissedEvents, None, None]:
        """Yield what happens after journal entry *since*, or from now on; for ever if *follow*.

        Each event comes once, in order, and also when the mount or the daemon died and came back.
        Raises a NodeError if they are away for a minute. In a program that runs asyncio use `follow`.
        """
        return events_of(self.home, self.id, since, follow=follow)

    async def follow(
        self, since: int | None = None, *, follow: bool = True
    ) -> AsyncIterator[ProjectEvent | MissedEvents]:
        """Do as `events`, in asyncio."""
        async for event in followed(self.home, self.id, since, follow=follow):
            yield event


def projects(home: Path | None = None) -> list[MountedProject]:
    """Return the projects that are mounted here and answer. Raises DaemonUnreachable.

    *home* is what `lucidnode --home` names.
    """
    where = home or default_home()
    return [
        MountedProject(each.name, each.id, each.where, where)
        for each in run_apart(open_projects(where))
        if each.is_mounted
    ]


def project(name: str, home: Path | None = None) -> MountedProject:
    """Return the mounted project that people call *name*, or with that id.

    Raises MountPointMissing if it is not mounted here, DaemonUnreachable if nothing is.
    """
    for each in projects(home):
        if name in {each.name, each.id}:
            return each
    raise MountPointMissing(f"{name} is not mounted here: `lucidnode status` shows what is mounted")
