"""Which blocks the files of a project lie in: for those who want them here, or ask where they are."""

from __future__ import annotations

import asyncio
from itertools import islice

from lucidnode.fs.errors import FileError
from lucidnode.fs.replica.inode import InodeNo, Kind
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.file_blocks import BlocksPage, BlocksQuery, BlockUse, FileBlocks

_PAGE_BLOCKS = 4096
"""Of one answer: 200 kB."""

_PAGE_NAMES = 16384
"""Entries of directories in one answer."""

_WINDOW_BYTES = 64 * 1024 * 1024
"""Of a file, looked at in one step."""

_PAGE_WINDOWS = 256
"""Steps of one answer: a sparse file may have many that show nothing."""


class BlocksOfFiles:
    """Answers from the replica as it is at the moment of each step."""

    def __init__(self, tree: TreeReader) -> None:
        self._tree = tree

    async def page(self, query: BlocksQuery) -> BlocksPage:
        """Return what the first inodes of *query* lie in, as many as fit, and where it goes on."""
        page = _Page()
        offset = query.offset
        files: list[FileBlocks] = []
        goes_on: int | None = None
        for number in query.inos:
            ino = InodeNo(number)
            try:
                file, goes_on = await self._part(ino, offset, page)
            except FileError:  # gone meanwhile, or nobody can say
                file, goes_on = FileBlocks(ino, 0, [], []), None
            files.append(file)
            if goes_on is not None or page.is_full:
                break
            offset = 0
        return BlocksPage(query.number, files, goes_on)

    async def _part(self, ino: InodeNo, offset: int, page: _Page) -> tuple[FileBlocks, int | None]:
        """Return what *ino* lies in from *offset* on, as far as *page* has room, and where it goes on."""
        await asyncio.sleep(0)
        found = self._tree.attributes(ino)
        if found is None:
            return FileBlocks(ino, 0, [], []), None
        if found.is_directory:
            return self._directory(ino, offset, page)
        if found.kind is not Kind.FILE:
            return FileBlocks(ino, 0, [], []), None
        loose = 0 if offset else sum(len(tail.data) for tail in self._tree.tails_of(ino))
        uses: list[BlockUse] = []
        while offset < found.size:
            for extent in self._tree.extents(ino, offset, _WINDOW_BYTES):
                if page.is_full:
                    return FileBlocks(ino, loose, uses, []), extent.offset
                page.blocks += 1
                block = extent.block
                uses.append(BlockUse(extent.offset, extent.length, bytes(block.id), block.size))
            offset += _WINDOW_BYTES
            page.windows += 1
            if page.is_full and offset < found.size:
                return FileBlocks(ino, loose, uses, []), offset
            await asyncio.sleep(0)
        return FileBlocks(ino, loose, uses, []), None

    def _directory(self, ino: InodeNo, offset: int, page: _Page) -> tuple[FileBlocks, int | None]:
        room = max(1, _PAGE_NAMES - page.names)
        names = list(islice(self._tree.names_in(ino), offset, offset + room))
        page.names += len(names)
        found = (self._tree.lookup(ino, name) for name in names)
        below = [int(each.ino) for each in found if each is not None]
        return FileBlocks(ino, 0, [], below), offset + room if len(names) == room else None


class _Page:
    """How much is in one answer."""

    def __init__(self) -> None:
        self.blocks = 0
        self.names = 0
        self.windows = 0

    @property
    def is_full(self) -> bool:
        return (
            self.blocks >= _PAGE_BLOCKS
            or self.names >= _PAGE_NAMES
            or self.windows >= _PAGE_WINDOWS
        )
