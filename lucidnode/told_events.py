"""What happens in a project that is open on this workstation, as the daemon passes it on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from pathlib import Path

from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.event_stream import EventStream, MissedEvents
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.mount_messages import ProjectEvent
from lucidnode.where_projects_are import facts_of, run_apart


async def followed(
    home: Path, project: ProjectId, since: int | None, *, follow: bool
) -> AsyncIterator[ProjectEvent | MissedEvents]:
    """Yield what happens after journal entry *since*, or from now on; for ever if *follow*. Raises a NodeError."""
    async with DaemonClient(home / SOCKET_FILE) as client:
        stream = EventStream(client.mounts, project, SystemClock(), since)
        newest = await stream.begin()
        async for event in stream.read(None if follow else newest):
            yield event


def events_of(
    home: Path, project: ProjectId, since: int | None, *, follow: bool
) -> Generator[ProjectEvent | MissedEvents, None, None]:
    """Do as `followed`, for a thread that runs no loop."""
    with asyncio.Runner() as runner:
        events = followed(home, project, since, follow=follow)
        try:
            while (event := runner.run(_next(events))) is not None:
                yield event
        finally:
            runner.run(_close(events))


def conflicts_of(home: Path, project: ProjectId) -> list[str]:
    """Return the conflict copies of *project*, which is open here. Raises a NodeError."""
    status = run_apart(facts_of(home, "status"))
    places = {each["mountpoint"] for each in status["mounts"] if each["project"] == project}
    return [
        path
        for mount in run_apart(facts_of(home, "conflicts"))["mounts"]
        if mount["mountpoint"] in places
        for path in mount["conflicts"]
    ]


async def _next(
    events: AsyncIterator[ProjectEvent | MissedEvents],
) -> ProjectEvent | MissedEvents | None:
    return await anext(events, None)


async def _close(events: AsyncIterator[ProjectEvent | MissedEvents]) -> None:
    close = getattr(events, "aclose", None)
    if close is not None:
        await close()
