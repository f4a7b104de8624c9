"""`lucidnode events`: what happens in a project, for people and pipelines."""

from __future__ import annotations

import asyncio
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

import click
import msgspec

from lucidnode.cli.background import facts
from lucidnode.cli.mounted_project import mounted_project
from lucidnode.cli.output import as_json
from lucidnode.cli.printable import printable
from lucidnode.cli.project_names import offering_projects_and_paths
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import NotThere, Unavailable
from lucidnode.node.client.event_stream import EventStream, MissedEvents
from lucidnode.node.client.ids import MAX_SEQ, ProjectId
from lucidnode.node.client.mount_messages import ProjectEvent
from lucidnode.node.config import load_config


@click.command("events", short_help="Follow what happens in a project, on all workstations.")
@click.argument(
    "project", required=False, metavar="[PROJECT|DIR]", shell_complete=offering_projects_and_paths
)
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "--since",
    type=click.IntRange(0, MAX_SEQ),
    metavar="SEQ",
    help="Begin behind journal entry SEQ; 0 is the beginning of the project.",
)
@click.option(
    "--path",
    "globs",
    multiple=True,
    metavar="GLOB",
    help="Only paths like GLOB, from the root of the project; `*` stands for slashes, too.",
)
@as_json
@click.pass_obj
def events_command(
    home: Path,
    project: str | None,
    follow: bool,
    since: int | None,
    globs: tuple[str, ...],
    wants_json: bool,
) -> None:
    """Tell what happens in PROJECT: who did what to which path, and how far it is to the cloud.

    Each journal entry is told once, in order, the same on every workstation: with its number,
    the member and workstation that made it, and the state of the file: `writing` or `uploading`
    there, or in the `cloud`. Entries that nobody can tell of any more are one line, `missed`.
    The project is one that is mounted here, or the directory where it is; with one drive it need
    not be said.

    \b
    Examples:
      lucidnode events --follow demo
      lucidnode events --follow --path 'renders/*.exr' --json | ./ingest
      lucidnode events --since 0 | grep delete
    """
    if not follow and since is None:
        raise click.UsageError("say --follow, --since SEQ, or both")
    load_config(home)
    wanted = mounted_project(home, asyncio.run(facts(home, "status")), project)
    telling = _tell(
        home / SOCKET_FILE, wanted, follow=follow, since=since, globs=globs, wants_json=wants_json
    )
    asyncio.run(telling)


async def _tell(
    socket: Path,
    project: ProjectId,
    *,
    follow: bool,
    since: int | None,
    globs: tuple[str, ...],
    wants_json: bool,
) -> None:
    async with DaemonClient(socket) as client:
        stream = EventStream(client.mounts, project, SystemClock(), since)
        newest = await stream.begin()
        if follow:
            click.echo(f"following from entry {stream.after}; Ctrl-C ends it", err=True)
        try:
            async for event in stream.read(None if follow else newest):
                if is_wanted(event, globs):
                    click.echo(
                        msgspec.json.encode(event).decode() if wants_json else line_of(event)
                    )
        except NotThere:
            raise Unavailable("the drive was unmounted: mount it, and go on with --since") from None


def is_wanted(event: ProjectEvent | MissedEvents, globs: tuple[str, ...]) -> bool:
    """Tell whether *event* is about a path like one of *globs*, or may be; any will do if there are none."""
    if not globs or isinstance(event, MissedEvents):
        return True
    paths = [event.path] if event.old_path is None else [event.path, event.old_path]
    return any(fnmatchcase(path, glob) for path in paths for glob in globs)


def line_of(event: ProjectEvent | MissedEvents) -> str:
    """Return *event* as one line for people."""
    if isinstance(event, MissedEvents):
        return f"missed from entry {event.first} to {event.last}: nobody can tell of them any more"
    at = datetime.fromtimestamp(event.time_ns / 1e9).astimezone()
    path = msgspec.json.encode(event.path).decode()
    old = f" from {msgspec.json.encode(event.old_path).decode()}" if event.old_path else ""
    state = f" ({event.state})" if event.state != "cloud" else ""
    who = f"{event.member} on {event.workstation}" if event.member else event.workstation
    return printable(
        f"{at:%Y-%m-%d %H:%M:%S} {event.seq} {event.event} {path}{old}{state} by {who}"
    )
