"""Looks whether the blocks that are needed lie in the bucket, in their size and with their contents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lucidnode.fs.errors import BlockError, KeyMissing
from lucidnode.fs.format.block import BlockName, open_block
from lucidnode.fs.format.geometry import cipher_size
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.fsck.finding import ObjectFinding
from lucidnode.fs.fsck.project_objects import (
    ProjectObjects,
    StoredObject,
    block_name,
    block_of,
)
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.in_order import in_order


@dataclass(slots=True)
class BlocksListed:
    """How many blocks there are, of how many bytes; *spare* are those that nothing needs."""

    count: int = 0
    size: int = 0
    spare: int = 0
    spare_size: int = 0


async def check_listing(
    objects: ProjectObjects,
    needed: Mapping[BlockId, BlockName],
    found: Callable[[ObjectFinding], None],
    progress: Callable[[int], None],
) -> BlocksListed:
    """Compare the names and sizes in the bucket with *needed*; *found* hears what is amiss.

    *progress* is told how many names were read. Raises a NodeError.
    """
    told = BlocksListed()
    there: set[BlockId] = set()
    async for each in objects.names("block"):
        block = block_of(each.name)
        if block is None:
            found(ObjectFinding("block", each.name, "foreign", "no block has such a name"))
            continue
        told.count += 1
        told.size += each.size
        progress(told.count)
        name = needed.get(block)
        if name is None:
            told.spare += 1
            told.spare_size += each.size
            continue
        there.add(block)
        if each.size != cipher_size(name.size):
            found(
                ObjectFinding(
                    "block",
                    each.name,
                    "damaged",
                    f"it has {each.size} bytes and not {cipher_size(name.size)}",
                )
            )
    for block in sorted(needed.keys() - there):
        found(ObjectFinding("block", block_name(block), "missing", "it is needed"))
    return told


class ContentCheck:
    """Reads blocks behind *after*, in the order of their names, and opens each."""

    def __init__(self, objects: ProjectObjects, keys: ProjectKeys, after: str) -> None:
        self._objects = objects
        self._keys = keys
        self.after = after
        """The name of the last block that was read, and so were all before it."""

    async def run(
        self,
        needed: Mapping[BlockId, BlockName],
        found: Callable[[ObjectFinding], None],
        progress: Callable[[int], None],
    ) -> None:
        """Read all of *needed* that are there. *progress* is told the bytes of each.

        Raises a NodeError.
        """
        wanted = sorted(block for block in needed if block_name(block) > self.after)
        async for block, there in in_order(wanted, self._read):
            if there is not None and (why := self._wrong(needed[block], there)):
                found(ObjectFinding("block", block_name(block), "damaged", why))
            self.after = block_name(block)
            progress(cipher_size(needed[block].size))

    async def _read(self, block: BlockId) -> StoredObject | None:
        return await self._objects.read("block", block_name(block))

    def _wrong(self, name: BlockName, there: StoredObject) -> str:
        if there.body is None:
            return "it is larger than any block"
        try:
            open_block(self._keys, name, there.body)
        except BlockError:
            return "its bytes are not those of its name"
        except KeyMissing:
            return "it is sealed under a key that this member does not have"
        return ""
