"""What passes between the replica and the committer, and what a commit of others touched."""

from __future__ import annotations

from dataclasses import dataclass, field

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.node.client.ids import BlockId, Seq


@dataclass(frozen=True, slots=True)
class Head:
    """The newest journal entry the replica stands on: BLAKE3-256 of its raw, signed bytes."""

    seq: Seq
    hash: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Pending work up to row *last* as one changeset, made on top of entry `seq - 1`.

    *needs* are the blocks that must be in the bucket before the entry may exist.
    """

    seq: Seq
    previous: bytes
    changeset: bytes
    needs: tuple[BlockId, ...]
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
    conflict copy that holds our version: open handles of ours belong there. *conflicts* are the
    names that a rebase had to invent. *refused* says why the entry counted as empty.
    """

    inodes: frozenset[InodeNo] = frozenset()
    content: frozenset[InodeNo] = frozenset()
    names: frozenset[tuple[InodeNo, bytes]] = frozenset()
    moved: dict[InodeNo, InodeNo] = field(default_factory=dict)
    conflicts: tuple[tuple[InodeNo, bytes], ...] = ()
    refused: str | None = None
