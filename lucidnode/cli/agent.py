"""The agent of a workstation: holds its keys from one unlocking to the next locking, for its user alone.

It lives in the keeper of the daemon, which holds what was handed over anyway, has no network and no
credentials in use, and runs as long as the daemon does. Not in the daemon: that never holds a key
which opens content or names (docs/design/README.md, invariant 1). Commands speak to it on a Unix
socket in the home, one question and one answer on each connection (SOCK_SEQPACKET). It is 0600, the
home 0700, and whoever connects is asked for by SO_PEERCRED.

A question is a letter, and for K and O the node key (32 bytes) and a membership in MessagePack:

    T  take    answered with what is held, or with nothing
    U  unasked the same, for work that no person has begun: the time until it locks goes on
    K  keep    hold this, unless somebody has locked: a passphrase came from a file
    O  open    hold this in any case: a person has typed the passphrase
    L  lock    hold nothing until O
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lucidnode.cli.secret_memory import SecretMemory
from lucidnode.node.sealed_file import NODE_KEY_BYTES

log = logging.getLogger(__name__)

AGENT_SOCKET = "agent.sock"

_MAX_BYTES = 32 * 1024

_ANSWER_S = 5.0

_LOOK_S = 10.0
"""Between two looks at whether the time is up."""

_UCRED = struct.Struct("3i")
"""struct ucred, unix(7): pid, uid, gid."""


class HeldKeys(NamedTuple):
    """What an unlocking opened: the node key, and a membership in MessagePack.

    The agent looks at neither.
    """

    node_key: bytes
    mine: bytes

    def __repr__(self) -> str:
        return "HeldKeys()"


# -- who holds -------------------------------------------------------------------------------------


def boot_s() -> float:
    """Return seconds that never jump, and go on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Agent:
    """Holds the keys of one home, and answers whoever asks for them at *path*."""

    def __init__(
        self,
        path: Path,
        node_key: bytes | memoryview,
        lock_after_s: Callable[[], float | None],
        now: Callable[[], float] = boot_s,
    ) -> None:
        """Begin locked, with the *node_key* of the daemon; empty for a home of before, which has none.

        What nobody used for as long as *lock_after_s* says is locked; None never locks. *now* gives
        seconds that never jump.
        """
        self._path = path
        self._now = now
        self._lock_after_s = lock_after_s
        self._question = SecretMemory(_MAX_BYTES)
        self._keys = SecretMemory(_MAX_BYTES)
        self._for_daemon = SecretMemory(NODE_KEY_BYTES)
        self._guard = threading.Lock()
        self._used_at = now()
        self._is_locked = False
        self._for_daemon.put(node_key)
        if not self._keys.is_locked:
            log.info("keys may reach the swap: the limit for locked memory is too low")

    @property
    def node_key(self) -> memoryview:
        """For whoever starts the daemon again: also once it is locked, for the daemon goes on."""
        return self._for_daemon.held

    def start(self) -> None:
        """Answer from now on, in a thread. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()  # of a keeper that died: the lock says that we are the only one
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.fchmod(door.fileno(), 0o600)  # before there is a name
        door.bind(str(self._path))
        door.listen(16)
        door.settimeout(_LOOK_S)
        threading.Thread(target=self._serve, args=(door,), name="agent", daemon=True).start()

    def answered(self, question: memoryview) -> memoryview:
        """Do what *question* says; return what is held, if it asks for that and it is."""
        with self._guard:
            self._lock_if_time_is_up()
            what, keys = bytes(question[:1]), question[1:]
            if what == b"T":
                self._used_at = self._now()
            if what in {b"T", b"U"}:
                return self._keys.held
            if what == b"L":
                self._lock()
            elif what == b"O" or (what == b"K" and not self._is_locked):
                self._keys.put(keys)
                self._for_daemon.put(keys[:NODE_KEY_BYTES])
                self._used_at = self._now()
                self._is_locked = False
            return memoryview(b"")

    def lock(self) -> None:
        """Hold nothing until somebody opens."""
        with self._guard:
            self._lock()

    def end(self) -> None:
        """Take away the name of the socket."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _lock(self) -> None:
        self._keys.wipe()
        self._is_locked = True

    def _lock_if_time_is_up(self) -> None:
        after_s = self._lock_after_s()
        if after_s is not None and self._keys.held and self._now() - self._used_at >= after_s:
            self._lock()
            log.info("locked: nobody has used the keys for %d s", after_s)

    def _serve(self, door: socket.socket) -> None:
        while True:
            try:
                connection, _ = door.accept()
            except TimeoutError:
                with self._guard:
                    self._lock_if_time_is_up()
                continue
            except OSError as error:
                log.warning("the agent could not take a question: %s", error)
                time.sleep(1)  # noqa: TID251  # a thread of its own: no descriptors, or no memory
                continue
            # One after the other: each is a message of some hundred bytes, and bounded in time.
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_ANSWER_S)
                if _is_ours(connection):
                    self._question.receive(connection.recv_into)
                    connection.send(self.answered(self._question.held))
            self._question.wipe()


def _is_ours(connection: socket.socket) -> bool:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(raw)[1]) == os.getuid()


# -- who asks --------------------------------------------------------------------------------------


def take(home: Path, *, unasked: bool = False) -> HeldKeys | None:
    """Return what the agent of *home* holds; None if it is locked, or there is none. Blocking.

    What is done *unasked*, by no person's wish, does not put off its locking.
    """
    held = _asked(home, b"U" if unasked else b"T")
    return HeldKeys(held[:NODE_KEY_BYTES], held[NODE_KEY_BYTES:]) if held else None


def keep(home: Path, held: HeldKeys, *, opens: bool) -> None:
    """Have the agent of *home* hold *held*, if there is one. Blocking.

    One that was locked does so only if it *opens*.
    """
    _asked(home, (b"O" if opens else b"K") + held.node_key + held.mine)


def lock(home: Path) -> bool:
    """Have the agent of *home* hold nothing until it is opened; tell whether there is one. Blocking."""
    return _asked(home, b"L") is not None


def _asked(home: Path, question: bytes) -> bytes | None:
    """Return the answer, None if nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(_ANSWER_S)
        try:
            connection.connect(str(home / AGENT_SOCKET))
            if not _is_ours(connection):
                return None
            connection.send(question)
            return connection.recv(_MAX_BYTES)
        except OSError:
            return None
