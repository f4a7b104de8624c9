"""What passes between the replica and the committer, and what a commit of others touched."""

from __future__ import annotations

from dataclasses import dataclass

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.sqlite.rows import VERSION_COLUMN, RowChange, net
from lucidnode.node.client.ids import BlockId, Seq
from lucidnode.node.client.roster import FIRST_EPOCH


@dataclass(frozen=True, slots=True)
class Head:
    """The newest journal entry the replica stands on.

    *link* is the `previous` of an entry made after it: the hash of its raw, signed bytes if it was
    applied here, `empty_link` of that if it counted as empty. *epoch* is that of the newest entry
    that counted: what is made in an older one counts as empty from here on.
    """

    seq: Seq
    link: bytes
    epoch: int = FIRST_EPOCH


@dataclass(frozen=True, slots=True)
class Batch:
    """Pending work up to row *last* as one changeset, made on top of entry `seq - 1`.

    *needs* are the blocks that must be in the bucket before the entry may exist, *names* all that it
    names or lays files in.
    """

    seq: Seq
    previous: bytes
    changeset: bytes
    needs: tuple[BlockId, ...]
    names: frozenset[BlockId]
    last: int


@dataclass(frozen=True, slots=True)
class InFlight:
    """A sealed entry on its way to the bucket: from now on it may exist there at any moment."""

    seq: Seq
    unsigned: bytes
    needs: tuple[BlockId, ...]
    last: int


@dataclass(frozen=True, slots=True)
class Touched:
    """What an entry of another node changed for the users of this one.

    *inodes* changed or ceased to exist; *names* (parent, name) now mean something else. *content*
    is the part of *inodes* whose bytes changed. *moved* maps a file that both sides wrote to the
    conflict copy that holds our version: open handles of ours belong there. *shifted* says by how
    many bytes the end moved of a file to which both sides append: what of it is unsaved here goes
    along. *conflicts* are the
    names that a rebase had to invent. *refused* says why the entry counted as empty.
    """

    inodes: frozenset[InodeNo]
    content: frozenset[InodeNo]
    names: frozenset[tuple[InodeNo, bytes]]
    moved: dict[InodeNo, InodeNo]
    conflicts: tuple[tuple[InodeNo, bytes], ...]
    refused: str | None
    shifted: dict[InodeNo, int]


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Where the files are, or were, whose newest content was given up, and what that touched."""

    files: tuple[str, ...]
    touched: Touched


def touched_by(
    changes: list[RowChange],
    *,
    moved: dict[InodeNo, InodeNo],
    conflicts: tuple[tuple[InodeNo, bytes], ...],
    refused: str | None,
    shifted: dict[InodeNo, int] | None = None,
) -> Touched:
    """Return what *changes*, taken together, mean to the users of this node."""
    inodes: set[InodeNo] = set()
    content: set[InodeNo] = set()
    names: set[tuple[InodeNo, bytes]] = set()
    for table, old, new in net(changes):
        row = old or new
        assert row is not None
        if table == "name":
            names.add((InodeNo(int(row[0])), bytes(row[1])))
        elif table == "inode":
            ino = InodeNo(int(row[0]))
            inodes.add(ino)
            if old is None or new is None or old[VERSION_COLUMN] != new[VERSION_COLUMN]:
                content.add(ino)
    return Touched(
        frozenset(inodes),
        frozenset(content),
        frozenset(names),
        moved,
        conflicts,
        refused,
        shifted or {},
    )


def content_of(changes: list[RowChange]) -> frozenset[InodeNo]:
    """Return the files that *changes*, taken together, give another content."""
    return touched_by(changes, moved={}, conflicts=(), refused=None).content
