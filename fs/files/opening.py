"""Who may open a file for writing, where that is not for this workstation alone to say."""

from __future__ import annotations

from typing import Literal, Protocol

from lucidnode.fs.errors import NoAttribute, Unsupported
from lucidnode.fs.replica.inode import InodeNo

LOCK_XATTR = b"user.lucid.lock"
"""The extended attribute that says whether somebody has a file for himself, and by which one takes it."""

HOLDER_XATTR = b"user.lucid.lock.device"
"""Which workstation that is, as people call it."""

LockOrder = Literal["take", "release", "break"]
"""What may be set as LOCK_XATTR."""


class Opening(Protocol):
    """Decides it (WriteLeases)."""

    def admits(self, ino: InodeNo) -> bool:
        """Tell whether *ino* may be opened for writing here and now, without asking anybody."""

    async def admitted(self, ino: InodeNo) -> None:
        """Return once `admits` may hold. Raises a FileError, ReadOnly or NoSpace."""

    def created(self, ino: InodeNo, name: bytes) -> None:
        """Note that a program has made *ino* just now, and has it open for writing."""

    def shown_unclosed(self, ino: InodeNo) -> None:
        """Note that others are about to see what a program has written to *ino*, which it has open."""

    def check_free(self, ino: InodeNo) -> None:
        """Raise HeldElsewhere if another workstation has *ino* for itself."""

    def follow(self, replaced: InodeNo, parent: InodeNo, name: bytes) -> None:
        """Have what this workstation holds of *replaced* go over to the file *name*, which gets its name now."""

    def shown(self, ino: InodeNo, name: bytes) -> bytes:
        """Return the value of one of the attributes above. Raises NoAttribute."""

    async def ordered(self, ino: InodeNo, order: bytes) -> None:
        """Do what a person wants of *ino*. Raises Invalid, a FileError, ReadOnly or NoSpace."""


class OpenToAll:
    """Where nothing can be written, or nobody else is: nothing is asked."""

    def admits(self, _ino: InodeNo) -> bool:
        """Admit everybody."""
        return True

    async def admitted(self, _ino: InodeNo) -> None:
        """Wait for nothing."""

    def created(self, _ino: InodeNo, _name: bytes) -> None:
        """Remember nothing."""

    def shown_unclosed(self, _ino: InodeNo) -> None:
        """Take nothing."""

    def check_free(self, _ino: InodeNo) -> None:
        """Find nobody."""

    def follow(self, _replaced: InodeNo, _parent: InodeNo, _name: bytes) -> None:
        """Hold nothing."""

    def shown(self, _ino: InodeNo, name: bytes) -> bytes:
        """Know of nobody."""
        raise NoAttribute(name.decode(errors="replace"))

    async def ordered(self, _ino: InodeNo, _order: bytes) -> None:
        """Refuse every order."""
        raise Unsupported("files cannot be locked on this mount")
