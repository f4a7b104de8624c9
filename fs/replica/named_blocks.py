"""Which blocks an entry names, and for which files; and which files it gives a content."""

from __future__ import annotations

from lucidnode.fs.replica.changes import content_of
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.fs.replica.tree.row_rules import checked_changes
from lucidnode.node.client.ids import BlockId


def named_blocks(changeset: bytes) -> dict[BlockId, set[InodeNo]]:
    """Return the blocks that an entry's *changeset* lays files in; none if it breaks a rule."""
    named: dict[BlockId, set[InodeNo]] = {}
    try:
        changes = checked_changes(changeset)
    except ChangesetUnfit:
        return named
    for table, old, new in changes:
        if table != "extent" or new is None:
            continue
        ino, block = (new if old is None else old)[0], new[3]
        if isinstance(block, bytes) and isinstance(ino, int):
            named.setdefault(BlockId(block), set()).add(InodeNo(ino))
    return named


def changed_content(changeset: bytes) -> frozenset[InodeNo]:
    """Return the files that an entry's *changeset* gives a content; none if it breaks a rule."""
    try:
        return content_of(checked_changes(changeset))
    except ChangesetUnfit:
        return frozenset()


def touched_blocks(changeset: bytes) -> set[BlockId]:
    """Return the blocks that an entry's *changeset* names, lays files in, or takes from files."""
    found: set[BlockId] = set()
    for table, old, new in checked_changes(changeset):
        place = {"extent": 3, "block": 0}.get(table)
        if place is not None:
            for row in (old, new):
                if row is not None and isinstance(block := row[place], bytes):
                    found.add(BlockId(block))
    return found
