"""Extended attributes: those that programs set, and ours, which tell how far a file is."""

from __future__ import annotations

from lucidnode.fs.errors import NotPermitted, Unsupported
from lucidnode.fs.files.file_states import XATTR_PREFIX, FileStates
from lucidnode.fs.files.shown_files import ShownFiles
from lucidnode.fs.files.stamps import Stamps
from lucidnode.fs.files.tree_changes import TreeChanges
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import RemoveXattr, SetXattr
from lucidnode.fs.replica.tree_reader import TreeReader

_ACL = b"system.posix_acl_"


class Xattrs:
    """The extended attributes of the files of one mount."""

    def __init__(
        self,
        tree: TreeReader,
        shown: ShownFiles,
        states: FileStates,
        changes: TreeChanges,
        clock: Stamps,
    ) -> None:
        self._tree = tree
        self._shown = shown
        self._states = states
        self._changes = changes
        self._clock = clock

    def get(self, ino: InodeNo, name: bytes) -> bytes:
        """Return an extended attribute; those of our own tell how far the file is.

        Raises FileMissing, NoAttribute.
        """
        if name.startswith(XATTR_PREFIX):
            return self._states.value(self._shown.stored(ino).ino, name)
        return self._tree.xattr(ino, name)

    def names(self, ino: InodeNo) -> list[bytes]:
        """Return the names of what was set.

        What we say ourselves is not listed: `cp -a` would try to set it on the copy.
        """
        return self._tree.xattr_names(ino)

    def set(self, ino: InodeNo, name: bytes, value: bytes) -> None:
        """Set an extended attribute.

        Raises NotPermitted, Unsupported, another FileError, ReadOnly or NoSpace.
        """
        _check_not_ours(name)
        if name.startswith(_ACL):
            # Kept, it would promise a protection that nobody gives.
            raise Unsupported("access control lists")
        self._changes.apply(SetXattr(ino, name, value, self._clock.wall_ns()))

    def remove(self, ino: InodeNo, name: bytes) -> None:
        """Remove an extended attribute.

        Raises NotPermitted, NoAttribute, another FileError, ReadOnly or NoSpace.
        """
        _check_not_ours(name)
        self._changes.apply(RemoveXattr(ino, name, self._clock.wall_ns()))


def _check_not_ours(name: bytes) -> None:
    if name.startswith(XATTR_PREFIX):
        raise NotPermitted("these attributes are set by Lucidnode itself")
