"""What the kernel may hold of a listing: whole ones, of one handle, young, and unchanged."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from file_layer_fixture import ME, file_layer

from lucidnode.fs.files.file_system import FileSystem
from lucidnode.fs.files.kept_listings import (
    KEPT_S,
    LISTING_COSTS,
    MAX_LISTED_NAMES,
    NAMES_AT_THE_COST_OF_ONE,
    Holding,
    KeptListings,
)
from lucidnode.fs.files.listing import START
from lucidnode.fs.replica.changes import Touched
from lucidnode.fs.replica.inode import ROOT, InodeNo

HERE, ELSEWHERE = InodeNo(5), InodeNo(6)

RIGHT = Holding(may_hold=True, is_right=True)
ANEW = Holding(may_hold=True, is_right=False)
NOT_AT_ALL = Holding(may_hold=False, is_right=False)


@dataclass
class Kept:
    """Listings of HERE by handles that are counted."""

    time: float = 0.0
    last: int = 0
    listings: KeptListings = field(init=False)

    def __post_init__(self) -> None:
        self.listings = KeptListings(lambda: self.time)

    def open(self) -> tuple[int, Holding]:
        self.last += 1
        return self.last, self.listings.opened(self.last, HERE)

    def look(self) -> Holding:
        handle, holding = self.open()
        self.listings.released(handle)
        return holding

    def list(self, handle: int, names: int = 2) -> None:
        self.listings.passed(handle, START, names, 7)
        self.listings.passed(handle, 7, 0, 7)

    def listed(self, names: int = 2) -> Holding:
        handle, _ = self.open()
        self.list(handle, names)
        self.listings.released(handle)
        return self.look()


def test_a_listing_that_passed_whole_is_held() -> None:
    kept = Kept()
    assert kept.look() == ANEW
    assert kept.listed() == RIGHT


def test_a_listing_is_asked_for_again_before_its_attributes_are_old() -> None:
    kept = Kept()
    assert kept.listed() == RIGHT
    kept.time = KEPT_S
    assert kept.look() == ANEW


def test_a_part_of_a_listing_is_not_held() -> None:
    kept = Kept()
    handle, _ = kept.open()
    kept.listings.passed(handle, START, 2, 7)
    kept.listings.released(handle)
    assert kept.look() == ANEW
    handle, _ = kept.open()
    kept.listings.passed(handle, 7, 2, 9)  # it began somewhere else
    kept.listings.passed(handle, 9, 0, 9)
    kept.listings.released(handle)
    assert kept.look() == ANEW
    handle, _ = kept.open()
    kept.listings.passed(handle, START, 2, 7)
    kept.listings.passed(handle, 9, 0, 9)  # it skipped something
    kept.listings.released(handle)
    assert kept.look() == ANEW


def test_a_second_handle_neither_fills_nor_uses_what_is_held() -> None:
    kept = Kept()
    assert kept.listed() == RIGHT
    first, holding = kept.open()
    assert holding == RIGHT
    assert kept.look() == NOT_AT_ALL
    kept.listings.released(first)
    assert kept.look() == RIGHT


def test_what_another_node_changed_is_listed_anew() -> None:
    kept = Kept()
    assert kept.listed() == RIGHT
    kept.listings.changed([ELSEWHERE])
    assert kept.look() == RIGHT
    kept.listings.changed([HERE])
    assert kept.look() == ANEW


def test_a_listing_that_changes_while_it_passes_is_not_held() -> None:
    kept = Kept()
    handle, _ = kept.open()
    kept.listings.passed(handle, START, 2, 7)
    kept.listings.changed([HERE])
    kept.listings.passed(handle, 7, 0, 7)
    kept.listings.released(handle)
    assert kept.look() == ANEW


def test_a_listing_is_asked_for_again_once_that_costs_less_than_its_files() -> None:
    kept = Kept()
    names = 5 * NAMES_AT_THE_COST_OF_ONE
    assert kept.listed(names) == RIGHT
    kept.listings.attributes_forgotten(lambda: [ELSEWHERE])
    for _ in range(LISTING_COSTS + 5):
        kept.listings.attributes_forgotten(lambda: [HERE])
        kept.listings.attributes_forgotten(lambda: [ELSEWHERE])
    assert kept.look() == RIGHT
    kept.listings.attributes_forgotten(lambda: [HERE])
    assert kept.look() == ANEW
    assert kept.listed(names) == RIGHT


def test_nobody_looks_for_the_directories_of_a_file_while_no_listing_is_held() -> None:
    def directories() -> list[InodeNo]:
        raise AssertionError("looked for")

    Kept().listings.attributes_forgotten(directories)


def test_a_listing_that_comes_in_pieces_is_not_held() -> None:
    kept = Kept()
    assert kept.listed(MAX_LISTED_NAMES) == RIGHT
    kept = Kept()
    assert kept.listed(MAX_LISTED_NAMES + 1) == ANEW


async def test_names_that_another_node_changes_end_the_listing_of_their_directory(
    tmp_path: Path,
) -> None:
    async with file_layer(tmp_path, saves_by_age=False) as layer:
        directories = layer.files.directories

        def look() -> Holding:
            handle, holding = directories.open(ROOT)
            directories.passed(handle, START, 2, 2)
            directories.passed(handle, 2, 0, 2)
            directories.release(handle)
            return holding

        assert [look(), look()] == [ANEW, RIGHT]
        layer.effects.follow(
            Touched(
                inodes=frozenset(),
                content=frozenset(),
                names=frozenset([(ROOT, b"new")]),
                moved={},
                conflicts=(),
                refused=None,
                shifted={},
            )
        )
        assert [look(), look()] == [ANEW, RIGHT]


async def use(files: FileSystem, ino: InodeNo, *, write: bool) -> None:
    handle, _ = await files.open(ino, os.O_RDWR)
    if write:
        await files.write(handle, 0, b"content")
    else:
        await files.read(handle, 0, 4)
    files.release(handle)


@pytest.mark.parametrize("write", [False, True])
async def test_files_that_were_read_or_written_end_the_listing_of_their_directory(
    tmp_path: Path, *, write: bool
) -> None:
    async with file_layer(tmp_path, saves_by_age=False) as layer:
        files = layer.files
        made = [files.make(ROOT, b"%d" % number, stat.S_IFREG | 0o644, ME) for number in range(8)]
        for file in made:
            await use(files, file.ino, write=True)

        def look() -> Holding:
            handle, holding = files.directories.open(ROOT)
            files.directories.passed(handle, START, 10, 2)
            files.directories.passed(handle, 2, 0, 2)
            files.directories.release(handle)
            return holding

        assert [look(), look()] == [ANEW, RIGHT]
        for file in made:
            files.release((await files.open(file.ino, os.O_RDONLY))[0])
        assert look() == RIGHT
        for file in made:
            await use(files, file.ino, write=write)
        assert look() == ANEW
