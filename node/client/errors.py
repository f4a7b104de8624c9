"""What a caller of the daemon can meet, grouped by what it does next.

NodeError
├── Malformed  EINVAL     bytes or text from outside break their format: drop them
├── DaemonUnreachable     no daemon answers on the socket: start one, or say so
├── Refused               the daemon understood and said no; the message says why
│   ├── NotOurs           what lies on the disk is sealed under another key
│   └── Locked            what lies on the disk is sealed, and nobody here holds the key: unlock
├── Unavailable           bucket and peers cannot be asked now: retry later, then EIO
│   ├── AccessDenied      the bucket refuses our credentials: tell a person
│   └── Held              it waits for its turn on a line that people hold to a rate: ask again
├── Withheld              an indexer wants what is not near, and has had enough: EIO, for it alone
├── NotThere              the bucket answered, and the object does not exist
├── Corrupt               what came back is not what was asked for: other source, else EIO
│   └── Archived          the store has it in an archive, and hands it out to nobody now
└── DiskFull  ENOSPC      the local disk or the staging budget is full
"""

from __future__ import annotations

import errno
from typing import ClassVar


class NodeError(Exception):
    """Base of everything this plane raises. `errno` is what a FUSE reply would carry."""

    errno: ClassVar[int] = errno.EIO


class Malformed(NodeError):
    """Input from outside breaks its format."""

    errno = errno.EINVAL


class DaemonUnreachable(NodeError):
    """No node daemon answers on the socket."""


class Refused(NodeError):
    """The daemon understood the request and declined it."""


class NotOurs(Refused):
    """A sealed secret opens under another key than this workstation's, or was changed."""


class Locked(Refused):
    """The secrets of this workstation are sealed, and this process has no key to them."""


class Unavailable(NodeError):
    """Nobody who has it can be reached now; unknown, never absent."""

    def __init__(self, cause: str = "", remedy: str = "", *, lasting: bool = False) -> None:
        """*cause* says what is wrong; *remedy*, what a person can do, comes as half a sentence.

        *lasting* says that asking again before somebody did something is no use.
        """
        joint = ":" if ": " not in cause else ";"
        super().__init__(f"{cause.removesuffix('.')}{joint} {remedy}." if remedy else cause)
        self.cause = cause
        self.remedy = remedy
        self.lasting = lasting


class AccessDenied(Unavailable):
    """The bucket rejects the credentials of this node."""


class Held(Unavailable):
    """What was asked for waits for its turn: the line to the bucket is held to a rate."""


class Withheld(NodeError):
    """An indexer (node/blocks/indexers.py) may not fetch what it asks for."""


class NotThere(NodeError):
    """The store answered: the object does not exist."""


class Corrupt(NodeError):
    """Bytes that do not match their name."""


class Archived(Corrupt):
    """The object is there and cannot be read before somebody restores it: another source, or EIO."""


class DiskFull(NodeError):
    """Local disk or staging budget exhausted."""

    errno = errno.ENOSPC
