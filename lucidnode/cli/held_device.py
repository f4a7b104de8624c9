"""What a keeper does so that a mount outlives its process: it holds the kernel's device of it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from lucidnode.cli.mount_exchange import MountExchange
from lucidnode.fs.kernel import left_mount
from lucidnode.fs.kernel.left_mount import LeftMount, MountKeeper, Said, received, said

KEEPER_LINE = "LUCIDNODE_KEEPER_LINE"
"""In the environment of a server: the descriptor on which it speaks with its keeper."""

HELD_S = 30.0
"""Seconds for which a mount is held whose process has died. What that was answering waits as long,
and no signal ends it; afterwards the kernel says that nobody is connected."""


def mount_keeper() -> MountKeeper | None:
    """Return the keeper of this process, None if it has none."""
    line = os.environ.pop(KEEPER_LINE, None)
    if line is None:
        return None
    os.set_inheritable(int(line), False)
    return MountKeeper(socket.socket(fileno=int(line)))


class HeldDevice:
    """Holds the device of what one server mounted. Call it from one thread; it does not wait."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """*now* gives seconds that never jump."""
        self._now = now
        self._left: LeftMount | None = None
        self._until: float | None = None
        self._exchange: MountExchange | None = None
        self._line: socket.socket | None = None

    def begins(self) -> socket.socket:
        """Return the end of a new line for the server that begins now. The caller closes it."""
        self._hang_up()
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.setblocking(False)
        return theirs

    def died(self) -> None:
        """Note that the server has ended. What it left is held for HELD_S since the first end."""
        self.look()
        self._hang_up()
        if self._until is None:
            self._until = self._now() + HELD_S

    @property
    def waits_for(self) -> list[socket.socket]:
        """What is readable when there is work for `look`."""
        return [] if self._line is None else [self._line]

    def look_in_s(self, otherwise: float | None) -> float | None:
        """Return for how many seconds `look` may stay away: at most *otherwise*."""
        if self._left is None or self._until is None:
            return otherwise
        left = max(0.0, self._until - self._now())
        return left if otherwise is None else min(left, otherwise)

    def look(self) -> None:
        """Hear what the server says, and let go of what is left for too long."""
        while self._line is not None and self._heard(self._line):
            pass
        if self.look_in_s(None) == 0.0:
            self._let_go()

    def close(self) -> None:
        """Let go of everything."""
        self._let_go()
        self._hang_up()
        self._exchange_no_more()

    def _heard(self, line: socket.socket) -> bool:
        """Take in the next message on *line*; False if there is none now, or none any more."""
        try:
            heard = received(line)
        except BlockingIOError:
            return False
        except OSError:
            heard = left_mount.ENDED
        if heard == left_mount.ENDED:
            self._hang_up()
            return False
        if heard.what == left_mount.HOLD and heard.device is not None:
            self._let_go()
            self._left = LeftMount(heard.device, heard.text)
        else:
            try:
                line.send(self._answer(heard))
            except OSError:
                self._hang_up()
        return True

    def _answer(self, asked: Said) -> bytes:
        match asked.what:
            case left_mount.LEFT if self._left is not None:
                return said(left_mount.LEFT, self._left.mount)
            case left_mount.LET_GO:
                self._let_go()
                return said(left_mount.LET_GO)
            case left_mount.BARE:
                self._exchange_no_more()
                return said(left_mount.BARE) if self._may_exchange(asked.text) else left_mount.NO
            case left_mount.ASIDE if self._may_exchange(asked.text):
                return self._exchanged(left_mount.ASIDE)
            case left_mount.EXCHANGE:
                answer = self._exchanged(left_mount.EXCHANGE)
                if answer != left_mount.NO:
                    self._let_go()
                return answer
            case _:
                return left_mount.NO

    def _may_exchange(self, mountpoint: str) -> bool:
        if self._exchange is None:
            with contextlib.suppress(OSError):
                self._exchange = MountExchange(Path(mountpoint))
        return self._exchange is not None

    def _exchanged(self, question: bytes) -> bytes:
        answer = left_mount.NO if self._exchange is None else self._exchange.ask(question)
        if answer == left_mount.NO:
            self._exchange_no_more()
        return answer

    def _exchange_no_more(self) -> None:
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None

    def _let_go(self) -> None:
        if self._left is not None:
            self._left.close()
        self._left, self._until = None, None

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
