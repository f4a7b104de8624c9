"""`lucidnode log`: where the logs are, and what programs ask of a drive as it happens."""

from __future__ import annotations

import asyncio
import errno
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from lucidnode.cli.background import facts, facts_if_running
from lucidnode.cli.mounted_project import mounted_project
from lucidnode.cli.output import as_json, show_facts, show_json
from lucidnode.cli.printable import printable
from lucidnode.cli.project_names import offering_projects_and_paths
from lucidnode.node.client import mount_messages
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.config import LOG_FILE, load_config


@click.command("log", short_help="Follow what programs ask of a drive, or say where the logs are.")
@click.argument(
    "project", required=False, metavar="[PROJECT|DIR]", shell_complete=offering_projects_and_paths
)
@click.option("--access", is_flag=True, help="Follow the requests of programs as they end.")
@click.option("--names", is_flag=True, help="With the names of files, which may tell secrets.")
@as_json
@click.pass_obj
def log_command(
    home: Path, project: str | None, access: bool, names: bool, wants_json: bool
) -> None:
    """Say where the logs of this workstation are, or follow what programs ask of PROJECT.

    With --access each request is a line as soon as it has ended, until Ctrl-C: its process,
    operation, inode, handle, offset and size, how it ended, and the seconds it took. A request on
    a handle has the process that opened it. No names are told unless you ask for them, and nothing
    is written anywhere. The project is one that is mounted here, or the directory where it is;
    with one drive it need not be said.

    \b
    Examples:
      lucidnode log
      lucidnode log --access demo
      lucidnode log --access --names ~/demo | grep read
    """
    if names and not access:
        raise click.UsageError("--names is for --access")
    load_config(home)
    if not access:
        # Above all when no daemon runs: why, is in its log.
        running = asyncio.run(facts_if_running(home, "status"))
        _show_places(home, running["mounts"] if running else [], wants_json=wants_json)
        return
    status = asyncio.run(facts(home, "status"))
    wanted = mounted_project(home, status, project)
    asyncio.run(_follow(home / SOCKET_FILE, wanted, names=names, wants_json=wants_json))


def _show_places(home: Path, mounts: list[dict[str, Any]], *, wants_json: bool) -> None:
    from lucidnode.fs.project_home import project_directory  # noqa: PLC0415  # half a second that following need not wait

    places = {"daemon": str(home / LOG_FILE)}
    for mount in mounts:
        directory = project_directory(home, ProjectId(mount["project"]))
        places[mount["mountpoint"]] = str(directory / "mount.log")
    if wants_json:
        show_json(places)
    else:
        show_facts(places.items())


async def _follow(socket: Path, project: ProjectId, *, names: bool, wants_json: bool) -> None:
    async with DaemonClient(socket) as client:
        click.echo("following; Ctrl-C ends it", err=True)
        async for told in client.mounts.accesses(project, names=names):
            for request in told.requests:
                click.echo(_as_json(request) if wants_json else line_of(request))
            if told.left_out:
                click.echo(f"{told.left_out:,} more requests came too quickly to be told", err=True)
    raise Unavailable("the drive was unmounted, or its daemon has ended")


def _as_json(request: mount_messages.AccessedFile) -> str:
    return msgspec.json.encode(msgspec.structs.asdict(request)).decode()


def line_of(request: mount_messages.AccessedFile) -> str:
    """Return *request* as one line, in the form that other network file systems have as well."""
    at = datetime.fromtimestamp(request.wall_ns / 1e9).astimezone()
    about = [
        f"{what}={value}"
        for what, value in (
            ("ino", request.ino),
            ("fh", request.handle),
            ("offset", request.offset if request.size else 0),
            ("size", request.size),
        )
        if value or (what == "offset" and request.size)
    ]
    if request.name:
        about.append(f"name={msgspec.json.encode(request.name).decode()}")
    outcome = errno.errorcode.get(request.errno, str(request.errno)) if request.errno else "OK"
    return printable(
        f"{at:%H:%M:%S.%f} [pid:{request.pid or '-'}] {request.operation} "
        f"({', '.join(about)}): {outcome} <{request.seconds:.6f}>"
    )
