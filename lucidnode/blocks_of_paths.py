"""Which blocks the files at paths of mounted projects lie in, and where these are now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from lucidnode.fs.errors import MountPointMissing
from lucidnode.node.client.daemon_socket.blocks import DaemonBlocks
from lucidnode.node.client.daemon_socket.file_blocks import DaemonFileBlocks
from lucidnode.node.client.errors import DaemonUnreachable, NodeError, Unavailable
from lucidnode.node.client.file_blocks import MAX_BLOCKS, BlockPlace, BlockUse, Evicted, below
from lucidnode.node.client.ids import BlockId, ProjectId, parse_project_id
from lucidnode.node.client.in_turn import in_turn
from lucidnode.snapshot_directory import check_of_now

_AT_ONCE = 8
"""Blocks that are asked for at the same time."""

PATIENCE_S = 45.0
"""Seconds that one block may take: what a read of a program waits."""


@dataclass(slots=True)
class PathBlocks:
    """What lies at *path* in *project*: sums of plain bytes, and the blocks they are in."""

    path: Path
    project: ProjectId
    files: int = 0
    loose: int = 0
    """Bytes in no block yet."""
    used: dict[BlockId, int] = field(default_factory=dict)
    """How many bytes of it lie in each block."""
    sizes: dict[BlockId, int] = field(default_factory=dict)
    """How large each block is in all."""
    places: dict[BlockId, BlockPlace] = field(default_factory=dict)

    def bytes_at(self, *places: str) -> int:
        """Return how many bytes lie in blocks that are at one of *places*."""
        return sum(self.used[block] for block in self.at(*places))

    def at(self, *places: str) -> list[BlockId]:
        """Return the blocks that are at one of *places*, in the order of the files."""
        return [block for block, found in self.places.items() if found.place in places]

    @property
    def bytes(self) -> int:
        """Return the bytes of all of it, holes left out."""
        return self.loose + sum(self.used.values())


@dataclass(slots=True)
class WarmedBlocks:
    """What was brought here, in plain bytes of blocks by where they came from."""

    peer: int = 0
    bucket: int = 0
    unkept: int = 0
    """Blocks that the cache could not keep."""


def located(status: dict[str, Any], path: Path) -> tuple[ProjectId, int]:
    """Return in which mounted project *path* lies, and its inode number: a link's target, as of any path.

    *status* is what the daemon says on `status`. Raises MountPointMissing, FileNotFoundError or
    another OSError.
    """
    real = path.resolve(strict=True)
    ino = real.lstat().st_ino
    check_of_now(path, ino)
    mounted = {Path(each["mountpoint"]): each["project"] for each in status["mounts"]}
    for place in (real, *real.parents):
        if place in mounted:
            return parse_project_id(mounted[place]), ino
    raise MountPointMissing(
        f"{path} is in no mounted project: `lucidnode status` shows what is mounted"
    )


async def blocks_of(
    daemon: DaemonFileBlocks, status: dict[str, Any], paths: Iterable[Path]
) -> list[PathBlocks]:
    """Return what lies at each of *paths*, and where. Raises as `located`, and a NodeError."""
    found = []
    for path in paths:
        project, ino = located(status, path)
        there = PathBlocks(path, project)
        seen = 0
        async for part in below(partial(daemon.of_files, project), [ino]):
            if part.ino != seen and (part.uses or part.loose):
                there.files += 1
            seen = part.ino
            there.loose += part.loose
            for use in part.uses:
                block = BlockId(use.id)
                there.used[block] = there.used.get(block, 0) + use.used
                there.sizes[block] = use.size
        there.places = await places_of(daemon, project, list(there.used))
        found.append(there)
    return found


Ranges = Sequence[tuple[int, int]]
"""Bytes of a file, from where to before where."""


async def blocks_of_ranges(
    daemon: DaemonFileBlocks, status: dict[str, Any], wanted: Mapping[Path, Ranges]
) -> list[PathBlocks]:
    """Return in what those bytes of each file lie, and where. Raises as `located`, and a NodeError."""
    found: dict[tuple[ProjectId, int], PathBlocks] = {}
    ranges: dict[tuple[ProjectId, int], Ranges] = {}
    for path, asked in wanted.items():
        project, ino = located(status, path)
        found[project, ino] = PathBlocks(path, project, files=1)
        ranges[project, ino] = asked
    for project in dict.fromkeys(project for project, _ in found):
        inos = [ino for of, ino in found if of == project]
        async for part in below(partial(daemon.of_files, project), inos):
            there = found[project, part.ino]
            there.loose += part.loose
            for use in part.uses:
                if _meets(use, ranges[project, part.ino]):
                    block = BlockId(use.id)
                    there.used[block] = there.used.get(block, 0) + use.used
                    there.sizes[block] = use.size
        blocks = dict.fromkeys(
            block for (of, _), each in found.items() if of == project for block in each.used
        )
        places = await places_of(daemon, project, list(blocks))
        for (of, _), each in found.items():
            if of == project:
                each.places = {block: places[block] for block in each.used}
    return list(found.values())


def _meets(use: BlockUse, ranges: Ranges) -> bool:
    return any(use.offset < end and begin < use.offset + use.used for begin, end in ranges)


async def places_of(
    daemon: DaemonFileBlocks, project: ProjectId, blocks: Sequence[BlockId]
) -> dict[BlockId, BlockPlace]:
    """Return where each of *blocks* is, in their order. Raises a NodeError."""
    found: dict[BlockId, BlockPlace] = {}
    for some in _batches(blocks):
        found.update(zip(some, await daemon.places(project, some), strict=True))
    return found


async def uses_of(
    daemon: DaemonFileBlocks, project: ProjectId, ino: int
) -> tuple[list[BlockUse], int]:
    """Return what file *ino* lies in, in order, and its loose bytes. Raises a NodeError."""
    uses: list[BlockUse] = []
    loose = 0
    async for part in below(partial(daemon.of_files, project), [ino]):
        uses += part.uses
        loose += part.loose
    return uses, loose


async def evict(daemon: DaemonFileBlocks, found: PathBlocks) -> Evicted:
    """Have what lies at a path leave the cache here. Raises a NodeError."""
    blocks = freed = 0
    for some in _batches(found.at("cache")):
        evicted = await daemon.evict(found.project, some)
        blocks, freed = blocks + evicted.blocks, freed + evicted.bytes
    return Evicted(blocks, freed)


async def warm(
    daemon: DaemonBlocks, found: Sequence[PathBlocks], came: Callable[[int], None]
) -> WarmedBlocks:
    """Bring what is away here, several blocks at once; *came* hears of the bytes of each.

    Raises Unavailable when one does not come, DaemonUnreachable; what came stays.
    """
    for each in found:
        for some in _batches(each.at("cache")):
            # What is here already is not to make room for the rest.
            await daemon.touched(each.project, some)
    warmed = WarmedBlocks()
    wanted = {
        (each.project, block): each.sizes[block] for each in found for block in each.at("away")
    }
    waiting = iter(wanted.items())

    async def fetch() -> None:
        for (project, block), size in waiting:
            source, body = await in_turn(daemon.obtain, project, block, patience_s=PATIENCE_S)
            warmed.peer += size if source == "peer" else 0
            warmed.bucket += size if source == "bucket" else 0
            warmed.unkept += body is not None
            came(size)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(fetch())
    except* DaemonUnreachable as group:
        raise group.exceptions[0] from group
    except* NodeError as group:
        raise Unavailable(
            f"not all of it came: {group.exceptions[0]}; what came stays, so try again"
        ) from group
    return warmed


def _batches(blocks: Iterable[BlockId]) -> Iterator[list[BlockId]]:
    left = iter(blocks)
    while some := list(islice(left, MAX_BLOCKS)):
        yield some
