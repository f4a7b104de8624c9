"""The block cache moves to another directory, and is whole at every moment."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path

import msgspec
import pytest
from disk_fixture import small_disk

from lucidnode.cache_move import check_new_place, move_cache, size_of_cache
from lucidnode.node.cache.lock import DirectoryLock
from lucidnode.node.cache.mark import read_mark, take
from lucidnode.node.client.errors import DiskFull, Refused
from lucidnode.node.config import (
    NodeConfig,
    cache_directory,
    change_config,
    load_config,
    save_config,
)

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
        if path.is_file() and path.name != "cache.id"
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
    assert list(old.iterdir()) == []
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
    for place, why in (
        (old / "within", "lie in each other"),
        (home, "holds"),
        (other, "another cache"),
        (full, "thesis.txt"),
    ):
        with pytest.raises(Refused, match=why):
            move_cache(home, place, lambda _: None)
    with (
        contextlib.closing(DirectoryLock(old)),
        pytest.raises(Refused, match="another node daemon"),
    ):
        move_cache(home, tmp_path / "new", lambda _: None)
    assert holds(old) == FILES
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
