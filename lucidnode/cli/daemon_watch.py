"""Has a daemon started again that died with its keeper while a project is mounted.

The keeper of a mount looks, for the mount itself knows nothing of the store and may start nothing.
A daemon that ended in order took its socket along: it is nobody's to bring back. Of several who
look, one starts it (`start_daemon`); it starts as it was started before.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from lucidnode.node.client.daemon_socket.place import SOCKET_FILE

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0

_DEAD_S = 5.0
"""Seconds for which a daemon must be dead without a keeper: a service manager may bring it back."""

_LUCIDNODE = [sys.executable, "-P", "-m", "lucidnode"]

_HOW = "was ended together with its keeper"

_FIRST_PAUSE_S, _MAX_PAUSE_S = 5.0, 60.0
"""Between two tries to start one, doubling from the first to the last."""


def has_died(home: Path) -> bool:
    """Tell whether the daemon of *home* has ended otherwise than in order, and none is there."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.setblocking(False)
        try:
            connection.connect(str(home / SOCKET_FILE))
        except OSError as error:
            return error.errno == errno.ECONNREFUSED  # its name is there, and nobody listens
    return False


class DaemonWatch:
    """Looks after the daemon of one home; *environment* is what the daemon may know of it.

    *node_key* opens the home's secrets; empty for a home of before, which has none.

    *is_kept* tells whether a keeper of its own brings it back. Called from one thread, never blocks.
    """

    def __init__(
        self,
        home: Path,
        environment: Mapping[str, str],
        node_key: bytes | memoryview,
        is_kept: Callable[[], bool],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """*now* gives seconds that never jump."""
        self._now = now
        self._home = home
        self._environment = dict(environment)
        self._node_key = node_key
        self._is_kept = is_kept
        self._dead_since: float | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._next_at = 0.0
        self._starting: subprocess.Popen[bytes] | None = None

    def look(self) -> None:
        """Look once; start a daemon if it is time."""
        now = self._now()
        if self._starting is not None:
            if self._starting.poll() is None:
                return
            self._starting = None
        if not has_died(self._home) or self._is_kept():
            self._dead_since, self._pause_s = None, _FIRST_PAUSE_S
        elif self._dead_since is None:
            self._dead_since = now
        elif now - self._dead_since >= _DEAD_S and now >= self._next_at:
            self._next_at = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, _MAX_PAUSE_S)
            log.warning("the daemon died with its keeper, and is started again")
            self._start()

    def _start(self) -> None:
        with contextlib.suppress(OSError):  # no process, no memory: later
            self._starting = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [*_LUCIDNODE, "--home", str(self._home), "daemon", "--keyed", "--came-back", _HOW],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,
                cwd="/",
                env=self._environment,
            )
            assert self._starting.stdin is not None
            with self._starting.stdin as pipe:  # 32 bytes: it does not wait
                pipe.write(self._node_key)
