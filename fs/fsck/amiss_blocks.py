"""Which blocks that are needed are missing in the bucket or damaged there, as far as that is known.

What is missing, or has another size, is seen in a listing. What has other bytes is known from the last
check that read them all; it is kept by name, and looked at anew by whoever puts blocks back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.fsck.block_check import check_listing
from lucidnode.fs.fsck.finding import ObjectFinding
from lucidnode.fs.fsck.project_objects import ProjectObjects, block_of
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.msgpack import decoded

DAMAGED_FILE = "fsck.damaged"
"""Beside the project's replica: the blocks whose bytes were found wrong. No names of files are in it."""

_DECODER = msgspec.msgpack.Decoder(list[bytes])


async def amiss_blocks(
    objects: ProjectObjects,
    needed: Mapping[BlockId, BlockName],
    damaged: Iterable[BlockId],
    progress: Callable[[int], None],
) -> tuple[list[BlockId], list[BlockId]]:
    """Return which of *needed* are missing, and which are damaged: by their size, or in *damaged*.

    *progress* is told how many names were read. Raises a NodeError.
    """
    found: list[ObjectFinding] = []
    await check_listing(objects, needed, found.append, progress)
    by_kind: dict[str, set[BlockId]] = {"missing": set(), "damaged": set()}
    for each in found:
        if each.is_harm and (block := block_of(each.name)) is not None:
            by_kind[each.amiss].add(block)
    missing = by_kind["missing"]
    wrong = by_kind["damaged"] | ({block for block in damaged if block in needed} - missing)
    return sorted(missing), sorted(wrong)


def damaged_in(findings: Iterable[ObjectFinding]) -> list[BlockId]:
    """Return the blocks among *findings* that are there, and wrong."""
    found = (block_of(e.name) for e in findings if e.folder == "block" and e.amiss == "damaged")
    return [block for block in found if block is not None]


def keep_damaged(path: Path, blocks: Iterable[BlockId]) -> None:
    """Keep the names of *blocks* at *path*. Raises OSError."""
    beside = path.with_name(f"{path.name}.new")
    beside.touch(0o600)
    beside.write_bytes(msgspec.msgpack.encode([bytes(block) for block in blocks]))
    os.replace(beside, path)  # noqa: PTH105  # of a moment


def kept_damaged(path: Path) -> list[BlockId]:
    """Return what is kept at *path*; nothing if that is nothing sound."""
    try:
        found = decoded(_DECODER, path.read_bytes())
    except (OSError, Malformed):
        return []
    return [BlockId(block) for block in found if len(block) == 32]
