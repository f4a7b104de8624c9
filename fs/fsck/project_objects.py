"""What a check asks of the bucket: the objects of one project, by folder and name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, NamedTuple, Protocol

from lucidnode.node.client.ids import BlockId, Seq

Folder = Literal["roster", "journal", "checkpoint", "block"]

PROJECT_FOLDERS = frozenset({"journal", "checkpoint", "block"})
"""All that a project has in the bucket."""


class ObjectName(NamedTuple):
    """One object: its name below the folder, and its size in bytes."""

    name: str
    size: int


class StoredObject(NamedTuple):
    """An object as a chain sees it: its *hash*, and its *body* unless it is larger than any of ours."""

    hash: bytes
    body: bytes | None


class ProjectObjects(Protocol):
    """The bucket itself: no cache answers in its place."""

    def names(self, folder: Folder) -> AsyncIterator[ObjectName]:
        """Yield what is in *folder*, in the order of the names. Raises a NodeError."""

    def elsewhere(self) -> AsyncIterator[str]:
        """Yield the names of what lies below the project, and in none of its folders. Raises a NodeError."""

    async def read(self, folder: Folder, name: str) -> StoredObject | None:
        """Return an object, None if there is none. Raises a NodeError."""


def seq_name(seq: int) -> str:
    """Return the name of number *seq* in a log's folder."""
    return f"{seq:016d}"


def seq_of(name: str) -> Seq | None:
    """Return the number that *name* is, None if it is none."""
    if len(name) != 16 or not (name.isascii() and name.isdigit()) or int(name) == 0:
        return None
    return Seq(int(name))


def block_name(block: BlockId) -> str:
    """Return the name of *block* in its folder."""
    return f"{block.hex()[:2]}/{block.hex()}"


def block_of(name: str) -> BlockId | None:
    """Return the block that *name* is, None if it is none."""
    try:
        block = BlockId(bytes.fromhex(name[3:]))
    except ValueError:
        return None
    return block if block_name(block) == name and len(block) == 32 else None
