"""The command that unmounts a project, and leaves nothing behind that the daemon cannot finish."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import click

from lucidnode.cli import persistent_mounts
from lucidnode.cli.background import facts_if_running
from lucidnode.cli.in_use import copies_of, holders_of, users_of
from lucidnode.cli.keeper import end_keeper
from lucidnode.cli.mount_point import MountPath, mount_path
from lucidnode.cli.mounting import mount_log
from lucidnode.cli.other_process import OtherProcess
from lucidnode.cli.output import in_blocks, is_bucket_amiss, is_cache_missing
from lucidnode.cli.progress import bytes_left, spinner
from lucidnode.fs.errors import FuseMissing, MountPointBusy, MountPointMissing
from lucidnode.fs.hand_over import STANDSTILL_S, WAITED
from lucidnode.fs.kernel.mountpoint import mounted_at
from lucidnode.node.client.kept import (
    holder,
    mount_keepers,
    mount_servers,
    mounted,
    mounted_now,
)

_LOOK_INTERVAL_S = 0.25
_REPORT_INTERVAL_S = 1.25
"""Seconds within which a mount has told the daemon of its newest changes."""

_FOUND_S = 30.0
"""Seconds for a mount that is served, or kept, to find the daemon: both read something in the bucket first."""

_HAND_OVER_S = 60.0
"""Seconds for the mount process to end; it bounds its own hand-over well below that."""


@click.command("umount", short_help="Unmount, once changes are in the cloud.")
@click.argument("directory", type=MountPath())
@click.option("--forget", is_flag=True, help="Have it come back no more (`mount --persist`).")
@click.pass_obj
def umount_command(home: Path, directory: Path, forget: bool) -> None:
    """Unmount DIRECTORY once its changes are in the cloud, or nothing moves there.

    What cannot be uploaded now stays safe on this disk, and you are told. Ctrl-C leaves it
    mounted.

    \b
    Example:
      lucidnode umount ~/demo
    """
    mountpoint = mount_path(directory)
    os.chdir("/")  # whoever asks from within is no user of the mount that is to be named
    if forget and mounted_at(mountpoint) is None and persistent_mounts.forget(home, mountpoint):
        _end_kept(home, mountpoint)
        click.echo(f"{mountpoint} comes back no more", err=True)
        return
    _unmount_drained(home, mountpoint)
    if forget and persistent_mounts.forget(home, mountpoint):
        click.echo("it comes back no more", err=True)
    elif persistent_mounts.comes_back(home, mountpoint):
        click.echo("it comes back at the next start; --forget takes it off the list", err=True)


def require_unmounted(home: Path, status: dict[str, Any] | None) -> None:
    """Raise MountPointBusy while anything is mounted; *status* is what a daemon says, if one runs."""
    if there := _there(home, status):
        raise MountPointBusy(
            f"still mounted: {', '.join(there)}; run `lucidnode umount {shlex.quote(there[0])}` first"
        )


def _there(home: Path, status: dict[str, Any] | None) -> list[str]:
    return mounted(home, [each["mountpoint"] for each in status["mounts"]] if status else [])


def _unmount_drained(home: Path, mountpoint: Path) -> None:
    """Unmount, once changes are in the cloud or nothing moves, and say so."""
    found = mounted_at(mountpoint)
    if found is None and (_end_kept(home, mountpoint) or _end_served(home, mountpoint)):
        click.echo(f"{mountpoint} is unmounted", err=True)
        return
    if found is None or not found.is_ours:
        raise MountPointMissing(f"no project is mounted at {mountpoint}: {_mounted(home)}")
    with spinner("asking the drive…"):
        mount = asyncio.run(_mount_at(home, mountpoint))
    if mount is None:
        # One whose process died, of the past, or of another home; or nobody tells how far it is.
        _unmount(mountpoint)
        _end_kept(home, mountpoint)
        _end_served(home, mountpoint)
        click.echo(f"{mountpoint} is unmounted", err=True)
        return
    users = users_of(mountpoint)
    if users:
        raise MountPointBusy(f"{mountpoint} is in use by {', '.join(users)}: close that first")
    log = mount_log(home, mount["project"])
    before = log.stat().st_size if log.exists() else 0
    with OtherProcess(mount["pid"]) as process:
        if not asyncio.run(_until_uploaded(home, mountpoint)):
            process.tell(WAITED)
        copies = copies_of(found.device)
        _unmount(mountpoint)
        holders = holders_of(copies, found.device)
        if holders:
            # The kernel tells it nothing while there is a copy: it would serve that for ever.
            process.tell(signal.SIGTERM)
        with spinner("handing over to the daemon…"):
            _require_ended(process, mountpoint, mount["pid"])
            _end_kept(home, mountpoint)  # its keeper sees the same, and is waited for
    click.echo(
        f"{mountpoint} is unmounted{_what_is_left(home, log, before)}{_cut_off(holders)}", err=True
    )


def _mounted(home: Path) -> str:
    """Return where projects are mounted, in words: people name the project instead."""
    where = _there(home, asyncio.run(facts_if_running(home, "status")))
    if len(where) == 1:
        return f"did you mean `lucidnode umount {shlex.quote(where[0])}`?"
    return f"mounted are {', '.join(where)}" if where else "nothing is mounted here"


def _cut_off(holders: list[str]) -> str:
    if not holders:
        return ""
    return (
        f"; {', '.join(holders)} held a copy of the mount in a mount namespace of its own, "
        "which answers no more"
    )


def _end_kept(home: Path, mountpoint: Path) -> bool:
    """Have nobody bring back the mount at *mountpoint*; tell whether somebody would have."""
    return sum(end_keeper(lock, str(mountpoint)) for lock in mount_keepers(home)) > 0


def _end_served(home: Path, mountpoint: Path) -> bool:
    """Have whoever serves *mountpoint* without a keeper end; tell whether somebody did. Raises MountPointBusy."""
    for lock in mount_servers(home):
        pid, served = holder(lock)
        if pid is not None and served == str(mountpoint):
            with spinner("handing over to the daemon…"), OtherProcess(pid) as process:
                process.tell(signal.SIGTERM)  # one that hands over already goes on with that
                _require_ended(process, mountpoint, pid)
            return True
    return False


def _require_ended(process: OtherProcess, mountpoint: Path, pid: int) -> None:
    if not process.ends_within(_HAND_OVER_S):
        raise MountPointBusy(
            f"{mountpoint} is unmounted, but process {pid} is not done handing over; it goes on in "
            "the background"
        )


def _unmount(mountpoint: Path) -> None:
    tool = shutil.which("fusermount3")
    if tool is None:
        raise FuseMissing("fusermount3 is missing: install FUSE 3 (Debian's package fuse3)")
    done = subprocess.run(  # noqa: S603  # a fixed program; the path is one argument
        [tool, "-u", "--", str(mountpoint)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 and mounted_at(mountpoint) is not None:  # else it ended meanwhile
        raise MountPointBusy(
            f"{mountpoint} is in use: close the programs that have files open there"
            if "busy" in done.stderr.lower()
            else f"{mountpoint} cannot be unmounted ({done.stderr.strip()}): try as the user who "
            "mounted it"
        )


async def _mount_at(home: Path, mountpoint: Path) -> dict[str, Any] | None:
    """Return what the daemon says of the mount at *mountpoint*, None if it knows of none.

    One that is just coming back, or looks for a daemon that has just begun to serve, is waited for.
    """
    ends_at = time.monotonic() + _FOUND_S
    while True:
        mount = _found(await facts_if_running(home, "status"), mountpoint)
        is_kept = str(mountpoint) in mounted_now(home)
        if mount is not None or not is_kept or time.monotonic() >= ends_at:
            return mount
        await asyncio.sleep(_LOOK_INTERVAL_S)


def _found(status: dict[str, Any] | None, mountpoint: Path) -> dict[str, Any] | None:
    mounts: list[dict[str, Any]] = status["mounts"] if status else []
    return next((m for m in mounts if m["mountpoint"] == str(mountpoint)), None)


async def _until_uploaded(home: Path, mountpoint: Path) -> bool:
    """Return when the mount has nothing the cloud lacks, or, with False, when none of it moves.

    While it is mounted: an unmounted project could hand the daemon one batch of changes, and the
    rest would wait for the next mount.
    """
    began = moved = time.monotonic()
    last: tuple[int, int] | None = None
    with bytes_left("uploading") as show:
        while True:
            status = await facts_if_running(home, "status")
            mount = _found(status, mountpoint)
            if status is None or mount is None:
                return True
            left, now = (mount["pending"], status["uploads"]["bytes"]), time.monotonic()
            if left == (0, 0) or (left[0] == 0 and now - began > _REPORT_INTERVAL_S):
                return True
            if last is None or left < last or left[1] < last[1]:
                moved = now
            away = is_cache_missing(status)
            if now - moved > STANDSTILL_S or (away and left[1] == 0):
                return False  # changes whose blocks are on a missing disk do not move either
            last = left
            show(left[1])
            await asyncio.sleep(_LOOK_INTERVAL_S)


def _what_is_left(home: Path, log: Path, before: int) -> str:
    """Return what the person should know of changes that are not in the cloud, or nothing."""
    status = asyncio.run(facts_if_running(home, "status"))
    left = ""
    if status and status["uploads"]["blocks"]:
        waiting = in_blocks(status["uploads"]["bytes"], status["uploads"]["blocks"])
        if is_cache_missing(status):
            left = f"; {waiting} wait in the cache that is missing"
        elif is_bucket_amiss(status):
            left = f"; {waiting} wait on this disk"
        else:
            left = f"; the daemon still uploads {waiting}"
    warnings = _warned(log, before)
    if warnings:
        left += f"; {warnings[-1]}"
    return left


def _warned(log: Path, before: int) -> list[str]:
    """Return what the mount process logged since *before* that a person should read."""
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            lines.seek(before)
            logged = [line.strip().split(" ", 4) for line in lines]
    except FileNotFoundError:
        return []
    # date, time, level, logger, message: see `log_to_stderr`
    return [parts[4] for parts in logged if len(parts) == 5 and parts[2] in {"WARNING", "ERROR"}]
