"""Pages of listings that are given once more: as long as nothing has changed, and counted each time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from file_layer_fixture import ME, FileLayer, file_layer
from snapshot_tree_fixture import THEN, tree

from lucidnode.fs.errors import FileMissing
from lucidnode.fs.files.listing import START
from lucidnode.fs.kernel.listing_pages import ListingPages
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.snapshot_tree.snapshot_names import NAME, ShownSnapshot
from lucidnode.node.client.ids import Seq

PAGE = 65536


def listed(
    layer: FileLayer, pages: ListingPages, size: int = PAGE, ino: InodeNo = ROOT
) -> list[bytes]:
    """Return all pages of *ino*, asked for one after the other on a handle of its own."""
    directories = layer.files.directories
    handle, _ = directories.open(ino)
    found = [pages.page(handle, START, size)]
    while found[-1]:
        found.append(pages.page(handle, _last_cookie(found[-1]), size))
    directories.release(handle)
    return found


def _last_cookie(page: bytes) -> int:
    at = cookie = 0
    while at < len(page):
        cookie = int.from_bytes(page[at + 136 : at + 144], "little")
        length = int.from_bytes(page[at + 144 : at + 148], "little")
        at += -(-(152 + length) // 8) * 8
    return cookie


async def filled(layer: FileLayer, names: int = 30) -> None:
    for number in range(names):
        _, (handle, _) = layer.files.create(ROOT, b"%02d" % number, 0o644, ME, os.O_WRONLY, 1)
        await layer.files.write(handle, 0, b"z")
        await layer.files.flush(handle)
        layer.files.release(handle)


@pytest.mark.parametrize("size", [PAGE, 1024])
async def test_a_page_that_is_given_again_asks_nothing_and_is_counted(
    tmp_path: Path, size: int
) -> None:
    async with file_layer(tmp_path, saves_by_age=False) as layer:
        await filled(layer)
        pages = ListingPages(layer.files, None, 60)
        first = listed(layer, pages, size)
        again = listed(layer, pages, size)
        assert again == first
        assert all(one is other for one, other in zip(first, again, strict=True))
        ino = layer.files.lookup(ROOT, b"07").ino
        kept = layer.files.lifetimes
        # Twice listed, so twice to be forgotten before the kernel knows it no more.
        kept.forget_lookups(ino, 1)
        assert ino in kept._lookups
        kept.forget_lookups(ino, 1)
        assert ino not in kept._lookups


async def test_whatever_changes_is_in_the_next_page(tmp_path: Path) -> None:
    async with file_layer(tmp_path, saves_by_age=False) as layer:
        await filled(layer)

        def fresh() -> list[bytes]:
            return listed(layer, ListingPages(layer.files, None, 60))

        pages = ListingPages(layer.files, None, 60)
        seen = [listed(layer, pages)]

        def differs() -> None:
            now = listed(layer, pages)
            assert now == fresh()
            assert now != seen[-1]
            seen.append(now)

        layer.files.unlink(ROOT, b"03")
        differs()
        ino = layer.files.lookup(ROOT, b"04").ino
        handle, _ = await layer.files.open(ino, os.O_WRONLY)
        await layer.files.write(handle, 0, b"longer than before")
        differs()
        await layer.files.write(handle, 100, b"and longer, unsaved as it is")
        differs()
        await layer.files.flush(handle)
        layer.files.release(handle)
        assert listed(layer, pages) == fresh()
        layer.files.rename(ROOT, b"05", ROOT, b"new", 0)
        differs()


async def test_a_listing_goes_on_behind_a_page_that_was_held_though_its_last_name_is_gone(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path, saves_by_age=False) as layer:
        await filled(layer)
        pages = ListingPages(layer.files, None, 60)
        listed(layer, pages, 1024)
        directories = layer.files.directories
        handle, _ = directories.open(ROOT)
        first = pages.page(handle, START, 1024)
        shown = [b"%02d" % number for number in range(30) if b"%02d\0" % number in first]
        # What other listings remember does not count: of many directories it is forgotten.
        directories._listings._known.clear()
        layer.files.unlink(ROOT, shown[-1])
        rest = pages.page(handle, _last_cookie(first), PAGE)
        assert [b"%02d" % n for n in range(30) if b"%02d\0" % n in rest] == [
            b"%02d" % number for number in range(len(shown), 30)
        ]
        directories.release(handle)


async def test_who_walks_a_tree_has_the_next_listing_made_ahead(tmp_path: Path) -> None:
    async with file_layer(tmp_path, saves_by_age=False) as layer:
        above = layer.files.make(ROOT, b"tree", 0o40755, ME).ino
        below = [layer.files.make(above, b"%d" % n, 0o40755, ME).ino for n in range(5)]
        inside = layer.files.make(below[2], b"inside", 0o40755, ME).ino
        pages = ListingPages(layer.files, None, 60)

        async def made(ino: InodeNo) -> set[InodeNo]:
            """List a directory; return which others' pages are there then."""
            known = {place[0] for place in pages._held}
            listed(layer, pages, ino=ino)
            await asyncio.sleep(0)
            return {place[0] for place in pages._held} - known - {ino}

        # One listing is no walk.
        assert await made(below[3]) == set()
        assert await made(above) == set()
        assert await made(below[0]) == {below[1]}
        assert await made(below[1]) == {below[2]}
        assert await made(below[2]) == {inside}
        # Nobody has it open, so who does may hold what it lists.
        assert layer.files.directories.open(inside)[1].may_hold


async def test_pages_of_a_snapshot_name_files_that_the_kernel_may_ask_for_until_it_forgets_them(
    tmp_path: Path,
) -> None:
    async with tree(tmp_path) as seen:
        pages = ListingPages(seen.files, None, 60)
        directory = (await seen.walk(NAME, THEN.name)).ino
        await seen.opened(directory)
        found: set[InodeNo] = set()
        for _ in range(2):
            handle, _ = seen.files.directories.open(directory)
            page = pages.page(handle, START, PAGE)
            assert pages.page(handle, _last_cookie(page), PAGE) == b""
            seen.files.directories.release(handle)
            at = page.index(b"cut\0") - 24
            found.add(InodeNo(int.from_bytes(page[at : at + 8], "little")))
        [ino] = found
        seen.files.lifetimes.forget_lookups(ino, 1)
        assert seen.files.attributes(ino).size == len(b"as it was")
        seen.files.lifetimes.forget_lookups(ino, 1)
        with pytest.raises(FileMissing):
            seen.files.attributes(ino)


async def test_the_directory_of_snapshots_is_listed_as_it_is_each_time(tmp_path: Path) -> None:
    async with tree(tmp_path) as seen:
        pages = ListingPages(seen.files, None, 60)
        for name in (b"first", b"second"):
            seen.shown.append(ShownSnapshot(name, Seq(8), THEN.wall_ns))
            handle, _ = seen.files.directories.open((await seen.walk(NAME)).ino)
            assert name in pages.page(handle, START, PAGE)
            seen.files.directories.release(handle)
        handle, _ = seen.files.directories.open(ROOT)
        page = pages.page(handle, START, PAGE)
        assert NAME in page + pages.page(handle, _last_cookie(page), PAGE)
        seen.files.directories.release(handle)
