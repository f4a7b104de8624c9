"""Extended attributes: those that programs set, and ours, which tell how far a file is."""

from __future__ import annotations

from lucidnode.fs.errors import NotPermitted, Unsupported
from lucidnode.fs.files.file_states import XATTR_PREFIX, FileStates
from lucidnode.fs.files.killed import unless_killed
from lucidnode.fs.files.opening import HOLDER_XATTR, LOCK_XATTR, Opening
from lucidnode.fs.files.shown_files import ShownFiles
from lucidnode.fs.files.stamps import Stamps
from lucidnode.fs.files.tree_changes import TreeChanges
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import RemoveXattr, SetXattr
from lucidnode.fs.replica.tree_reader import TreeReader

_UNSUPPORTED = (b"security.", b"system.")
"""What the kernel's own modules keep of a file: access control lists, labels, capabilities. Kept, they
would promise a protection, or a right, that no mount gives. The kernel channel refuses them as well
(fs/channel/native/request.c)."""


class Xattrs:
    """The extended attributes of the files of one mount."""

    def __init__(
        self,
        tree: TreeReader,
        shown: ShownFiles,
        states: FileStates,
        changes: TreeChanges,
        clock: Stamps,
        opening: Opening,
    ) -> None:
        self._tree = tree
        self._shown = shown
        self._states = states
        self._changes = changes
        self._clock = clock
        self._opening = opening

    def get(self, ino: InodeNo, name: bytes) -> bytes:
        """Return an extended attribute; those of our own tell how far the file is.

        Raises FileMissing, NoAttribute, Unsupported: programs then ask no other file for it.
        """
        _check_supported(name)
        if name in {LOCK_XATTR, HOLDER_XATTR}:
            return self._opening.shown(self._shown.stored(ino).ino, name)
        if name.startswith(XATTR_PREFIX):
            return self._states.value(self._shown.stored(ino).ino, name)
        return self._tree.xattr(ino, name)

    def names(self, ino: InodeNo) -> list[bytes]:
        """Return the names of what was set.

        What we say ourselves is not listed: `cp -a` would try to set it on the copy.
        """
        return [name for name in self._tree.xattr_names(ino) if not name.startswith(_UNSUPPORTED)]

    def set(self, ino: InodeNo, name: bytes, value: bytes) -> None:
        """Set an extended attribute.

        Raises NotPermitted, Unsupported, another FileError, ReadOnly or NoSpace.
        """
        _check_not_ours(name)
        _check_supported(name)
        self._changes.apply(SetXattr(ino, name, value, self._clock.wall_ns()))

    async def set_or_order(self, ino: InodeNo, name: bytes, value: bytes, pid: int) -> None:
        """Set an extended attribute for *pid*, or do what it wants of the file's write lease.

        Raises as `set`, Invalid, HeldElsewhere, LeaseUndecided or Interrupted.
        """
        if name != LOCK_XATTR:
            self.set(ino, name, value)
            return
        self._changes.check_writable()
        ordered = self._opening.ordered(self._shown.stored(ino).ino, value)
        await unless_killed(pid, ordered, self._clock)

    def remove(self, ino: InodeNo, name: bytes) -> None:
        """Remove an extended attribute.

        Raises NotPermitted, Unsupported, NoAttribute, another FileError, ReadOnly or NoSpace.
        """
        _check_not_ours(name)
        _check_supported(name)
        self._changes.apply(RemoveXattr(ino, name, self._clock.wall_ns()))


def _check_not_ours(name: bytes) -> None:
    if name.startswith(XATTR_PREFIX):
        raise NotPermitted("these attributes are set by Lucidnode itself")


def _check_supported(name: bytes) -> None:
    if name.startswith(_UNSUPPORTED):
        raise Unsupported("attributes of the kernel's own modules")
