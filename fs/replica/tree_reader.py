"""The project's tree as programs see it: the tables, with what lies over them on this node.

Over the tables lie the loose tails (tail_table.py), files kept for those who use them (pending/kept_files.py),
contents of which a part is still to come (pending/earlier_contents.py), and directories that became one with
another node's (pending/inode_aliases.py). Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import NOT_COUNTED, Attributes, Extent, InodeNo, Tail, Version
from lucidnode.fs.replica.pending.earlier_contents import EarlierContents
from lucidnode.fs.replica.pending.inode_aliases import InodeAliases
from lucidnode.fs.replica.pending.kept_files import KeptFiles
from lucidnode.fs.replica.tail_table import TailTable
from lucidnode.fs.replica.tree.queries import Place, Queries
from lucidnode.fs.replica.usage import ProjectUsage
from lucidnode.node.client.ids import BlockId

_MAX_COUNTED_FILES = 4096
"""Large files whose stored bytes are remembered."""


class TreeReader:
    """Answers every question about the tree of one replica (`Replica.tree`).

    All raise as `Database.rows`: a ReplicaError where the file cannot be read.
    """

    def __init__(
        self,
        queries: Queries,
        tails: TailTable,
        earlier: EarlierContents,
        kept: KeptFiles,
        aliases: InodeAliases,
        usage: ProjectUsage,
    ) -> None:
        self._queries = queries
        self._tails = tails
        self._earlier = earlier
        self._kept = kept
        self._aliases = aliases
        self._usage = usage
        self._stored: dict[InodeNo, tuple[Version, int]] = {}

    @property
    def state(self) -> int | None:
        """A number that is another one after each change of the tree.

        None while one is under way, and while contents are shown that the tables do not have.
        """
        return None if self._earlier else self._queries.state

    @property
    def has_tails(self) -> bool:
        """Whether any file has loose tails."""
        return bool(self._tails.ends)

    # -- names -------------------------------------------------------------------------------

    def lookup(self, parent: InodeNo, name: bytes) -> Attributes | None:
        """Return what *name* in directory *parent* means, or None."""
        found = self._queries.lookup(self._aliases.now(parent), name)
        return None if found is None else self._shown(found)

    def list_names(
        self, parent: InodeNo, after: bytes | None, limit: int
    ) -> list[tuple[bytes, Attributes]]:
        """Return up to *limit* names of *parent* greater than *after*, in byte order."""
        found = self._queries.list_names(self._aliases.now(parent), after, limit)
        if not self._tails.ends and not self._earlier:
            return found
        return [(name, self._shown(attributes)) for name, attributes in found]

    def first_directory(self, parent: InodeNo, after: bytes | None, among: int) -> InodeNo | None:
        """Return the first directory in *parent*, *among* so many names greater than *after*; None if none is."""
        return self._queries.first_directory(self._aliases.now(parent), after, among)

    def names_in(self, parent: InodeNo) -> Iterator[bytes]:
        """Yield every name in directory *parent*; change nothing meanwhile."""
        return self._queries.names_in(self._aliases.now(parent))

    def parent_of(self, directory: InodeNo) -> InodeNo | None:
        """Return the parent of *directory*; None for the root and for what is not in the tree."""
        return self._queries.parent_of(self._aliases.now(directory))

    def now(self, directory: InodeNo) -> InodeNo:
        """Return the number that *directory* has now: it may have become one with another node's."""
        return self._aliases.now(directory)

    def shown_path(self, ino: InodeNo) -> str:
        """Return a path of *ino*, for people."""
        return self._queries.shown_path(self._aliases.now(ino))

    def names_of(self, ino: InodeNo) -> list[tuple[InodeNo, bytes]]:
        """Return every (parent, name) that means *ino*."""
        return self._queries.names_of(self._aliases.now(ino))

    def conflict_copies(self, limit: int) -> list[tuple[InodeNo, bytes]]:
        """Return up to *limit* (parent, name) with the mark of a conflict. Looks at every name."""
        return self._queries.conflict_copies(limit)

    # -- attributes --------------------------------------------------------------------------

    def attributes(self, ino: InodeNo) -> Attributes | None:
        """Return the attributes of *ino*, tails included, or None if it does not exist.

        A file that is kept has no names, and stays as it was when it lost them: see `FormerFiles`.
        """
        if (kept := self._kept.get(ino)) is not None:
            return kept.attributes
        found = self._queries.attributes(self._aliases.now(ino))
        return None if found is None else self._shown(found)

    def readlink(self, ino: InodeNo) -> bytes:
        """Return the target of symbolic link *ino*; raises FileMissing."""
        return self._queries.readlink(ino)

    def xattr(self, ino: InodeNo, name: bytes) -> bytes:
        """Return the value of an extended attribute, or raise NoAttribute."""
        if (kept := self._kept.get(ino)) is not None:
            return kept.xattr(name)
        return self._queries.xattr(self._aliases.now(ino), name)

    def xattr_names(self, ino: InodeNo) -> list[bytes]:
        """Return the names of all extended attributes of *ino* but those of our own."""
        kept = self._kept.get(ino)
        if kept is None:
            names = self._queries.xattr_names(self._aliases.now(ino))
        else:
            names = [name for name, _ in kept.version.xattrs]
        return [name for name in names if not intents.is_ours(name)]

    def own_xattrs(self, ino: InodeNo) -> list[tuple[bytes, bytes]]:
        """Return name and value of the attributes of *ino* that are our own, by name."""
        return [each for each in self._queries.xattrs(ino) if intents.is_ours(each[0])]

    def fact(self, name: bytes) -> bytes | None:
        """Return what the project says of itself as *name*, None if it says nothing."""
        return self._queries.fact(name)

    def facts(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Return all that the project says of itself under names with *prefix*, in their order."""
        return self._queries.facts(prefix)

    def mark(self, ino: InodeNo) -> bytes | None:
        """Return the mark of a file that is on its way, None if it has none."""
        return self._queries.mark(ino)

    def marks(self) -> list[tuple[InodeNo, bytes]]:
        """Return every file with a mark, and its mark."""
        return self._queries.marks()

    def lease(self, ino: InodeNo, name: bytes) -> bytes | None:
        """Return the lease *name* of *ino*, None if it has none."""
        return self._queries.lease(ino, name)

    def leases(self) -> list[tuple[InodeNo, bytes]]:
        """Return every file with a lease of its locks, and that lease."""
        return self._queries.leases()

    def write_leases(self) -> list[tuple[InodeNo, bytes]]:
        """Return every file with a write lease, and that lease."""
        return self._queries.write_leases()

    def wanted_directories(self) -> list[tuple[InodeNo, bytes]]:
        """Return every directory with a lease of its names that a node asks for, and that lease."""
        return self._queries.wanted_directories()

    # -- contents ----------------------------------------------------------------------------

    def extents(self, ino: InodeNo, offset: int, length: int) -> list[Extent]:
        """Return what maps [offset, offset + length), in order and cut to it; holes are absent.

        The loose tails of the file lie over this: see `tails_of`. Raises Unreadable if an extent
        names a block that nobody described.
        """
        if (kept := self._kept.get(ino)) is not None:
            return kept.within(offset, length)
        if ino in self._earlier:
            return self._earlier.extents(ino, offset, length)
        return self._queries.extents(ino, offset, length)

    def tails_of(self, ino: InodeNo) -> list[Tail]:
        """Return the loose tails of *ino*. They never overlap, and lie over its extents."""
        kept = self._kept.get(ino)
        return self._tails.of(ino) if kept is None else kept.tails

    def block(self, block: BlockId) -> BlockName | None:
        """Return the name of *block*, or None if the project does not know it."""
        return self._queries.block(block)

    def is_named(self, block: BlockId, after: Place) -> tuple[bool, Place | None]:
        """Tell whether a file that has a name lies in *block*, by a few extents behind *after*.

        And from where to go on, None at the end. What is pending here counts.
        """
        users, last = self.users(block, after)
        return bool(users) or self._earlier.uses(block), last

    def users(self, block: BlockId, after: Place) -> tuple[list[InodeNo], Place | None]:
        """Return the files that have a name and lie in *block*, by a few extents behind *after*.

        And from where to go on, None at the end.
        """
        users, last = self._queries.users(block, after)
        return [ino for ino in users if self._queries.names_of(ino)], last

    def stored_bytes(self, found: Attributes) -> int:
        """Return how many bytes extents and tails hold of the file with the attributes *found*."""
        kept = self._kept.get(found.ino)
        if kept is None:
            tails = self._tails.sizes.get(found.ino, 0)
        else:
            tails = sum(len(tail.data) for tail in kept.tails)
        if found.stored != NOT_COUNTED:
            return found.stored + tails
        if kept is not None:
            return sum(extent.length for extent in kept.version.extents) + tails
        version, stored = self._stored.get(found.ino, (None, 0))
        if version != found.version:
            earlier = found.ino in self._earlier
            stored = (self._earlier if earlier else self._queries).stored_bytes(found.ino)
            if len(self._stored) >= _MAX_COUNTED_FILES:
                self._stored.clear()
            self._stored[found.ino] = found.version, stored
        return stored + tails

    def usage(self) -> tuple[int, int]:
        """Return (plain bytes, inodes) of the project; of bytes, 2**63 - 1 means "or more"."""
        return self._usage.now()

    def recount(self) -> None:
        """Remember no count: the tables were taken back to what they were."""
        self._usage.forget()
        self._stored.clear()

    def _shown(self, found: Attributes) -> Attributes:
        found = self._earlier.shown(found)
        end = self._tails.ends.get(found.ino, 0)
        return msgspec.structs.replace(found, size=end) if end > found.size else found
