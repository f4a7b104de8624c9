"""How many reads the kernel hands to a mount at the same time before it holds up the next one.

It begins with 12, counted over the whole mount, and lets nobody read a page that it does not have
while so many are under way: a dozen readers that wait for the network would hold up every other
program, also one whose blocks are on this disk. The kernel channel asks for more as the session
begins (fs/channel); this is for mounts without it. libfuse could ask as well, but pyfuse3 does not
let its `init` change what it asks, and libfuse refuses `max_background` as an option of a session;
so it is set in the kernel's control file system, fusectl.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from lucidnode.fs.kernel.mountpoint import mounted_at

CONTROL = Path("/sys/fs/fuse/connections")
"""Where systems mount fusectl. Who has mounted a file system owns its files there."""

MIN_REQUESTS = 16
"""The kernel takes no more from an ordinary user than its memory allows; fewer than these would be
no gain."""

_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
"""System calls without a wrapper in older C libraries; the numbers are the same on every machine."""

_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_FSCONFIG_CMD_CREATE = 6


def raise_background(directory: Path, requests: int) -> int | None:
    """Let the kernel have up to *requests* reads under way on the mount at *directory*.

    Returns how many it agreed to, or None if we may not tell it. Blocking.
    """
    found = mounted_at(directory)
    if found is None:
        return None
    connection = found.device.partition(":")[2]
    with contextlib.suppress(OSError), _control() as control:
        while requests >= MIN_REQUESTS:
            if _written(control, f"{connection}/max_background", requests):
                _written(control, f"{connection}/congestion_threshold", requests)
                return requests
            requests //= 2
    return None


def _written(control: int, name: str, number: int) -> bool:
    """Write *number*; False if the kernel finds it too large. Raises OSError for anything else."""
    file = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=control)
    try:
        os.write(file, str(number).encode())
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    finally:
        os.close(file)
    return True


@contextlib.contextmanager
def _control() -> Iterator[int]:
    """Yield a descriptor of fusectl: where it is mounted, or else, for root, of a mount of our own.

    That one is attached nowhere, and goes when we are done. Raises OSError.
    """
    mounted = any(True for _ in CONTROL.iterdir())
    where = (
        os.open(CONTROL, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if mounted
        else _detached_mount()
    )
    try:
        yield where
    finally:
        os.close(where)


def _detached_mount() -> int:
    context = _call(_FSOPEN, b"fusectl", _FSOPEN_CLOEXEC)
    try:
        _call(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        return _call(_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0)
    finally:
        os.close(context)


def _call(number: int, *arguments: int | bytes | None) -> int:
    result: int = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
