"""Where projects are on this workstation: at a mount point, or at a socket for programs.

Of one that is nowhere, a process of its own opens it (`lucidnode open-project`): it is the one that
asks for the passphrase and holds keys, and no program is given any.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import platformdirs

from lucidnode.fs.errors import (
    FsError,
    MembershipError,
    MountError,
    NoSpace,
    NoSuchProject,
    NotAllowed,
    WrongPassphrase,
)
from lucidnode.fs.project_home import programs_socket
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import DaemonUnreachable, NodeError, Unavailable
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.config import NoStudio

T = TypeVar("T")

KINDS_OF_CODES: dict[int, type[FsError | NodeError]] = {
    2: MembershipError,
    3: NoStudio,
    4: WrongPassphrase,
    6: Unavailable,
    9: NoSpace,
    12: DaemonUnreachable,
    13: NoSuchProject,
    14: NotAllowed,
}
"""What the exit codes of `open-project` mean (lucidnode/cli/exit_codes.py)."""


class Whereabout(NamedTuple):
    """A project that is open on this workstation: at a mount point, or at a socket."""

    name: str
    id: ProjectId
    where: Path
    is_mounted: bool


def default_home() -> Path:
    """Return where this workstation keeps its keys and settings, as the command line takes it."""
    chosen = os.environ.get("LUCIDNODE_HOME")
    return Path(chosen or platformdirs.user_data_dir("lucidnode")).expanduser().absolute()


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* to its end, also in a thread that runs a loop already, as that of a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(asyncio.run, work).result()


async def open_projects(home: Path) -> list[Whereabout]:
    """Return the projects that are open here and answer. Raises a NodeError, DaemonUnreachable if nothing is."""
    status = await facts_of(home, "status")
    names = {
        mount["mountpoint"]: mount["project"]
        for mount in (await facts_of(home, "conflicts"))["mounts"]
    }
    found = []
    for mount in status["mounts"]:
        ident, where = ProjectId(mount["project"]), Path(mount["mountpoint"])
        if mount["mountpoint"] in names:
            is_mounted = where != programs_socket(home, ident)
            found.append(Whereabout(names[mount["mountpoint"]], ident, where, is_mounted))
    return found


async def facts_of(home: Path, topic: str) -> dict[str, Any]:
    """Return what the daemon of *home* says on *topic*. Raises a NodeError."""
    async with DaemonClient(home / SOCKET_FILE) as client:
        return await client.facts.on(topic)


def found(name: str, home: Path) -> Whereabout | None:
    """Return where the project *name*, or of that id, is open; None if it is not. Raises a NodeError."""
    try:
        there = run_apart(open_projects(home))
    except DaemonUnreachable:
        return None
    return next((each for each in there if name in {each.name, each.id}), None)


def opened(name: str, home: Path, passphrase_file: Path | None) -> Whereabout:
    """Return where the project *name* is, opened now if it was not.

    Blocking. Raises NoSuchProject, WrongPassphrase, MembershipError where the passphrase is needed and there is
    nobody to ask, NoStudio, another FsError or a NodeError.
    """
    if (there := found(name, home)) is not None:
        return there
    command = [sys.executable, "-P", "-m", "lucidnode", "--home", str(home), "open-project", name]
    if passphrase_file is not None:
        command += ["--passphrase-file", str(passphrase_file)]
    # On a terminal the person is asked there, and sees what goes wrong.
    shown = None if sys.stdin is not None and sys.stdin.isatty() else subprocess.PIPE
    done = subprocess.run(  # noqa: S603  # our own interpreter and module
        command,
        stdout=subprocess.PIPE,
        stderr=shown,
        text=True,
        check=False,
        # What it starts is known by its home, as what a command starts.
        env={**os.environ, "LUCIDNODE_HOME": str(home)},
    )
    if done.returncode:
        lines = (done.stderr or "").strip().splitlines()
        said = lines[-1].removeprefix("lucidnode: ") if lines else f"{name} cannot be opened"
        # Told to a program: what its command line takes, `connect` has as an argument.
        said = said.partition(" (see `")[0].replace("--passphrase-file", "passphrase_file=")
        raise KINDS_OF_CODES.get(done.returncode, MountError)(said)
    if (there := found(name, home)) is None:
        raise MountError(f"{name} was closed as soon as it was open: try again")
    return there
