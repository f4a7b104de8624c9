"""Opens a project for programs, without a mount; what serves them is another process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import uvloop

from lucidnode import membership
from lucidnode.cli import confinement
from lucidnode.cli.allocator import keep_large_buffers
from lucidnode.cli.background import facts, start
from lucidnode.cli.child import log_to_stderr, say_back, say_loading, say_ready
from lucidnode.cli.keeper import end_keeper
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.mount_progress import MountProgress
from lucidnode.cli.mounting import keeper_file, mount_log, project_called
from lucidnode.cli.project_names import offering_projects
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.cli.taking_place import TakenPlaces
from lucidnode.disk_room import check_for_writing
from lucidnode.fs.errors import AlreadyMounted
from lucidnode.fs.mount_spec import MountSpec
from lucidnode.fs.project_home import programs_socket
from lucidnode.fs.unmounted import run
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.config import cache_directory, load_config

_OPENING_FILE = "files.opening"

_PATIENCE_S = 60.0
"""For somebody else who mounts the project, or closes it, at the moment."""

_AGAIN_S = 0.1


@click.command("open-project", hidden=True)
@click.argument("project", shell_complete=offering_projects)
@passphrase_file
@click.pass_obj
def open_project_command(home: Path, project: str, passphrase_file: Path | None) -> None:
    """Have programs reach PROJECT without a mount, or see that they do: for `lucidnode.api`.

    Prints where it is: a mount point, or a socket. A minute after the last program it is closed.

    \b
    Example:
      lucidnode open-project demo --passphrase-file words
    """
    config = load_config(home)
    mine, socket = unlocked(home, passphrase_file)
    found = project_called(asyncio.run(membership.read_roster(socket, mine)), project)
    log = mount_log(home, found.id)
    with _alone(log.with_name(_OPENING_FILE)):
        end = time.monotonic() + _PATIENCE_S
        while True:
            if (where := asyncio.run(_opened_at(home, found.id))) is not None:
                click.echo(where)
                return
            cached = asyncio.run(facts(home, "cache"))["bytes"]
            cache = cache_directory(home, config)
            check_for_writing(cache, config.cache_limit, config.min_free, cached)
            at = programs_socket(home, found.id)
            progress = MountProgress(home, at)
            spec = MountSpec(
                home=str(home),
                mountpoint=str(at),
                membership=mine,
                project=found.id,
                durability="cloud",
                read_only=False,
                allow_other=False,
                channel=False,
                collection_requests=config.collection_requests,
                memory_limit=config.memory_limit,
                for_programs=True,
            )
            try:
                with contextlib.closing(TakenPlaces()) as taken:
                    taken.take_project(log.parent, project)
                    end_keeper(keeper_file(home, found.id))
                    start(
                        home,
                        keeper_file(home, found.id),
                        ["files-process"],
                        log,
                        f"opening {project}…",
                        serves=str(at),
                        given=msgspec.msgpack.encode(spec),
                        look=progress.words,
                        heard=progress.loaded,
                    )
            except AlreadyMounted:
                if time.monotonic() > end:
                    raise
                time.sleep(_AGAIN_S)  # noqa: TID251  # a command, no loop
            else:
                click.echo(str(at))
                return


@click.command("files-process", hidden=True)
@click.option("--came-back", default="", help="How the one before it ended.")
def files_process_command(came_back: str) -> None:
    """Have the project open whose keys come on standard input, for programs of this user.

    \b
    Example, with a MountSpec in MessagePack:
      lucidnode files-process < spec
    """
    log_to_stderr()
    confinement.confine(confinement.of_a_mount(os.environ))
    keep_large_buffers()
    spec = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=MountSpec)
    uvloop.run(run(spec, say_back if came_back else say_ready, say_loading))


async def _opened_at(home: Path, project: ProjectId) -> str | None:
    for mount in (await facts(home, "status"))["mounts"]:
        if mount["project"] == project:
            return str(mount["mountpoint"])
    return None


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Be the only one who opens the project; others wait, and find it open."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
