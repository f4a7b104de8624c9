"""Which blocks files lie in, as a command or the daemon asks for it: page by page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from replica_fixture import Blocks, Node

from lucidnode.fs.files.blocks_of_files import BlocksOfFiles
from lucidnode.fs.replica.inode import ROOT, InodeNo, Kind
from lucidnode.fs.replica.intents import NewExtent, Write
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.file_blocks import BlocksPage, BlocksQuery, FileBlocks, below

PIECE = 100
PIECES = 300


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "a.db", "a", Blocks())
    yield node
    node.close()


class Asked:
    """Asks the files of *node*, and counts how often."""

    def __init__(self, node: Node) -> None:
        self._files = BlocksOfFiles(node.replica.tree)
        self.times = 0

    async def __call__(self, inos: list[int], offset: int) -> BlocksPage:
        self.times += 1
        return await self._files.page(BlocksQuery(self.times, inos, offset))


def shred(node: Node, ino: InodeNo, times: int) -> list[tuple[int, int]]:
    """Write *times* runs of pieces into *ino*, and return (offset, length) of each piece."""
    told = []
    for run in range(times):
        start = run * PIECES * PIECE
        block = node.blocks.seal(bytes([run]) * PIECE * PIECES)
        # Backwards in the block, so that no two of them are one.
        extents = [
            NewExtent(start + n * PIECE, PIECE, block.id, (PIECES - 1 - n) * PIECE)
            for n in range(PIECES)
        ]
        node.replica.apply(Write(ino, extents, [block], node.time()))
        told += [(extent.offset, extent.length) for extent in extents]
    return told


async def test_every_byte_of_a_file_is_told_once_however_many_pages_it_takes(node: Node) -> None:
    ino = node.create(b"shredded")
    pieces = shred(node, ino, times=30)
    asked = Asked(node)
    told = [part async for part in below(asked, [ino])]
    assert [(use.offset, use.used) for part in told for use in part.uses] == pieces
    assert asked.times == len(told) == 3


async def test_a_sparse_file_is_gone_through_to_its_end(node: Node) -> None:
    ino = node.create(b"sparse")
    far = 40 * 1024**3
    node.write(ino, b"beginning")
    node.write(ino, b"end", far)
    asked = Asked(node)
    uses = [use async for part in below(asked, [ino]) for use in part.uses]
    assert [(use.offset, use.used) for use in uses] == [(0, 9), (far, 3)]
    assert asked.times == 3


async def test_what_is_below_a_directory_is_told_each_inode_once(node: Node) -> None:
    folder = node.mkdir(b"folder")
    inner = node.mkdir(b"inner", folder)
    film, cut = node.create(b"film", folder), node.create(b"cut", inner)
    link = node.create(b"link", inner, Kind.SYMLINK, b"../film")
    node.write(film, b"film")
    node.write(cut, b"cut")
    told = [part async for part in below(Asked(node), [folder, folder])]
    assert sorted(part.ino for part in told) == sorted([folder, inner, film, cut, link])
    assert {part.ino: sum(use.used for use in part.uses) for part in told if part.uses} == {
        film: 4,
        cut: 3,
    }


async def test_many_names_take_several_pages(node: Node) -> None:
    folder = node.mkdir(b"folder")
    files = {node.create(b"%d" % number, folder) for number in range(400)}
    asked = Asked(node)
    told = [part.ino async for part in below(asked, [ROOT])]
    assert set(told) == {ROOT, folder, *files}
    assert len(told) == len(set(told))
    assert asked.times == 4  # the root, the folder, and the files in two questions


async def test_what_is_gone_has_nothing(node: Node) -> None:
    ino = node.create(b"file")
    node.write(ino, b"content")
    node.unlink(b"file")
    assert [part async for part in below(Asked(node), [ino])] == [FileBlocks(ino, 0, [], [])]


@pytest.mark.parametrize(
    "page",
    [
        BlocksPage(1, [], None),
        BlocksPage(1, [FileBlocks(8, 0, [], [])], None),
        BlocksPage(1, [FileBlocks(7, 0, [], [])], 0),
    ],
    ids=["nothing", "another file", "the same place for ever"],
)
async def test_answers_that_lead_nowhere_end_the_asking(page: BlocksPage) -> None:
    async def ask(inos: list[int], offset: int) -> BlocksPage:
        return page

    with pytest.raises(Malformed):
        _ = [part async for part in below(ask, [7])]
