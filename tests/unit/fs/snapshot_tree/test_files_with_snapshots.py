"""A project and the states that its snapshots name are one tree, in which only the project changes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from file_layer_fixture import ME
from snapshot_tree_fixture import THEN, Tree, tree

from lucidnode.fs.errors import FileError, FileMissing, IsDirectory, NoAttribute
from lucidnode.fs.files.file_system import AttributeChanges
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.snapshot_tree.open_states import IDLE_S
from lucidnode.fs.snapshot_tree.snapshot_names import NAME
from lucidnode.fs.snapshot_tree.snapshot_numbers import SNAPSHOTS

NO_CHANGES = AttributeChanges()


async def test_the_root_lists_snapshots_once_and_only_where_they_are_visible(
    tmp_path: Path,
) -> None:
    async with tree(tmp_path / "visible") as seen:
        assert sorted(await seen.names(ROOT)) == [b".", b"..", b".snapshots", b"cut"]
        seen.now.files.make(ROOT, NAME, stat.S_IFDIR | 0o755, ME)  # by another workstation
        assert (await seen.names(ROOT))[NAME] == SNAPSHOTS
    async with tree(tmp_path / "hidden", visible=False) as seen:
        seen.now.files.make(ROOT, NAME, stat.S_IFDIR | 0o755, ME)
        assert sorted(await seen.names(ROOT)) == [b".", b"..", b"cut"]
        assert (await seen.walk(NAME)).ino == SNAPSHOTS


async def test_below_a_snapshot_files_are_as_they_were_under_numbers_of_their_own(
    tmp_path: Path,
) -> None:
    async with tree(tmp_path) as seen:
        directory = await seen.walk(NAME, THEN.name)
        assert directory.st_mode == stat.S_IFDIR | 0o555
        assert directory.mtime_ns == THEN.wall_ns
        file = await seen.walk(NAME, THEN.name, b"cut")
        assert (file.size, file.st_mode) == (9, stat.S_IFREG | 0o644)
        assert file.ino not in {(await seen.walk(b"cut")).ino, directory.ino}
        handle, _ = seen.files.open_as_it_is(file.ino, os.O_RDONLY)
        assert await seen.files.read(handle, 3, 100) == b"it was"
        seen.files.release(handle)
        assert seen.files.open_as_it_is(file.ino, os.O_RDONLY)[1]  # its pages never change
        assert seen.files.occupied(file) == 9


async def test_two_names_of_one_version_are_two_trees(tmp_path: Path) -> None:
    async with tree(tmp_path) as tried:
        tried.shown.append(THEN._replace(name=b"locked again", wall_ns=THEN.wall_ns + 1))
        numbers: list[set[InodeNo]] = []
        for each in tried.shown:
            root = await tried.walk(NAME, each.name)
            assert root.mtime_ns == each.wall_ns
            found = await tried.walk(NAME, each.name, b"cut")
            assert found == tried.files.attributes(found.ino)
            listed = await tried.names(root.ino)
            assert (listed[b"."], listed[b"cut"]) == (root.ino, found.ino)
            assert tried.files.shown_path(found.ino) == f".snapshots/{each.name.decode()}"
            numbers.append({root.ino, found.ino})
        assert not numbers[0] & numbers[1]


async def test_every_directory_says_where_it_is_and_what_is_above_it(tmp_path: Path) -> None:
    async with tree(tmp_path) as seen:
        directory = await seen.walk(NAME, THEN.name)
        names = await seen.names(directory.ino)
        assert (names[b"."], names[b".."]) == (directory.ino, SNAPSHOTS)
        assert names[b"cut"] == (await seen.walk(NAME, THEN.name, b"cut")).ino
        names = await seen.names(SNAPSHOTS)
        assert names == {b".": SNAPSHOTS, b"..": ROOT, THEN.name: directory.ino}
        assert (await seen.walk(NAME, b"..")).ino == ROOT
        assert (await seen.walk(NAME, THEN.name, b"..")).ino == SNAPSHOTS
        assert seen.files.shown_path(directory.ino) == ".snapshots/locked cut"


async def test_a_state_is_opened_by_who_looks_into_it_and_again_after_it_was_closed(
    tmp_path: Path,
) -> None:
    async with tree(tmp_path) as seen:
        directory = await seen.walk(NAME, THEN.name)
        assert seen.files.attributes(directory.ino) == directory
        assert seen.files.xattrs.names(directory.ino) == []
        assert seen.states.get(THEN.seq) is None
        file = await seen.walk(NAME, THEN.name, b"cut")
        handle, _ = seen.files.open_as_it_is(file.ino, os.O_RDONLY)
        seen.clock.now += IDLE_S
        await seen.states.close_idle()
        assert await seen.files.read(handle, 0, 2) == b"as"
        seen.files.release(handle)
        seen.clock.now += IDLE_S
        await seen.states.close_idle()
        assert seen.states.get(THEN.seq) is None
        assert seen.files.to_open(file.ino, within=False) == THEN.seq
        await seen.opened(file.ino)
        assert seen.files.attributes(file.ino) == file


def _changes(seen: Tree, directory: InodeNo, file: InodeNo) -> Iterator[Callable[[], object]]:
    files = seen.files
    yield lambda: files.make(directory, b"new", stat.S_IFREG | 0o644, ME)
    yield lambda: files.create(directory, b"new", 0o644, ME, os.O_RDWR, 0)
    yield lambda: files.unlink(directory, b"cut")
    yield lambda: files.rmdir(SNAPSHOTS, THEN.name)
    yield lambda: files.rmdir(ROOT, NAME)
    yield lambda: files.make(ROOT, NAME, stat.S_IFDIR | 0o755, ME)
    yield lambda: files.rename(ROOT, NAME, ROOT, b"mine", 0)
    yield lambda: files.rename(ROOT, b"cut", directory, b"cut", 0)
    yield lambda: files.rename(directory, b"cut", ROOT, b"back", 0)
    yield lambda: files.open_as_it_is(file, os.O_RDWR)
    yield lambda: files.open_as_it_is(file, os.O_RDONLY | os.O_TRUNC)
    yield lambda: files.set_attributes_at_once(file, NO_CHANGES._replace(mode=0o777))
    yield lambda: files.xattrs.remove(file, b"user.x")


async def test_nothing_in_a_snapshot_can_be_changed(tmp_path: Path) -> None:
    async with tree(tmp_path) as seen:
        directory = await seen.walk(NAME, THEN.name)
        file = await seen.walk(NAME, THEN.name, b"cut")
        for change in _changes(seen, directory.ino, file.ino):
            with pytest.raises(FileError) as refused:
                change()
            assert refused.value.errno == errno.EROFS
        handle, _ = seen.files.open_as_it_is(file.ino, os.O_RDONLY)
        with pytest.raises(FileError) as refused:
            await seen.files.write(handle, 0, b"x")
        assert refused.value.errno == errno.EROFS
        assert sorted(await seen.names(ROOT)) == [b".", b"..", NAME, b"cut"]


async def test_a_file_of_a_snapshot_gets_into_the_project_by_being_copied_only(
    tmp_path: Path,
) -> None:
    async with tree(tmp_path) as seen:
        file = await seen.walk(NAME, THEN.name, b"cut")
        with pytest.raises(FileError) as refused:
            seen.files.link(file.ino, ROOT, b"back")
        assert refused.value.errno == errno.EXDEV
        source, _ = seen.files.open_as_it_is(file.ino, os.O_RDONLY)
        _, (target, _) = seen.files.create(ROOT, b"back", 0o644, ME, os.O_RDWR, 0)
        with pytest.raises(FileError) as refused:
            await seen.files.ranges.copy(source, 0, target, 0, 9)
        assert refused.value.errno == errno.EXDEV
        with pytest.raises(FileError) as refused:
            await seen.files.ranges.copy(target, 0, source, 0, 9)
        assert refused.value.errno == errno.EROFS


async def test_what_waits_for_the_cloud_is_never_in_a_snapshot(tmp_path: Path) -> None:
    async with tree(tmp_path) as seen:
        directory = await seen.walk(NAME, THEN.name)
        for ino in (SNAPSHOTS, directory.ino):
            assert seen.files.xattrs.get(ino, b"user.lucid.state") == b"cloud"
            with pytest.raises(NoAttribute):
                seen.files.xattrs.get(ino, b"user.other")


async def test_a_deleted_snapshot_and_a_number_that_was_let_go_of_are_missing(
    tmp_path: Path,
) -> None:
    async with tree(tmp_path) as seen:
        file = await seen.walk(NAME, THEN.name, b"cut")
        seen.files.lifetimes.forget_lookups(file.ino, 1)
        with pytest.raises(FileMissing):
            seen.files.attributes(file.ino)
        seen.shown.clear()
        with pytest.raises(FileMissing):
            await seen.walk(NAME, THEN.name)
        with pytest.raises(IsDirectory):
            seen.files.open_as_it_is(SNAPSHOTS, os.O_RDONLY)
