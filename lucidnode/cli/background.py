"""Starting the daemon and mounts as processes of their own, and reporting how that went.

A child says `ready` on its standard output once it serves, or dies with the exit code and the one
line on standard error that the person at the terminal should see.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from lucidnode.node.client.connection import DaemonClient
from lucidnode.node.client.errors import DaemonUnreachable
from lucidnode.node.config import LOG_FILE, SOCKET_FILE, load_config

READY = b"ready"

_MALLOC = {
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_MMAP_THRESHOLD_": "268435456",
    "MALLOC_TOP_PAD_": "16777216",
}
"""glibc gives buffers of a block's size back to the kernel at once, and takes fresh pages for the
next. Keeping them makes sealing 1 MiB take 0.6 ms instead of 2.1 ms (docs/bench.md)."""


class ChildFailed(Exception):
    """A child gave up: its last words and its exit code."""

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.code = code


def start(arguments: list[str], log: Path, given: bytes = b"") -> int:
    """Start `lucidnode ARGUMENTS` detached, hand it *given* on standard input, wait until ready.

    Returns its pid. What it logs goes to *log*. Raises ChildFailed.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "ab") as errors:
        before = errors.seek(0, os.SEEK_END)
        child = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [sys.executable, "-P", "-m", "lucidnode", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            cwd="/",
            env={**os.environ, **_MALLOC},
        )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(given)
        child.stdin.close()
    except BrokenPipeError:
        pass
    if child.stdout.readline().strip() == READY:
        child.stdout.close()
        return child.pid
    code = child.wait()
    with log.open(encoding="utf-8", errors="replace") as written:
        written.seek(before)
        words = [line.strip() for line in written if line.strip()]
    last = words[-1].removeprefix("lucidnode: ") if words else f"it ended at once; see {log}"
    raise ChildFailed(last, code if code > 0 else 1)


def say_ready() -> None:
    """In a child: tell whoever started it that it serves now."""
    sys.stdout.buffer.write(READY + b"\n")
    sys.stdout.buffer.flush()
    # The starter closes its end; what is printed from here on must not raise SIGPIPE's error.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


async def daemon_answers(home: Path) -> bool:
    """Return whether a daemon serves *home* now."""
    try:
        async with DaemonClient(home / SOCKET_FILE) as client:
            await client.facts("status")
    except DaemonUnreachable:
        return False
    return True


def ensure_daemon(home: Path) -> Path:
    """Start the daemon of *home* if none answers; return its socket. Raises ChildFailed, Refused."""
    load_config(home)
    if not asyncio.run(daemon_answers(home)):
        start(["--home", str(home), "daemon", "--foreground"], home / LOG_FILE)
    return home / SOCKET_FILE
