"""Has a new mount change places with a dead one, so that the directory below never shows.

`renameat2` exchanges two directories in one step, and what is mounted on them goes along; but not
where they are mounted on in the namespace of whoever asks. So a process waits in a mount namespace
of its own that was made before anything was mounted there. Without being root it needs a user
namespace for that, which some systems refuse: then there is no exchange, and the dead mount has to
be taken away before the new one is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import socket
from pathlib import Path

from lucidnode.fs.kernel import left_mount
from lucidnode.fs.kernel.left_mount import (
    ASIDE,
    BARE,
    ENDED,
    EXCHANGE,
    NO,
    received,
    said,
)
from lucidnode.node.client.mountinfo import mounts

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_REC, _MS_PRIVATE, _MNT_DETACH = 1 << 14, 1 << 18, 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME = 1, 4, 15
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""unshare(2), mount(2), umount2(2), prctl(2), renameat2(2)."""

_MOST_BESIDE = 100
"""Directories beside one mount point; each but the newest holds files that somebody left."""

_ANSWER_S = 5.0
"""For what takes microseconds."""

_libc = ctypes.CDLL(None, use_errno=True)


class MountExchange:
    """The process that exchanges what is mounted at *mountpoint*, where nothing is mounted yet.

    Raises OSError if the system does not let us.
    """

    def __init__(self, mountpoint: Path) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Not a program of its own: it would take longer to begin than to mount.
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _wait(mountpoint, theirs)
            finally:
                os._exit(1)
        theirs.close()
        self._line.settimeout(_ANSWER_S)
        if self._answer() != BARE:
            self.close()
            raise OSError(errno.EPERM, "the system gives us no mount namespace")

    def ask(self, question: bytes) -> bytes:
        """Return the answer to ASIDE or EXCHANGE, as a message."""
        with contextlib.suppress(OSError):
            self._line.send(question)
        return self._answer()

    def _answer(self) -> bytes:
        try:
            answer = received(self._line)
        except OSError:
            return NO
        return NO if answer == ENDED else said(answer.what, answer.text)

    def close(self) -> None:
        """End the process."""
        self._line.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _wait(mountpoint: Path, line: socket.socket) -> None:
    """Be the process that waits until *line* ends. Raises OSError."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the keeper has us end, when it has itself
    _keep_only(line.fileno())
    _move_apart(mountpoint)
    line.send(BARE)
    aside = mountpoint
    while (asked := received(line)) != ENDED:
        try:
            if asked.what == ASIDE:
                aside = made_beside(mountpoint)
                answer = said(ASIDE, aside)
            else:
                answer = said(EXCHANGE, _exchanged(aside, mountpoint))
        except OSError:
            answer = NO
        line.send(answer)


def _keep_only(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)
    for entry in Path("/proc/self/fd").iterdir():
        if (other := int(entry.name)) > 2 and other != descriptor:
            with contextlib.suppress(OSError):  # the one that lists them
                os.close(other)


def _move_apart(mountpoint: Path) -> None:
    """Go to a mount namespace in which nothing is or will be mounted at *mountpoint*, or beside it.

    As far as possible nothing else stays mounted because of us when others unmount it. Raises OSError.
    """
    lines = Path("/proc/self/mountinfo").read_bytes()
    around = [
        mount.directory
        for mount in mounts(lines)
        if mountpoint.parent.is_relative_to(mount.directory)
    ]
    if _libc.unshare(_CLONE_NEWNS) == 0:
        _checked(_libc.mount(None, b"/", None, _MS_PRIVATE | _MS_REC, None))
        for mount in reversed(mounts(lines)):
            if mount.directory not in around:
                _libc.umount2(os.fsencode(mount.directory), _MNT_DETACH)
    else:
        # Here nothing can be unmounted. What is unmounted elsewhere is unmounted here as well where
        # mounts are shared, as systemd has them; else it stays busy until our mount ends.
        if any(mount.directory == mountpoint for mount in mounts(lines)):
            raise OSError(errno.EBUSY, "a dead mount would stay in the way")
        _checked(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWUSER))
        deepest = max(around, key=lambda directory: len(directory.parts))
        _checked(_libc.mount(None, os.fsencode(deepest), None, _MS_PRIVATE, None))
    # After that: the kernel forgets both when a process gets other rights.
    _checked(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    _checked(_libc.prctl(_PR_SET_NAME, b"mount-exchange", 0, 0, 0))


def made_beside(mountpoint: Path) -> Path:
    """Make a directory like *mountpoint* beside it. Raises OSError."""
    for number in range(_MOST_BESIDE):
        beside = left_mount.beside(mountpoint, number)
        with contextlib.suppress(OSError):
            beside.rmdir()  # of one that failed: what is mounted there goes as well
        with contextlib.suppress(FileExistsError):
            beside.mkdir()
            try:
                _be_like(mountpoint, beside)
            except OSError:
                beside.rmdir()  # a full disk, say
                raise
            return beside
    raise OSError(errno.EEXIST, "files lie in all directories beside the mount point")


def _be_like(model: Path, made: Path) -> None:
    """Give the new directory *made* what *model* has but its files. Raises OSError."""
    wanted, found = model.stat(), made.stat()
    if (wanted.st_uid, wanted.st_gid) != (found.st_uid, found.st_gid):
        os.chown(made, wanted.st_uid, wanted.st_gid)
    shutil.copystat(model, made)


def _exchanged(beside: Path, mountpoint: Path) -> str | Path:
    """Exchange the two directories, and remove what is beside then with the mount on it.

    Returns its path if it has files in it. Raises OSError if they were not exchanged.
    """
    there, here = os.fsencode(beside), os.fsencode(mountpoint)
    _checked(_libc.renameat2(_AT_FDCWD, there, _AT_FDCWD, here, _RENAME_EXCHANGE))
    try:
        beside.rmdir()
    except OSError:
        return beside
    return ""


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
