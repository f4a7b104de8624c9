"""The blocks that mounts want to have kept here, in memory. Pure: no disk, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lucidnode.node.client.ids import BlockId, ProjectId


class PinnedBlocks:
    """Those of all projects, with the sizes of what is in them. The cache asks whether a block is one."""

    def __init__(self, found: Mapping[ProjectId, dict[BlockId, int]] | None = None) -> None:
        self._wanted = {project: blocks for project, blocks in (found or {}).items() if blocks}

    def __len__(self) -> int:
        """Return how many blocks there are; one of several projects counts for each."""
        return sum(map(len, self._wanted.values()))

    def __contains__(self, block: object) -> bool:
        return any(block in blocks for blocks in self._wanted.values())

    def __iter__(self) -> Iterator[ProjectId]:
        """Go through the projects that have any."""
        return iter(list(self._wanted))

    def of(self, project: ProjectId) -> Mapping[BlockId, int]:
        """Return those of *project*, in the order in which they are wanted."""
        return self._wanted.get(project, {})

    def replace(
        self, project: ProjectId, blocks: dict[BlockId, int]
    ) -> tuple[dict[BlockId, int], set[BlockId]]:
        """Have *blocks* be those of *project*; return what is new, and what is wanted no more."""
        before = self._wanted.pop(project, {})
        if blocks:
            self._wanted[project] = blocks
        added = {block: size for block, size in blocks.items() if block not in before}
        return added, before.keys() - blocks.keys()
