"""What the plaintext plane raises, grouped by what its caller does next.

FsError                       base; `errno` is what a FUSE reply carries
├── FileError                 the answer to an application: it asked for what cannot be
│   ├── FileMissing           ENOENT       no such name, or the inode is gone
│   ├── NameTaken             EEXIST       a name (or an attribute) exists already
│   ├── NotDirectory          ENOTDIR
│   ├── IsDirectory           EISDIR
│   ├── NotEmpty              ENOTEMPTY
│   ├── NameTooLong           ENAMETOOLONG
│   ├── NoAttribute           ENODATA      no such extended attribute
│   ├── AttributeTooBig       E2BIG
│   ├── NoRoomForAttribute    ENOSPC       the file has as many attributes as we keep
│   ├── Cycle                 EINVAL       a directory would move below itself
│   ├── Invalid               EINVAL       arguments that mean nothing
│   ├── NoMoreData            ENXIO        nothing but a hole from there on
│   ├── Interrupted           EINTR        whoever asked waits no longer
│   ├── LockHeld              EAGAIN       somebody else has a lock there
│   ├── Deadlock              EDEADLK      a wait for a lock that would not end
│   ├── LeaseMoved            EAGAIN       a lease is not as it was when somebody wanted to change it
│   ├── HeldElsewhere         EBUSY        another workstation has the file for itself
│   │   └── ReadOnlyHere      EACCES       the same, where it can be opened for reading meanwhile
│   ├── LeaseUndecided        EAGAIN       nobody can say now whether another workstation has the file
│   ├── NoLocks               ENOLCK       a file has as many locks as we keep
│   ├── NotPermitted          EPERM        such as a hard link to a directory
│   ├── Unsupported           ENOTSUP      a request we answer no to for everybody
│   ├── OtherTree             EXDEV        of a snapshot and of now
│   ├── FileTooBig            EFBIG
│   ├── ReadOnly              EROFS        mounted read-only, or gone read-only after a fault
│   ├── NoSpace               ENOSPC       staging budget or local disk exhausted
│   ├── OverQuota             EDQUOT       the project is as large as it may be
│   └── Unreadable            EIO          no source gave the right bytes
│       ├── HeldBack          an indexer, which may fetch no more: people want it so
│       └── BlockAmiss        damaged or missing everywhere: a person should hear of it
├── FormatError               bytes from outside break format 1: never used, never shown
│   ├── Forged                authentication failed: wrong key, wrong place or altered
│   ├── NewerFormat           EROFS        authentic, but made by a later version of Lucidnode: update it
│   ├── KeyMissing            sealed in an epoch whose key we do not hold: read the roster again
│   ├── BlockError            drop the copy, ask the next source, else Unreadable
│   │   ├── BlockTruncated    shorter than its name says
│   │   ├── BlockExtended     longer than its name says
│   │   ├── BlockMisshapen    a size or a header that no block has
│   │   ├── BlockWrongEpoch   its header names another epoch than its name
│   │   ├── BlockMisnamed     its hash is not its id
│   │   └── BlockForged       (also Forged) does not open at this place under this name
│   ├── BadCheckpoint         a checkpoint that is none, or is not true: read an older one, or the journal
│   └── BadEntry              a journal entry that counts as empty for everyone
│       ├── EntryMisshapen    cut, extended, no entry at all, or its contents break the format
│       ├── EntryMisplaced    another sequence number, project or predecessor than its slot has
│       │   └── EntryAstray   sound, but made on another history: see first that ours still stands
│       ├── EntryUnauthorised signed by nobody who may write here: read the roster again first
│       ├── EntryUnannounced  of a format or epoch the roster does not know: the same
│       ├── EntryOutdated     of an older epoch than an entry before it: its maker may have been put out
│       └── EntryForged       (also Forged) the signature or the seal does not hold
├── HistoryForked             EROFS        the bucket has lost our head: read-only until it is back, or repaired
├── ReplicaError              the local replica cannot be used
│   ├── ReplicaKeyWrong       the file exists, but this key does not open it
│   ├── ReplicaCorrupt        SQLite finds it damaged
│   └── ReplicaBusy           EBUSY        another process has it open
├── MountError                the mount cannot start: one sentence for the person who typed it
│   ├── MountPointMissing     ENOENT       it is not there, or not a directory
│   ├── MountPointBusy        EBUSY        something is mounted there, or files are in the way
│   ├── AlreadyMounted        EBUSY        this project is mounted from this home already
│   ├── FuseMissing           ENODEV       no /dev/fuse, or no permission to use it
│   └── CacheInsideMount      EINVAL       the mount would read itself
├── HistoryError              EINVAL       what was asked of the past: for the person who typed it
│   ├── NoSuchPoint           no point in time of this project
│   ├── CannotCollect         EAGAIN       nothing is deleted now
│   ├── GivenWay              EAGAIN       a collection makes room for others, and goes on later
│   ├── NoSuchPast            ENOENT       nothing of that name was there
│   │   └── OlderNeeded       ENOENT       the same, as far back as the past was read: read on
│   ├── NoWayBack             the past cannot be read backwards from there: read it forwards
│   └── InTheWay              EEXIST       something else is where it should come back to
├── StillOnTheirWay           files are not in the cloud after the time that somebody gave them
└── MembershipError           EACCES       keys, tickets and who may do what: for the person who typed it
    ├── WrongPassphrase       also: wrong code of a ticket
    ├── SealDamaged           a member file or ticket with bytes changed or missing
    ├── NotAMember            the roster does not list these keys
    ├── NotAllowed            the member's role does not permit it
    ├── TicketSpent           the invite was used, withdrawn or is past its time
    └── NoSuchProject         ENOENT       no project of that name that this member can open
"""

from __future__ import annotations

import errno
from typing import ClassVar

from lucidnode.node.client.bad_blocks import Amiss
from lucidnode.node.client.ids import BlockId


class FsError(Exception):
    """Base of everything this plane raises. `errno` is what a FUSE reply carries."""

    errno: ClassVar[int] = errno.EIO


# -- answers to applications ---------------------------------------------------------------------


class FileError(FsError):
    """The file system's answer to an operation that cannot be done."""


class FileMissing(FileError):
    """No such name, or the inode is gone."""

    errno = errno.ENOENT


class NameTaken(FileError):
    """The name, or the extended attribute, exists already."""

    errno = errno.EEXIST


class NotDirectory(FileError):
    """A directory is needed here."""

    errno = errno.ENOTDIR


class IsDirectory(FileError):
    """Anything but a directory is needed here."""

    errno = errno.EISDIR


class NotEmpty(FileError):
    """The directory still has names."""

    errno = errno.ENOTEMPTY


class NameTooLong(FileError):
    """A name over 255 bytes, or a symbolic link's target over 4095."""

    errno = errno.ENAMETOOLONG


class NoAttribute(FileError):
    """No such extended attribute."""

    errno = errno.ENODATA


class AttributeTooBig(FileError):
    """An extended attribute over the size we keep."""

    errno = errno.E2BIG


class NoRoomForAttribute(FileError):
    """A file has as many extended attributes, or bytes in them, as we keep."""

    errno = errno.ENOSPC


class Cycle(FileError):
    """A directory cannot move below itself."""

    errno = errno.EINVAL


class Invalid(FileError):
    """Arguments that mean nothing, such as a negative size or unknown flags."""

    errno = errno.EINVAL


class NoMoreData(FileError):
    """Nothing but a hole, or the end, from there on."""

    errno = errno.ENXIO


class Interrupted(FileError):
    """Whoever asked waits no longer: he is being killed, or has had a signal."""

    errno = errno.EINTR


class LockHeld(FileError):
    """Somebody else has a lock there, and whoever asked does not want to wait."""

    errno = errno.EAGAIN


class Deadlock(FileError):
    """Whoever has the lock waits for one that the asker has."""

    errno = errno.EDEADLK


class LeaseMoved(FileError):
    """A lease is not as it was when somebody wanted to change it: another was first."""

    errno = errno.EAGAIN


class HeldElsewhere(FileError):
    """Another workstation has the file for itself: it is open for writing there, or a person locked it."""

    errno = errno.EBUSY


class ReadOnlyHere(HeldElsewhere):
    """The same, on a mount where programs shall take that for a file they may only read."""

    errno = errno.EACCES


class LeaseUndecided(FileError):
    """The bucket does not answer, and only there it is known who has the file for himself."""

    errno = errno.EAGAIN


class NoLocks(FileError):
    """A file has as many locks as we keep."""

    errno = errno.ENOLCK


class NotPermitted(FileError):
    """Nobody may do this, such as a hard link to a directory."""

    errno = errno.EPERM


class Unsupported(FileError):
    """A request that is answered no for everybody."""

    errno = errno.ENOTSUP


class OtherTree(FileError):
    """A file of a snapshot and one of now do not get a name, or bytes, in common."""

    errno = errno.EXDEV


class FileTooBig(FileError):
    """An offset or a size past the largest file."""

    errno = errno.EFBIG


class ReadOnly(FileError):
    """Mounted read-only, or gone read-only after a fault."""

    errno = errno.EROFS


class NoSpace(FileError):
    """Staging budget or local disk exhausted; nothing of this write is acknowledged."""

    errno = errno.ENOSPC


class OverQuota(FileError):
    """The project is as large as its members have agreed on."""

    errno = errno.EDQUOT


class Unreadable(FileError):
    """No source gave the right bytes."""

    errno = errno.EIO


class HeldBack(Unreadable):
    """*program*, an indexer, may not fetch it; *ahead*: that was asked before anybody read."""

    def __init__(self, program: str, message: str, *, ahead: bool) -> None:
        super().__init__(message)
        self.program = program
        self.ahead = ahead


class BlockAmiss(Unreadable):
    """Every source that answers gives wrong bytes for *block*, or none has it: see *amiss*."""

    def __init__(self, block: BlockId, amiss: Amiss, message: str) -> None:
        super().__init__(message)
        self.block = block
        self.amiss: Amiss = amiss


# -- bytes that break format 1 -------------------------------------------------------------------


class FormatError(FsError):
    """Bytes from outside that break format 1 (docs/format.md)."""


class Forged(FormatError):
    """Authentication failed: another key, another place, or altered bytes."""


class NewerFormat(FormatError):
    """Authentic, but written by a later version of Lucidnode."""

    errno = errno.EROFS


class KeyMissing(FormatError):
    """Sealed in an epoch whose key this member does not hold (yet)."""


class BlockError(FormatError):
    """This copy of a block is of no use; another copy may be."""


class BlockTruncated(BlockError):
    """Shorter than its name says."""


class BlockExtended(BlockError):
    """Longer than its name says."""


class BlockMisshapen(BlockError):
    """A size or a header that no block has."""


class BlockWrongEpoch(BlockError):
    """The header names another epoch than the block's name."""


class BlockMisnamed(BlockError):
    """The hash of the bytes is not the id."""


class BlockForged(BlockError, Forged):
    """Does not open at this place under this name."""


class BadCheckpoint(FormatError):
    """A checkpoint that cannot be used; the words say why."""


class BadEntry(FormatError):
    """A journal entry that counts as empty: skipped and reported by every node alike."""


class EntryMisshapen(BadEntry):
    """Cut, extended, no entry at all, or its contents break the format."""


class EntryMisplaced(BadEntry):
    """Made for another sequence number, project or predecessor."""


class EntryAstray(EntryMisplaced):
    """Sound, but *device* made it on top of another entry, or another verdict, than ours."""

    def __init__(self, seq: int, device: str) -> None:
        super().__init__(f"entry {seq}: device {device} made it on another history")
        self.device = device


class EntryUnauthorised(BadEntry):
    """Signed by a device that may not write here."""


class EntryUnannounced(BadEntry):
    """Of a format or an epoch that no owner has announced in the roster.

    One member's word does not make a format or an epoch: it would stop everybody else.
    """


class EntryOutdated(BadEntry):
    """Made in an older epoch than an entry before it: perhaps by somebody who was put out by then."""


class EntryForged(BadEntry, Forged):
    """The signature or the seal does not hold."""


class HistoryForked(FsError):
    """The bucket is proven not to hold our head any more."""

    errno = errno.EROFS


# -- the local replica ---------------------------------------------------------------------------


class ReplicaError(FsError):
    """The local replica cannot be used."""


class ReplicaKeyWrong(ReplicaError):
    """The file exists, but this key does not open it."""


class ReplicaCorrupt(ReplicaError):
    """SQLite finds the file damaged."""


class ReplicaBusy(ReplicaError):
    """Another process has the replica open."""

    errno = errno.EBUSY


# -- starting a mount ----------------------------------------------------------------------------


class MountError(FsError):
    """The mount cannot start; the message is one sentence for a person."""


class MountPointMissing(MountError):
    """The mount point is not there, or is not a directory."""

    errno = errno.ENOENT


class MountPointBusy(MountError):
    """Something is mounted there already, or files are in the way."""

    errno = errno.EBUSY


class AlreadyMounted(MountError):
    """This project is mounted from this home already."""

    errno = errno.EBUSY


class FuseMissing(MountError):
    """No /dev/fuse, or no permission to use it."""

    errno = errno.ENODEV


class CacheInsideMount(MountError):
    """The home or cache directory lies inside the mount point."""

    errno = errno.EINVAL


# -- history -------------------------------------------------------------------------------------


class HistoryError(FsError):
    """What was asked of the past; the message is one sentence for a person."""

    errno = errno.EINVAL


class NoSuchPoint(HistoryError):
    """No point in time of this project."""


class NoSuchPast(HistoryError):
    """Nothing of that name was there."""

    errno = errno.ENOENT


class OlderNeeded(NoSuchPast):
    """What tells it lies before the entry that the past begins at here: read further back."""


class NoWayBack(HistoryError):
    """What an entry counted as cannot be told from those behind it: read from an older one forward."""


class CannotCollect(HistoryError):
    """Nothing is deleted now."""

    errno = errno.EAGAIN


class GivenWay(HistoryError):
    """A collection ends here, for others or since it has used what it may, and goes on later."""

    errno = errno.EAGAIN


class InTheWay(HistoryError):
    """Something else is where a part of the past should come back to."""

    errno = errno.EEXIST


# -- what people wait for -----------------------------------------------------------------------


class StillOnTheirWay(FsError):
    """Files are not in the cloud after the time that somebody gave them."""


# -- membership ----------------------------------------------------------------------------------


class MembershipError(FsError):
    """Keys, tickets and roles; the message is one sentence for a person."""

    errno = errno.EACCES


class WrongPassphrase(MembershipError):
    """The passphrase, or the code of a ticket, is not the right one."""


class SealDamaged(MembershipError):
    """A member file or a ticket with bytes changed or missing."""


class NotAMember(MembershipError):
    """The roster does not list these keys."""


class NotAllowed(MembershipError):
    """The member's role does not permit it."""


class TicketSpent(MembershipError):
    """The invite was used, withdrawn, or is past its time."""


class NoSuchProject(MembershipError):
    """No project of that name that this member can open."""

    errno = errno.ENOENT
