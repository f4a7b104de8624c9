"""What the service of a home last knew: `service.json` there, for `service status` and its successor."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from lucidnode.node.client.clock import boot_id
from lucidnode.node.client.durable import write_soon
from lucidnode.node.client.errors import Malformed, Refused
from lucidnode.node.client.json_text import json_in
from lucidnode.node.client.kept import holder

STATE_FILE = "service.json"
LOCK_FILE = "service.lock"

_MAX_BYTES = 1024 * 1024

_START_TIME = 19
"""Of the fields behind the name in /proc/PID/stat, proc(5)."""

Condition = Literal["mounted", "mounting", "waiting", "unmounted"]
"""Of a mount that comes back: *waiting* for another try, *unmounted* by a person."""


class DriveState(msgspec.Struct, frozen=True):
    """How one mount is that comes back, and why it is not there.

    *was_there*: it waits for its process, which has ended or is being ended by a person, and nobody
    has tried to mount it since.
    """

    project: str
    directory: str
    condition: Condition
    cause: str = ""
    was_there: bool = False


class ServiceState(msgspec.Struct, frozen=True):
    """How the service is. *boot* names the run of the machine in which that was so.

    Of one that has ended in order, and everything with it, nothing is known.
    """

    boot: str = ""
    daemon: str = ""
    """What is amiss with the daemon, or nothing."""
    is_daemon_ended: bool = False
    """Whether a person has ended the daemon."""
    drives: list[DriveState] = []

    def words(self) -> str:
        """Return the state in one line."""
        there = sum(each.condition == "mounted" for each in self.drives)
        parts = [self.daemon] if self.daemon else []
        parts.append(
            f"{there} of {len(self.drives)} mounted" if self.drives else "nothing to mount"
        )
        # What keeps the daemon away keeps all drives away, and stands there already.
        parts += [f"{d.directory}: {d.cause}" for d in self.drives if d.cause not in self.daemon]
        return "; ".join(parts)


def run_of_the_machine() -> str:
    """Return what names this run of the machine, or of the container: another one after a reboot."""
    try:
        # Process 1 began anew with a container, which has the kernel's boot in common with others.
        begun = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[_START_TIME]
    except (OSError, IndexError):
        begun = ""
    return f"{boot_id()} {begun}"


def read_state(home: Path) -> ServiceState | None:
    """Return what was written last; None if nothing was, or nothing that can be read."""
    try:
        with (home / STATE_FILE).open("rb") as file:
            return json_in(file.read(_MAX_BYTES), ServiceState)
    except (FileNotFoundError, Malformed):
        return None


def write_state(home: Path, state: ServiceState) -> None:
    """Replace what was written. Raises DiskFull, OSError."""
    write_soon(home / STATE_FILE, msgspec.json.encode(state), 0o600)


def runs(home: Path) -> int | None:
    """Return the process of the service that runs for *home*, None if none does."""
    return holder(home / LOCK_FILE)[0]


def why_away(drive: DriveState | None, pid: int | None) -> str:
    """Return why a listed mount is not there: what the service, process *pid*, says of it."""
    if pid is None:
        return "no service runs that would bring it back: `lucidnode service install`"
    if drive is None:
        return "the service has not looked at it yet"
    if drive.condition == "unmounted":
        return "it was unmounted, and comes back at the next start"
    return drive.cause or "it is being mounted"


@contextlib.contextmanager
def only_service(home: Path) -> Iterator[None]:
    """Be the one service of *home*. Raises Refused if there is one."""
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        raise Refused(
            f"the service of {home} runs already: look with `lucidnode service status`"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)
