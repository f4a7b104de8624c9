"""What the command line exits with. Documented in README.md; scripts may rely on it."""

from __future__ import annotations

from enum import IntEnum

from lucidnode.fs import errors as fs
from lucidnode.node.bucket import errors as bucket
from lucidnode.node.client import errors as node
from lucidnode.node.config import NoStudio
from lucidnode.node.peers.errors import PortTaken


class Exit(IntEnum):
    """One code for each thing a person does next."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_STUDIO = 3
    PASSPHRASE = 4
    BUCKET_WRONG = 5
    BUCKET_AWAY = 6
    MOUNT_POINT = 7
    NO_FUSE = 8
    DISK_FULL = 9
    PORT_TAKEN = 10
    TICKET = 11
    NO_DAEMON = 12
    NO_PROJECT = 13
    NOT_ALLOWED = 14


_CODES: list[tuple[type[Exception], Exit]] = [
    # The most special first: the first class that fits decides.
    (fs.WrongPassphrase, Exit.PASSPHRASE),
    (fs.SealDamaged, Exit.TICKET),
    (fs.TicketSpent, Exit.TICKET),
    (fs.NoSuchProject, Exit.NO_PROJECT),
    (fs.MembershipError, Exit.NOT_ALLOWED),
    (fs.FuseMissing, Exit.NO_FUSE),
    (fs.MountError, Exit.MOUNT_POINT),
    (fs.NoSpace, Exit.DISK_FULL),
    (bucket.WrongBucket, Exit.BUCKET_WRONG),
    (bucket.Unfit, Exit.BUCKET_WRONG),
    (node.AccessDenied, Exit.BUCKET_WRONG),
    (node.NoSpace, Exit.DISK_FULL),
    (NoStudio, Exit.NO_STUDIO),
    (PortTaken, Exit.PORT_TAKEN),
    (node.Unavailable, Exit.BUCKET_AWAY),
    (node.DaemonUnreachable, Exit.NO_DAEMON),
]


def exit_code(error: Exception) -> Exit:
    """Return what the command line exits with after *error*."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)
