"""Settles conflicts for people who do it on the dashboard: what `lucidnode conflicts` does by hand.

Both go the way of any program that renames or removes a file here, with the same refusals: a drive
that is read-only, also because its member is a viewer, and a file that another workstation has for
itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lucidnode.fs.errors import FileMissing, FsError
from lucidnode.fs.files.conflicts import Conflicts
from lucidnode.fs.files.file_system import FileSystem
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.conflict_name import named, parted, version_names
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import RENAME_NOREPLACE
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.conflicts import ConflictOrder, ConflictQuery, ConflictReply


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictSettling:
    """Settles those of one mount. *touched* has the kernel forget what was done without it."""

    files: FileSystem
    tree: TreeReader
    conflicts: Conflicts
    workstation: Callable[[], str]
    touched: Callable[[Touched], None]

    async def ordered(self, query: ConflictQuery) -> ConflictReply:
        """Do what *query* wants, and say so once it is durable; or say why it cannot be done."""
        try:
            parent, name = self.conflicts.place(query.path)
            changed = await self._settled(parent, name, query.order)
            self.touched(changed)
            await self.files.sync_directory()
        except FsError as error:
            return ConflictReply(query.number, str(error) or type(error).__name__)
        return ConflictReply(query.number)

    async def _settled(self, parent: InodeNo, name: bytes, order: ConflictOrder) -> Touched:
        original, whose = parted(name)
        if order == "dismiss":
            lookup = self.tree.lookup
            free = next(each for each in version_names(name) if lookup(parent, each) is None)
            await self.files.exclusively(parent, free, 0)
            self.files.rename(parent, name, parent, free, RENAME_NOREPLACE)
            return _touched(parent, name, free)
        beside = self.tree.lookup(parent, original)
        if (order == "mine") is (whose == named(self.workstation())):
            self.files.rename(parent, name, parent, original, 0)
        elif beside is None:
            raise FileMissing("there is no other version beside it to keep")
        else:
            self.files.unlink(parent, name)
        return _touched(parent, name, original)


def _touched(parent: InodeNo, *names: bytes) -> Touched:
    return Touched(
        inodes=frozenset((parent,)),
        content=frozenset(),
        names=frozenset((parent, name) for name in names),
        moved={},
        conflicts=(),
        refused=None,
        shifted={},
    )
