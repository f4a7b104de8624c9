"""The machine as a service sees it: commands of ours as processes, locks, mounts, the daemon's socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from lucidnode.cli.background import daemon_process
from lucidnode.cli.daemon_watch import has_died
from lucidnode.cli.ending import end_all
from lucidnode.cli.exit_codes import Exit
from lucidnode.cli.persistent_mounts import PersistentMount, persistent_mounts
from lucidnode.cli.service_loop import ANSWER_S, WRONG_ONE, PassphraseAway, Tried
from lucidnode.cli.service_state import ServiceState, write_state
from lucidnode.fs.kernel.mountpoint import mounted_at
from lucidnode.node import sealed_file
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import DaemonUnreachable, DiskFull, NodeError
from lucidnode.node.client.kept import DAEMON_KEEPER_FILE, holder, is_held, mount_keepers

log = logging.getLogger(__name__)

_LUCIDNODE = [sys.executable, "-P", "-m", "lucidnode"]

_LAST_WORDS_BYTES = 64 * 1024

_CANCEL_S = 20.0
"""Seconds for a command that is interrupted."""


class ServiceMachine:
    """Implements `Machine` for *home*; *environment* is what its commands get."""

    def __init__(
        self,
        home: Path,
        passphrase: Callable[[], Awaitable[str]],
        environment: Mapping[str, str],
    ) -> None:
        self._home = home
        self._passphrase = passphrase
        self._environment = dict(environment)
        self._wrong: str | None = None
        """A passphrase that did not open this home: it is tried once."""

    def listed(self) -> list[PersistentMount]:
        return persistent_mounts(self._home)

    async def mounted(self) -> set[str] | None:
        status = await self._status()
        if status is None:
            return None
        # The daemon hears of the end of a mount a moment later than the kernel.
        said = [str(each["mountpoint"]) for each in status["mounts"]]
        return {directory for directory in said if self.is_left(directory)}

    async def _status(self) -> dict[str, Any] | None:
        """Return what the daemon says; None if nobody listens. Raises TimeoutError."""
        try:
            async with asyncio.timeout(ANSWER_S), DaemonClient(self._home / SOCKET_FILE) as client:
                return await client.facts.on("status")
        except DaemonUnreachable:
            return None
        except NodeError as error:
            # One that ends, or that cannot tell: neither is an answer.
            raise TimeoutError(str(error)) from error

    def has_daemon_died(self) -> bool:
        return has_died(self._home)

    def has_keeper(self, directory: str | None) -> bool:
        if directory is None:
            return is_held(self._home / DAEMON_KEEPER_FILE)
        for lock in mount_keepers(self._home):
            pid, serves = holder(lock)
            if pid is not None and serves == directory:
                return True
        return False

    def is_left(self, directory: str) -> bool:
        return mounted_at(Path(directory)) is not None

    def kill_daemon(self) -> None:
        process = daemon_process(self._home)
        if process is not None:
            with process:
                process.tell(signal.SIGKILL)

    async def start_daemon(self) -> Tried:
        if not sealed_file.is_home_sealed(self._home):
            return await self._tried(["daemon"], b"")
        try:
            words = await self._passphrase()
        except PassphraseAway as error:
            return Tried(Exit.PASSPHRASE, str(error))
        if words == self._wrong:
            return Tried(Exit.PASSPHRASE, WRONG_ONE)
        tried = await self._tried(
            ["daemon", "--passphrase-file", "/dev/stdin"], words.encode() + b"\n"
        )
        self._wrong = words if tried.code == Exit.PASSPHRASE else None
        return tried

    async def passphrase(self) -> str:
        return await self._passphrase()

    async def mount(self, mount: PersistentMount, passphrase: str) -> Tried:
        words = mount.words()
        # A pipe: neither arguments nor the environment hold it.
        words[1:1] = ["--passphrase-file", "/dev/stdin"]
        return await self._tried(words, passphrase.encode() + b"\n")

    def remember(self, state: ServiceState) -> None:
        try:
            write_state(self._home, state)
        except (OSError, DiskFull) as error:
            log.warning("how the service is cannot be written down: %s", error)

    async def _tried(self, words: list[str], given: bytes) -> Tried:
        try:
            process = await asyncio.create_subprocess_exec(
                *_LUCIDNODE,
                "--home",
                str(self._home),
                *words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                cwd="/",
                env=self._environment,
            )
        except OSError as error:  # no memory, no process: later
            return Tried(1, f"no process could be started: {error.strerror}")
        try:
            _, said = await process.communicate(given)
        except BaseException:
            await _interrupted(process)
            raise
        code = process.returncode or 0
        return Tried(code if code >= 0 else 1, _line(said) if code else "")

    async def end(self) -> None:
        """End all mounts of this home, then the daemon. What is not uploaded waits on this disk."""
        try:
            status = await self._status()
        except TimeoutError:
            status = None
        await end_all(self._home, status)


async def _interrupted(process: asyncio.subprocess.Process) -> None:
    """Interrupt a command of ours as a person would, and see it end."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGINT)
    try:
        async with asyncio.timeout(_CANCEL_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _line(said: bytes) -> str:
    """Return the line for a person that a command ended with."""
    lines = said[-_LAST_WORDS_BYTES:].decode(errors="replace").splitlines()
    ours = [line.removeprefix("lucidnode: ") for line in lines if line.startswith("lucidnode: ")]
    return ours[-1] if ours else "it ended without a word; its log may tell why"
