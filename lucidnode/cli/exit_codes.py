"""What the command line exits with. Documented in README.md; scripts may rely on it."""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import Self

from lucidnode.fs import errors as fs
from lucidnode.node.bucket import errors as bucket
from lucidnode.node.client import errors as node
from lucidnode.node.config import NoStudio
from lucidnode.node.peers.errors import PortTaken


class Exit(IntEnum):
    """One code for each thing a person does next; `meaning` is its sentence in the README."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "It worked."
    FAILED = 1, "It failed for a reason of its own, which the line on standard error says."
    USAGE = 2, "The command was typed wrongly, or there is no terminal to ask on."
    NO_STUDIO = 3, "This workstation belongs to no studio yet: run `init` or `join`."
    PASSPHRASE = 4, "The passphrase, or the code of a ticket, is not the right one."
    BUCKET_WRONG = (
        5,
        ("The bucket is missing, somebody else's, no S3 store, unfit, or a studio already."),
    )
    BUCKET_AWAY = 6, "The bucket cannot be reached now: check the network and try again."
    MOUNT_POINT = 7, "The directory cannot be mounted on, is mounted or in use, or is no mount."
    NO_FUSE = 8, "There is no `/dev/fuse`, or no permission to use it."
    DISK_FULL = 9, "A disk of this workstation, mostly the cache's, has too little room."
    PORT_TAKEN = 10, "Another program listens on the port that was asked for."
    TICKET = 11, "The ticket is damaged, used already, or past its time."
    NO_DAEMON = 12, "No daemon runs here: `mount` or `daemon` starts one."
    NO_PROJECT = 13, "There is no project of that name that you can open."
    NOT_ALLOWED = 14, "Your role in the studio does not permit it."
    TIMED_OUT = 15, "What was waited for did not come in the time that was given."
    DAMAGED = 16, "`fsck` found that something is missing or damaged; it names what."
    INTERRUPTED = 130, "You pressed Ctrl-C."


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
    (fs.StillOnTheirWay, Exit.TIMED_OUT),
    (fs.LeaseUndecided, Exit.BUCKET_AWAY),
    (bucket.WrongBucket, Exit.BUCKET_WRONG),
    (bucket.StoreUnfit, Exit.BUCKET_WRONG),
    (node.AccessDenied, Exit.BUCKET_WRONG),
    (node.DiskFull, Exit.DISK_FULL),
    (NoStudio, Exit.NO_STUDIO),
    (PortTaken, Exit.PORT_TAKEN),
    (node.Unavailable, Exit.BUCKET_AWAY),
    (node.DaemonUnreachable, Exit.NO_DAEMON),
]

_CODE_OF_ERRNO = {
    errno.ENOSPC: Exit.DISK_FULL,
    errno.EDQUOT: Exit.DISK_FULL,
    errno.EADDRINUSE: Exit.PORT_TAKEN,
}


def exit_code(error: Exception) -> Exit:
    """Return what the command line exits with after *error*."""
    if isinstance(error, OSError):
        return _CODE_OF_ERRNO.get(error.errno or 0, Exit.FAILED)
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)
