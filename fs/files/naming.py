"""Who may make a name that nobody else may have: where that is not for this workstation alone to say.

`mkdir`, `symlink`, `link`, `mknod`, `open` with O_EXCL and `rename` with RENAME_NOREPLACE.
"""

from __future__ import annotations

from typing import Protocol

from lucidnode.fs.replica.inode import InodeNo


class Naming(Protocol):
    """Decides it (DirectoryLeases)."""

    def admits(self, directory: InodeNo) -> bool:
        """Tell whether names in *directory* are decided here and now, without asking anybody."""

    async def admitted(self, directory: InodeNo) -> None:
        """Return once `admits` may hold. Raises LeaseUndecided."""

    def lease_of_new(self) -> bytes:
        """Return the lease that a directory gets which is made here now; empty for none."""


class NamedByAll:
    """Where nothing can be written, or nobody else is: nothing is asked."""

    def admits(self, _directory: InodeNo) -> bool:
        """Admit everybody."""
        return True

    async def admitted(self, _directory: InodeNo) -> None:
        """Wait for nothing."""

    def lease_of_new(self) -> bytes:
        """Hold nothing."""
        return b""
