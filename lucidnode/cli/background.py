"""Starting the daemon and mounts as processes of their own, and reporting how that went.

A child says `ready` on its standard output once it serves, or dies with the exit code and the one
line on standard error that the person at the terminal should see.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from lucidnode.cli.child import READY, ChildFailed, loading_in
from lucidnode.cli.daemon_watch import has_died
from lucidnode.cli.keeper import (
    HandedOver,
    end_keeper,
    environment_of,
    served_by,
)
from lucidnode.cli.other_process import OtherProcess
from lucidnode.cli.progress import spinner
from lucidnode.node import sealed_file
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import DaemonUnreachable, Locked, NodeError
from lucidnode.node.client.kept import DAEMON_KEEPER_FILE, is_held, mount_keepers
from lucidnode.node.config import LOG_FILE, load_config

_LUCIDNODE = [sys.executable, "-P", "-m", "lucidnode"]

_STARTING_FILE = "starting.lock"

_LOOK_INTERVAL_S = 0.5
"""Seconds between two looks at how far a child is."""


def start(
    home: Path,
    lock: Path,
    server: list[str],
    log: Path,
    doing: str,
    *,
    serves: str = "",
    given: bytes = b"",
    look: Callable[[], str] | None = None,
    heard: Callable[[int, int], None] | None = None,
) -> int:
    """Start the command *server* detached, hand it *given* on standard input, wait until ready.

    A keeper, known by *lock* and by what it *serves*, starts it again when it dies. Returns the keeper's pid. What it logs goes to *log*. On a terminal the person sees *doing*, and what
    *look* says of how far it is; *heard* is told of the bytes that are loaded, of all. Interrupted, the child is told to end. Raises ChildFailed.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "ab") as errors:
        before = errors.seek(0, os.SEEK_END)
        child = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [*_LUCIDNODE, "--home", str(home), "keep", f"--serves={serves}", str(lock), *server],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            cwd="/",
            env=environment_of(server[0], home),
        )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
            pipe.write(_handed_over(home, server[0], given))
        lines = _Lines(child.stdout.fileno())
        with spinner(doing) as show:
            while (line := lines.next(_LOOK_INTERVAL_S)) is None or loading_in(line) is not None:
                if heard is not None and line is not None and (loaded := loading_in(line)):
                    heard(*loaded)
                if show is not None and look is not None:
                    show(f"{doing} {look()}".rstrip())
        if line.strip() == READY:
            child.stdout.close()
            return child.pid
        code = child.wait()
    except BaseException:
        child.terminate()
        raise
    raise ChildFailed(_last_words(log, before), code if code > 0 else 1)


class _Lines:
    """What a child says, line by line."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begun = b""

    def next(self, within_s: float) -> bytes | None:
        """Return the next line, empty at the end; None if there is none yet."""
        while b"\n" not in self._begun:
            if not select.select([self._descriptor], [], [], within_s)[0]:
                return None
            came = os.read(self._descriptor, 4096)
            if not came:
                return b""
            self._begun += came
        line, _, self._begun = self._begun.partition(b"\n")
        return line + b"\n"


def _handed_over(home: Path, server: str, given: bytes) -> bytes:
    # A mount needs a daemon, and its own environment says nothing of the store.
    daemon = environment_of("daemon", home) if server != "daemon" else None
    return msgspec.msgpack.encode(
        HandedOver(memoryview(given), daemon, memoryview(sealed_file.held(home) or b""))
    )


def _last_words(log: Path, before: int) -> str:
    """Return the line for the person, of what was logged since the position *before*."""
    with log.open(encoding="utf-8", errors="replace") as written:
        written.seek(before)
        lines = [line.strip() for line in written]
    said = [line.removeprefix("lucidnode: ") for line in lines if line.startswith("lucidnode: ")]
    return said[-1] if said else f"it ended without a word; {log} may tell why"


async def facts(home: Path, topic: str) -> dict[str, Any]:
    """Return what the daemon of *home* says on *topic*. Raises DaemonUnreachable with advice."""
    from lucidnode.node.client.daemon_socket.client import (  # noqa: PLC0415  # 0.1 s that who starts a daemon need not wait
        DaemonClient,
    )

    try:
        async with DaemonClient(home / SOCKET_FILE) as client:
            return await client.facts.on(topic)
    except DaemonUnreachable as error:
        raise DaemonUnreachable(
            f"the daemon of {home} has died and is being started again: try again in some seconds"
            if _comes_back(home)
            else f"no daemon runs for {home}: start it with `lucidnode daemon`, or mount a project"
        ) from error


def _comes_back(home: Path) -> bool:
    """Tell whether a keeper is there, its own or that of a mount, that starts a dead daemon again."""
    keepers = [home / DAEMON_KEEPER_FILE, *mount_keepers(home)]
    return has_died(home) and any(is_held(keeper) for keeper in keepers)


async def facts_if_running(home: Path, topic: str) -> dict[str, Any] | None:
    """Return what the daemon of *home* says on *topic*, None if none runs."""
    try:
        return await facts(home, topic)
    except DaemonUnreachable:
        return None


async def begin_probe(home: Path) -> None:
    """Have the daemon of *home* look at its bucket for a mount that is about to come, as far as it can."""
    from lucidnode.node.client.daemon_socket.client import DaemonClient  # noqa: PLC0415  # as in `facts`

    # One of an earlier release looks when the mount comes.
    with contextlib.suppress(NodeError):
        async with DaemonClient(home / SOCKET_FILE) as client:
            await client.orders.give("bucket/probe")


def ensure_daemon(home: Path) -> Path:
    """Start the daemon of *home* if none answers; return its socket. Raises ChildFailed, NoStudio.

    Two commands at once start one.
    """
    start_daemon(home, [])
    return home / SOCKET_FILE


def start_daemon(home: Path, options: list[str], came_back: str = "") -> int | None:
    """Start the daemon of *home* with *options* and return its pid; None if one answers already.

    One that died starts as it was started before, unless there are *options*; *came_back* says how
    it ended. Raises ChildFailed, NoStudio, Locked if it would need keys that are not at hand here
    (node_key_at_hand.py), and Refused for damaged settings.
    """
    load_config(home)
    with _starting(home):
        if daemon_process(home) and asyncio.run(facts_if_running(home, "status")) is not None:
            return None
        if sealed_file.is_home_sealed(home) and sealed_file.held(home) is None:
            raise Locked("this workstation is locked: run `lucidnode unlock`")
        end_daemon_keeper(home)  # one that waits before it tries again would come too late
        keeper = home / DAEMON_KEEPER_FILE
        if not options and has_died(home):
            options = served_by(keeper).split()
        how = ["--came-back", came_back] if came_back else []
        return start(
            home,
            keeper,
            ["daemon", "--foreground", "--keyed", *options, *how],
            home / LOG_FILE,
            "starting the daemon…",
            serves=" ".join(options),
        )


def end_daemon_keeper(home: Path) -> bool:
    """Have nobody bring back the daemon of *home*; tell whether somebody would have."""
    return end_keeper(home / DAEMON_KEEPER_FILE)


@contextlib.contextmanager
def _starting(home: Path) -> Iterator[None]:
    """Be the only one who starts the daemon of *home*, waiting for another who does."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(home / _STARTING_FILE, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def daemon_process(home: Path) -> OtherProcess | None:
    """Return the daemon that listens for *home*, or None."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(home / SOCKET_FILE))
            # struct ucred, unix(7): pid, uid, gid of whoever listens there.
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            return OtherProcess(struct.unpack("3i", raw)[0])
        except OSError:
            return None
