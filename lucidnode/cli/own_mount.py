"""A mount that a command makes for itself, where the project is not mounted here.

It is a mount like any other, so what it has acknowledged is safe however the command ends; a command
that was killed leaves it, in a directory with a name of ours, and the next one goes on in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from lucidnode.cli.background import facts_if_running
from lucidnode.cli.mounted_project import mounted_project
from lucidnode.cli.mounting import mount_command
from lucidnode.cli.unmounting import umount_command
from lucidnode.fs.errors import MountPointMissing
from lucidnode.fs.project_home import programs_socket

_PREFIX = "lucidnode-import-"


@contextlib.contextmanager
def mounted_for(
    context: click.Context, project: str, passphrase_file: Path | None
) -> Iterator[Path]:
    """Give where *project* is mounted, for as long as the block lasts.

    Raises as `lucidnode mount` and `lucidnode umount` do.
    """
    home: Path = context.obj
    mountpoint = _mounted_at(home, project)
    if mountpoint is None:
        # In a directory of ours alone: the one for all is everybody's to write in.
        mountpoint = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve() / "project"
        try:
            context.invoke(
                mount_command,
                project=project,
                directory=mountpoint,
                passphrase_file=passphrase_file,
            )
        except BaseException:
            mountpoint.parent.rmdir()
            raise
    if not mountpoint.parent.name.startswith(_PREFIX):
        yield mountpoint
        return
    lock = mountpoint.with_name("in-use")  # held by each command that uses the mount
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        try:
            yield mountpoint
        finally:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                context.invoke(umount_command, directory=mountpoint)
                mountpoint.rmdir()
                lock.unlink()
                mountpoint.parent.rmdir()


def _mounted_at(home: Path, project: str) -> Path | None:
    status = asyncio.run(facts_if_running(home, "status"))
    if status is None:
        return None
    try:
        wanted = mounted_project(home, status, project)
    except MountPointMissing:
        return None
    mountpoint = next(Path(m["mountpoint"]) for m in status["mounts"] if m["project"] == wanted)
    # One that is open for programs alone is mounted as one that is not open: `mount` has it end.
    return None if mountpoint == programs_socket(home, wanted) else mountpoint
