"""A mount whose process has died: what a server and its keeper say of it to each other.

The kernel takes a FUSE mount for dead once nobody has its device open any more; then it turns away
whoever comes. Where it is taken away the bare directory below shows, in which programs find no names
and leave new ones. So the next process mounts beside it, and the two directories change places in
one step (cli/mount_exchange.py). Until then the keeper holds the device (cli/held_device.py): what
programs ask waits in the kernel. Afterwards they hear of a stale handle: a call that came with a
path is then begun anew by the kernel, and finds the new mount.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

BARE, LEFT, ASIDE, EXCHANGE, LET_GO, HOLD, NO = (
    b"bare",
    b"left",
    b"asid",
    b"exch",
    b"letg",
    b"hold",
    b"none",
)
"""The first five are questions of a server, each answered by itself with what was asked for, or by NO.

BARE with a mount point: nothing is mounted there yet; be ready to exchange it later.
LEFT: which mount is held of the process before?
ASIDE with a mount point: make a directory beside it to mount on; the answer has its path.
EXCHANGE: have the two change places; the answer has a path if the old directory could not be removed.
LET_GO: let what is held die. HOLD with a mount and a descriptor: hold this one from now on.
"""

_ANSWER_S = 10.0
"""For the keeper, which waits for nothing else."""

_IN = struct.Struct("=IIQ")
"""struct fuse_in_header of linux/fuse.h up to the number of the request: length, opcode, unique."""

_OUT = struct.Struct("=IiQ")
"""struct fuse_out_header: length, negative errno, unique."""

_UNANSWERED = frozenset({2, 36, 42})
"""Opcodes of requests without an answer: FORGET, INTERRUPT, BATCH_FORGET."""

_MOST_PAGES = 257
"""Pages of the longest request: a write, and its header."""

_MOST_ANSWERS = 10_000
"""Then the mount ends with whoever asks on and on through a handle of old."""


class Said(NamedTuple):
    """One message between a server and its keeper."""

    what: bytes
    """One of the above; empty if the other side has gone."""
    text: str
    """A path, or the device number of a mount as mountinfo has it."""
    device: int | None
    """A descriptor, which the receiver closes."""


ENDED = Said(b"", "", None)
"""What is received when the other side has gone."""


def received(line: socket.socket) -> Said:
    """Return the next message on *line*. Raises OSError."""
    message, descriptors, _, _ = socket.recv_fds(line, 8192, 1, socket.MSG_CMSG_CLOEXEC)
    return Said(
        message[: len(HOLD)],
        os.fsdecode(message[len(HOLD) :]),
        descriptors[0] if descriptors else None,
    )


def beside(mountpoint: Path, number: int = 0) -> Path:
    """Return the place beside *mountpoint* to mount on; the first is taken unless files are in it."""
    return mountpoint.with_name(f".{mountpoint.name}.lucidnode{number or ''}")


def said(what: bytes, text: str | Path = "") -> bytes:
    """Return the message that is `received` as *what* with *text*."""
    return what + os.fsencode(text)


class MountKeeper:
    """Our keeper, which has our mount outlive us, and takes us to the place of the one before.

    *line* is a packet socket to it. Who has gone holds nothing, and hears nothing.
    """

    def __init__(self, line: socket.socket) -> None:
        line.settimeout(_ANSWER_S)
        self._line = line

    def bare(self, mountpoint: Path) -> None:
        """Say that nothing is mounted at *mountpoint*, and that we are about to."""
        self._asked(said(BARE, mountpoint))

    def left(self) -> str | None:
        """Return which mount of the process before us is held, None if none is."""
        return self._asked(LEFT)

    def let_go(self) -> None:
        """Have what is held die: nothing can take its place before."""
        self._asked(LET_GO)

    def aside(self, mountpoint: Path) -> Path | None:
        """Return a new directory to mount on, to be exchanged; None if the system does not let us."""
        path = self._asked(said(ASIDE, mountpoint))
        return None if path is None else Path(path)

    def exchange(self) -> Path | None:
        """Put what is mounted aside in the place of what is left there, in one step.

        What was left dies. Returns where its directory is now if it cannot be removed, for there are
        files in it. Raises OSError if they did not change places.
        """
        path = self._asked(EXCHANGE)
        if path is None:
            raise OSError(errno.EBUSY, "the mount could not be exchanged")
        return Path(path) if path else None

    def hold(self, device: int, mount: str) -> None:
        """Have *device* held from now on, that of our *mount*; what was held before dies."""
        with contextlib.suppress(OSError):
            socket.send_fds(self._line, [said(HOLD, mount)], [device])

    def _asked(self, question: bytes) -> str | None:
        with contextlib.suppress(OSError):
            self._line.send(question)
            answer = received(self._line)
            if answer.what == question[: len(NO)]:
                return answer.text
        return None


class LeftMount:
    """Keeps a mount from dying. Owns *device*, that of *mount*; never waits."""

    def __init__(self, device: int, mount: str) -> None:
        self.mount = mount
        self._device = device

    def close(self) -> None:
        """Tell all who wait there that their handle is stale, and let it die."""
        with contextlib.suppress(OSError):  # it is unmounted
            self._send_away()
        os.close(self._device)

    def _send_away(self) -> None:
        os.set_blocking(self._device, False)  # the process that died may have had it otherwise
        buffer = bytearray(_MOST_PAGES * os.sysconf("SC_PAGE_SIZE"))
        for _ in range(_MOST_ANSWERS):
            # FileNotFoundError: whoever asked was ended meanwhile.
            with contextlib.suppress(FileNotFoundError):
                os.readv(self._device, [buffer])
                _, opcode, unique = _IN.unpack_from(buffer)
                if opcode not in _UNANSWERED:
                    os.write(self._device, _OUT.pack(_OUT.size, -errno.ESTALE, unique))
