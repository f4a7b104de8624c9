"""The block cache moves to another directory, and is whole at every moment."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from disk_fixture import small_disk

from lucidnode.cache_move import check_new_place, move_cache, size_of_cache
from lucidnode.cli.app import cli
from lucidnode.node.cache.lock import DirectoryLock
from lucidnode.node.cache.mark import read_mark, take
from lucidnode.node.cache_moves import MOVES_FILE, clear_up, note_move
from lucidnode.node.client.errors import DiskFull, Refused
from lucidnode.node.config import (
    NodeConfig,
    cache_directory,
    change_config,
    load_config,
    save_config,
)
from lucidnode.node.current_settings import CurrentSettings
from lucidnode.node.opened_cache import opened_cache

FRESH = NodeConfig(studio="s", genesis="ab" * 32, lan_key="cd" * 32, bucket_url="file:///bucket")
FILES = {"blocks/aa/one": b"1" * 3000, "staging/p/two": b"2" * 4000, "index.db": b"3" * 100}


def cached(home: Path) -> Path:
    """Make a home with a cache; return its directory."""
    home.mkdir()
    save_config(home, FRESH)
    old = cache_directory(home, FRESH)
    take(old)
    for name, content in FILES.items():
        (old / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (old / name).write_bytes(content)
        (old / name).chmod(0o600)
    return old


def holds(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name not in {"cache.id", "copying.id"}
    }


def test_all_of_it_moves_within_a_disk_and_onto_another(tmp_path: Path) -> None:
    home = tmp_path / "home"
    old = cached(home)
    mark, moved = read_mark(old), list[int]()
    near = tmp_path / "near"
    move_cache(home, near, moved.append)
    assert holds(near) == FILES
    assert sum(moved) == size_of_cache(near)
    assert (read_mark(near), read_mark(old)) == (mark, None)
    assert cache_directory(home, load_config(home)) == near
    assert not old.exists()
    with small_disk(tmp_path / "disk") as disk:
        move_cache(home, disk / "cache", moved.append)
        assert holds(disk / "cache") == FILES
        assert read_mark(disk / "cache") == mark
        assert (disk / "cache" / "blocks/aa/one").stat().st_mode & 0o777 == 0o600
        assert holds(near) == {}
        move_cache(home, old, moved.append)  # and back
    assert holds(old) == FILES


def test_a_disk_that_fills_up_leaves_the_cache_where_it_was_and_it_goes_on_later(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    old = cached(home)
    (old / "blocks/aa/large").write_bytes(os.urandom(3 << 20))
    with small_disk(tmp_path / "disk", "1m") as disk:
        with pytest.raises(DiskFull, match="stays in"):
            move_cache(home, disk / "cache", lambda _: None)
        assert cache_directory(home, load_config(home)) == old
        assert read_mark(disk / "cache") is None
        assert {name: holds(old)[name] for name in FILES} == FILES
        (old / "blocks/aa/large").unlink()  # evicted meanwhile
        assert not list((disk / "cache").rglob("*.part"))
        (disk / "cache" / "blocks/aa/gone").write_bytes(b"of the first attempt, evicted since")
        move_cache(home, disk / "cache", lambda _: None)
        assert holds(disk / "cache") == FILES


def test_what_cannot_be_a_place_is_refused_before_anything_moves(tmp_path: Path) -> None:
    home = tmp_path / "home"
    old = cached(home)
    other = tmp_path / "other"
    take(other)
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").touch()
    (full / "lost+found").mkdir()
    models = tmp_path / "models"
    (models / "blocks").mkdir(parents=True)
    (models / "blocks" / "house.obj").touch()
    for place, why in (
        (old / "within", "lie in each other"),
        (home, "holds"),
        (other, "another cache"),
        (full, "thesis.txt"),
        (models, "no copy of this cache"),
    ):
        with pytest.raises(Refused, match=why):
            move_cache(home, place, lambda _: None)
    with (
        contextlib.closing(DirectoryLock(old)),
        pytest.raises(Refused, match="another node daemon"),
    ):
        move_cache(home, tmp_path / "new", lambda _: None)
    assert holds(old) == FILES
    assert (models / "blocks" / "house.obj").exists()
    (old / "blocks").rename(tmp_path / "blocks")
    (old / "blocks").symlink_to(tmp_path / "blocks")
    with pytest.raises(Refused, match="is a link"):
        move_cache(home, tmp_path / "new", lambda _: None)
    (old / "blocks").unlink()
    (tmp_path / "blocks").rename(old / "blocks")
    change_config(home, partial(msgspec.structs.replace, cache_id=read_mark(old)))
    old.rename(tmp_path / "unmounted")
    with pytest.raises(Refused, match="missing"):
        check_new_place(home, tmp_path / "new")


def test_before_there_is_a_cache_its_place_is_chosen(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    save_config(home, FRESH)
    take(other)
    with pytest.raises(Refused, match="another cache"):
        move_cache(home, other, lambda _: None)
    move_cache(home, tmp_path / "disk" / "cache", lambda _: None)
    assert cache_directory(home, load_config(home)) == tmp_path / "disk" / "cache"


async def test_a_start_takes_away_what_a_move_has_left(tmp_path: Path) -> None:
    home, new = tmp_path / "home", tmp_path / "new"
    old = cached(home)
    (old / "index.db").unlink()
    shutil.copytree(old, tmp_path / "copy")
    move_cache(home, new, lambda _: None)
    shutil.copytree(tmp_path / "copy", old)
    note_move(home, old, new)
    async with (
        opened_cache(home, CurrentSettings(home, lambda config: config)),
        asyncio.timeout(20),
    ):
        while old.exists():
            await asyncio.sleep(0.01)
    assert (new / "blocks/aa/one").exists()


def test_a_directory_that_is_adopted_ends_what_moves_have_left(tmp_path: Path) -> None:
    home, new = tmp_path / "home", tmp_path / "new"
    old = cached(home)
    note_move(home, tmp_path / "unmounted", old)
    adopted = CliRunner().invoke(cli, ["--home", str(home), "cache", "adopt", str(new)])
    assert adopted.exit_code == 0, adopted.output
    note_move(home, old, new)
    shutil.copy(new / "cache.id", old / "cache.id")
    adopted = CliRunner().invoke(cli, ["--home", str(home), "cache", "adopt", str(old)])
    assert adopted.exit_code == 0, adopted.output
    clear_up(home)
    assert (new / "cache.id").exists()
    assert not (home / MOVES_FILE).exists()


_CHANGES = {"os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.link"}


def killed(at: int, work: Callable[[], None]) -> bool:
    """Do *work* in a process that dies before its step *at* that changes a disk; tell whether it did."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    left = at

    def look(event: str, given: tuple[object, ...]) -> None:
        nonlocal left
        writes = event == "open" and isinstance(given[2], int) and given[2] & os.O_ACCMODE
        if event in _CHANGES or writes:
            left -= 1
            if left < 0:
                os._exit(9)

    sys.addaudithook(look)
    try:
        work()
    finally:
        os._exit(0)


@pytest.mark.parametrize("is_copied", [False, True], ids=["linked, again", "copied, elsewhere"])
def test_whoever_is_killed_at_any_step_has_it_whole_and_nothing_is_left_behind(
    tmp_path: Path, is_copied: bool
) -> None:
    with small_disk(tmp_path / "here") as disk, small_disk(tmp_path / "there") as other:
        for at in itertools.count():
            home, new = disk / f"home{at}", (other if is_copied else disk) / f"new{at}"
            old = cached(home)
            change_config(home, partial(msgspec.structs.replace, cache_id=read_mark(old)))
            was_killed = killed(at, lambda: move_cache(home, new, lambda _: None))  # noqa: B023  # at once
            here = cache_directory(home, load_config(home))
            assert holds(here) == FILES, at
            assert read_mark(here) is not None
            clear_up(home)  # the next start
            assert holds(here) == FILES, at
            assert old.exists() == (here == old), at
            there = other / f"third{at}" if is_copied else new
            if here != there:
                move_cache(home, there, lambda _: None)
            assert holds(there) == FILES, at
            assert not old.exists(), at
            assert there == new or not new.exists() or not any(new.iterdir()), at
            assert {path.name for path in there.iterdir()} == {
                "blocks", "staging", "index.db", "cache.id",
            }  # fmt: skip
            if not was_killed:
                break
            shutil.rmtree(there)
            shutil.rmtree(home)
    assert at > 20


def test_what_a_move_has_left_goes_only_if_it_proves_to_be_of_this_cache(tmp_path: Path) -> None:
    home, new = tmp_path / "home", tmp_path / "new"
    old = cached(home)
    move_cache(home, new, lambda _: None)
    mark = read_mark(new)
    assert mark is not None

    def left(name: str, of: str | None) -> Path:
        """Return a directory that a move away from is noted, with a mark of the cache *of*."""
        directory = tmp_path / name
        (directory / "blocks").mkdir(parents=True)
        (directory / "blocks" / "file").touch()
        if of is not None:
            (directory / "cache.id").write_text(of)
        note_move(home, directory, new)
        return directory

    nobodys, others, ours = left("nobodys", None), left("others", "ab" * 16), left("ours", mark)
    (ours / "notes.txt").touch()
    (ours / "staging").symlink_to(others)
    used = left("used", mark)
    note_move(home, tmp_path / "unmounted", new)
    with contextlib.closing(DirectoryLock(used)):
        clear_up(home)
    kept = [nobodys, others, used]
    assert all((directory / "blocks" / "file").exists() for directory in kept)
    assert sorted(path.name for path in ours.iterdir()) == ["notes.txt", "staging"]
    clear_up(home)
    assert not used.exists()
    left("unmounted", mark)  # and mounted again
    clear_up(home)
    assert not (tmp_path / "unmounted").exists()
    assert not (home / MOVES_FILE).exists()
    note_move(home, new, old)  # as if it had been adopted again
    clear_up(home, tmp_path / "third")
    assert holds(new) == FILES
    (home / MOVES_FILE).write_text("[{")
    clear_up(home)
