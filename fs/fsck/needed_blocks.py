"""Which blocks must lie in the bucket, and what is lost without one."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.history.horizon import oldest_whole
from lucidnode.fs.history.past import Past
from lucidnode.fs.history.past_places import Place, path_to
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.tree.row_rules import checked_changes
from lucidnode.fs.snapshots.snapshot_row import snapshots_of
from lucidnode.node.client.ids import BlockId, Seq


class NeededBlocks:
    """The blocks of the state at the head of *past*, and of all states before it that are kept."""

    def __init__(self, past: Past) -> None:
        """Look at every entry. Raises as `Past`."""
        self._past = past
        self._known = past.blocks()
        self.names: dict[BlockId, BlockName] = {}
        self._files: dict[BlockId, InodeNo] = {}
        self._note(past.blocks_in_use())
        oldest = oldest_whole(past.now)
        for seq in range(past.head().seq, oldest, -1):
            self._note(_given_up(past.log.changeset(Seq(seq))))
        for seq in sorted({each.row.seq for each in snapshots_of(past.now)}):
            if seq < min(oldest, past.head().seq):
                with past.at(seq):
                    self._note(past.blocks_in_use())

    def _note(self, used: Iterable[tuple[BlockId, InodeNo]]) -> None:
        for block, ino in used:
            if block not in self.names and block in self._known:
                self.names[block] = self._known[block]
                self._files[block] = ino

    def files(self, blocks: Collection[BlockId]) -> dict[BlockId, list[str]]:
        """Return, of each of *blocks*, the paths of the files in it: all that are, or one that was."""
        found: dict[BlockId, set[InodeNo]] = {block: set() for block in blocks}
        for block, ino in self._past.blocks_in_use():
            if block in found:
                found[block].add(ino)
        for block, inos in found.items():
            if not inos and block in self._files:
                inos.add(self._files[block])
        return {
            block: sorted(filter(None, (path_of(self._past, ino) for ino in inos)))
            for block, inos in found.items()
        }


def path_of(past: Past, ino: InodeNo) -> str:
    """Return where the file *ino* is, or last was; empty if it never had a name."""
    if names := past.now.names_of(ino):
        return path_to(past, Place(*names[0]))
    changes = past.log.names_of(ino)
    return path_to(past, Place(changes[-1].parent, changes[-1].name)) if changes else ""


def touched_paths(past: Past, seq: Seq) -> list[str]:
    """Return the paths of what entry *seq* touched, as far as that is known here."""
    if not 0 < seq <= past.head().seq:
        return []
    inos = past.log.touched(Seq(seq - 1), seq)
    return sorted(filter(None, {path_of(past, ino) for ino in inos}))


def _given_up(changeset: bytes) -> list[tuple[BlockId, InodeNo]]:
    """Return what files lay in before *changeset* and may not after it."""
    found: list[tuple[BlockId, InodeNo]] = []
    for table, old, _ in checked_changes(changeset) if changeset else ():
        if table == "extent" and old is not None and old[3] is not None:
            found.append((BlockId(bytes(old[3])), InodeNo(int(old[0]))))
    return found
