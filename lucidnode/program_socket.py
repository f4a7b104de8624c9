"""A program's side of the socket of a project that is open without a mount: fs/programs/requests.py.

Blocking. What goes wrong is an OSError with the errno that a mount would give, and a sentence.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from lucidnode.fs.programs.requests import (
    LENGTH_BYTES,
    Answer,
    Closing,
    Done,
    Failed,
    Greet,
    MakeWay,
    Question,
    answer_in,
    framed,
    length_of,
)
from lucidnode.fs.programs.socket_path import directory_of
from lucidnode.node.client.errors import Malformed

T = TypeVar("T", bound=Answer)

_CONNECT_S = 10.0

_PING_BYTES = 1

_CLOSED = "the project was closed, or whoever had it open died: what was not finished is given up"


class DoorGone(Exception):
    """Nothing was asked, for the project is not open here any more, or elsewhere: look where it is now."""


class ProgramSocket:
    """One connection, for one question at a time. Close it: what is open on it ends with it."""

    def __init__(self, path: Path) -> None:
        """Connect to *path*. Raises DoorGone if nobody listens."""
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            with directory_of(path) as short:
                self._socket.settimeout(_CONNECT_S)
                self._socket.connect(short)
            self._socket.settimeout(None)
            # One who is closing has us wait in the kernel's queue, and never lets us in.
            self.ask(Greet(), Done)
        except OSError as error:
            self._socket.close()
            raise DoorGone(f"nobody has the project open at {path}") from error
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def end(self) -> None:
        """Have whoever waits for an answer on it hear that none comes; from any thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def is_alive(self) -> bool:
        """Tell whether the other side has not closed it."""
        try:
            return bool(self._socket.recv(_PING_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def ask(self, question: Question, expected: type[T], path: str = "") -> T:
        """Return the answer to *question*. Raises OSError, for *path*, whatever goes wrong.

        DoorGone if the project was closed in order before it was asked.
        """
        try:
            with suppress(BrokenPipeError):  # what was said last can still be read
                self._socket.sendall(framed(question))
            answer = answer_in(self._received(length_of(self._received(LENGTH_BYTES))))
        except Malformed as error:
            raise OSError(errno.EPROTO, str(error), path or None) from error
        except ConnectionError as error:
            raise OSError(errno.ESTALE, _CLOSED, path or None) from error
        if isinstance(answer, Closing):
            raise DoorGone(_CLOSED)
        if isinstance(answer, Failed):
            raise OSError(answer.errno, answer.words, path or None)
        if not isinstance(answer, expected):
            raise OSError(errno.EPROTO, f"an answer to something else: {answer}", path or None)
        return answer

    def ask_open(self, question: Question, expected: type[T], path: str) -> T:
        """Do as `ask`, of the file that is open on this connection: that is nowhere else. Raises OSError."""
        try:
            return self.ask(question, expected, path)
        except DoorGone as error:
            raise OSError(errno.ESTALE, str(error), path) from error

    def _received(self, length: int) -> bytes:
        received = bytearray(length)
        view = memoryview(received)
        while view:
            count = self._socket.recv_into(view)
            if not count:
                raise ConnectionResetError(errno.ECONNRESET, "the other side has ended")
            view = view[count:]
        return bytes(received)


class ProgramSockets:
    """Connections to *path* that wait to be used again; any thread may take one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[ProgramSocket] = []
        self._lock = threading.Lock()
        self._process = os.getpid()

    @contextmanager
    def one(self) -> Iterator[ProgramSocket]:
        """Give a connection on which nothing is open. Raises as `ProgramSocket`."""
        taken = self.taken()
        try:
            yield taken
        except BaseException:
            taken.close()
            raise
        self.give_back(taken)

    def taken(self) -> ProgramSocket:
        """Return a connection for the caller to close, or to give back. Raises as `ProgramSocket`."""
        while True:
            with self._lock:
                if self._process != os.getpid():
                    # After a fork they are the parent's: two would talk on one connection.
                    self._idle, self._process = [], os.getpid()
                found = self._idle.pop() if self._idle else None
            if found is None:
                return ProgramSocket(self.path)
            if found.is_alive():
                return found
            found.close()

    def give_back(self, connection: ProgramSocket) -> None:
        """Keep *connection*, on which nothing is open, for the next who needs one."""
        with self._lock:
            self._idle.append(connection)

    def close(self) -> None:
        """Close those that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.close()


def ask_to_leave(path: Path) -> None:
    """Have whoever listens at *path* end, if no program is at work.

    Raises OSError, with EBUSY if one is, and DoorGone.
    """
    with closing(ProgramSocket(path)) as connection:
        connection.ask(MakeWay(), Done)
