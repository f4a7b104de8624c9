"""What the parts of one replica stand on, each with another kind of client (replica.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lucidnode.fs.replica.id_allocator import IdAllocator
from lucidnode.fs.replica.pending.earlier_contents import EarlierContents
from lucidnode.fs.replica.pending.inode_aliases import InodeAliases
from lucidnode.fs.replica.pending.kept_files import KeptFiles
from lucidnode.fs.replica.pending.pending_journal import PendingJournal
from lucidnode.fs.replica.pending.replaced_contents import ReplacedContents
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.fs.replica.tail_table import TailTable
from lucidnode.fs.replica.tree.operations import Operations
from lucidnode.fs.replica.watchers import Watchers


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaGround:
    """The tables of one replica, what lies over them in memory, and who is told of changes.

    *device_name* is what people call this workstation.
    """

    database: Database
    operations: Operations
    numbers: IdAllocator
    journal: PendingJournal
    tails: TailTable
    earlier: EarlierContents
    replaced: ReplacedContents
    kept: KeptFiles
    aliases: InodeAliases
    watchers: Watchers
    device_name: str

    def note(self, changes: Sequence[RowChange]) -> None:
        """Hear of *changes* that operations of ours have made in this transaction."""
        self.earlier.note_ours(changes)
        self.replaced.note(changes)
