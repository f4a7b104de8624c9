"""Commands that mount and unmount projects."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import click
import msgspec
import uvloop
from rich.console import Console

from lucidnode import membership
from lucidnode.cli.background import ensure_daemon, say_ready, start
from lucidnode.cli.project import passphrase_file
from lucidnode.cli.secrets_input import passphrase
from lucidnode.fs.errors import MountPointBusy
from lucidnode.fs.mount import Durability, MountSpec, check_mountpoint, run
from lucidnode.node.client.connection import DaemonClient
from lucidnode.node.client.errors import DaemonUnreachable
from lucidnode.node.config import SOCKET_FILE, load_config

_UNMOUNT_SECONDS = 120.0


@click.command("mount")
@click.argument("project")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--durability",
    type=click.Choice(["local", "office", "cloud"]),
    default="local",
    show_default=True,
    help="What close() and fsync() wait for.",
)
@click.option("--read-only", is_flag=True, help="Refuse changes.")
@click.option("--allow-other", is_flag=True, help="Let other users of this machine in, too.")
@click.option("--foreground", is_flag=True, help="Stay in this terminal and log here.")
@passphrase_file
@click.pass_obj
def mount_command(
    home: Path,
    project: str,
    directory: Path,
    durability: str,
    read_only: bool,
    allow_other: bool,
    foreground: bool,
    passphrase_file: Path | None,
) -> None:
    """Mount PROJECT at DIRECTORY. Files stream in as they are read.

    \b
    Example:
      lucidnode mount demo ~/demo
    """
    load_config(home)
    mountpoint = directory.expanduser().absolute()
    check_mountpoint(mountpoint, home)
    socket = ensure_daemon(home)
    mine = membership.unlock(home, passphrase(passphrase_file))
    found = asyncio.run(membership.read_roster(socket, mine)).project(project)
    spec = MountSpec(
        home=str(home),
        mountpoint=str(mountpoint),
        membership=mine,
        project=found.id,
        durability=cast(Durability, durability),
        read_only=read_only,
        allow_other=allow_other,
    )
    if foreground:
        uvloop.run(run(spec, say_ready))
        return
    start(
        ["--home", str(home), "mount-process"],
        home / "projects" / found.id / "mount.log",
        msgspec.msgpack.encode(spec),
    )
    click.echo(f"{project} is mounted at {mountpoint}", err=True)


@click.command("mount-process", hidden=True)
def mount_process_command() -> None:
    """Serve the mount whose keys come on standard input: secrets are never arguments."""
    spec = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=MountSpec)
    uvloop.run(run(spec, say_ready))


@click.command("umount")
@click.argument("directory", type=click.Path(path_type=Path))
@click.pass_obj
def umount_command(home: Path, directory: Path) -> None:
    """Unmount DIRECTORY. Its changes are safe on this disk; the daemon goes on uploading them.

    \b
    Example:
      lucidnode umount ~/demo
    """
    mountpoint = directory.expanduser().absolute()
    pid = asyncio.run(_pid_of(home, mountpoint))
    if pid is None:
        # A mount whose process died, or one of another home: the kernel's own way.
        _plain_unmount(mountpoint)
        return
    before = os.pidfd_open(pid)
    # The kernel refuses while files are open; the process must not be told to go before that.
    _plain_unmount(mountpoint)
    with Console(stderr=True).status("handing over to the daemon…"):
        _wait_for_end(before, pid)


async def _pid_of(home: Path, mountpoint: Path) -> int | None:
    try:
        async with DaemonClient(home / SOCKET_FILE) as client:
            mounts = (await client.facts("status"))["mounts"]
    except DaemonUnreachable:
        return None
    return next((m["pid"] for m in mounts if m["mountpoint"] == str(mountpoint)), None)


def _plain_unmount(mountpoint: Path) -> None:
    done = subprocess.run(  # noqa: S603  # a fixed program; the path is one argument
        ["/usr/bin/fusermount3", "-u", "--", str(mountpoint)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = done.stderr.strip().removeprefix("fusermount3: ")
        if "busy" in reason.lower():
            reason = f"{mountpoint} is in use: close the programs that have files open there"
        raise MountPointBusy(reason)


def _wait_for_end(process: int, pid: int) -> None:
    """Wait for the mount process to hand over and end; ask it to after a while."""
    deadline = time.monotonic() + _UNMOUNT_SECONDS
    import select  # noqa: PLC0415

    if not select.select([process], [], [], deadline - time.monotonic())[0]:
        os.kill(pid, signal.SIGTERM)
        raise MountPointBusy(
            f"unmounted, but process {pid} has not finished handing over; it goes on in the "
            "background"
        )
