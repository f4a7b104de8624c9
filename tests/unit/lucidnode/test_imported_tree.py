"""What is imported is what was there, and what has its name is whole."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lucidnode.imported_tree import Imported, TreeImport, survey


def imported(
    source: Path, target: Path, progress: Callable[[int], None] = lambda _size: None
) -> Imported:
    target.mkdir(exist_ok=True)
    return TreeImport(source, target, survey(source), progress).run()


def synced(source: Path, target: Path, *, deletes: bool = False) -> Imported:
    target.mkdir(exist_ok=True)
    work = TreeImport(source, target, survey(source), lambda _size: None, replaces=True)
    if deletes:
        work.remove_others()
    return work.run()


def seen(root: Path) -> dict[str, Any]:
    """Return all that is told of what is below *root*, and which names are one file."""
    found: dict[str, Any] = {}
    first: dict[int, str] = {}
    for path in sorted(root.rglob("*")):
        told, name = path.lstat(), str(path.relative_to(root))
        content = (
            path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        )
        found[name] = (
            told.st_mode, told.st_mtime_ns, content, first.setdefault(told.st_ino, name),
            sorted(os.listxattr(path, follow_symlinks=False)),
        )  # fmt: skip
    return found


def is_sparse(path: Path) -> bool:
    told = path.stat()
    return told.st_blocks * 512 < told.st_size // 2


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "film" / "reel").mkdir(parents=True)
    (source / "film" / "cut").write_bytes(bytes(range(256)) * 9000)
    (source / "film" / "empty").touch()
    os.link(source / "film" / "cut", source / "film" / "reel" / "also")
    (source / "film" / "points").symlink_to("reel/nowhere")
    os.mkfifo(source / "film" / "pipe")
    with (source / "film" / "holes").open("wb") as file:
        file.truncate(5_000_000)
        file.seek(3_000_000)
        file.write(b"data")
    with contextlib.suppress(OSError):  # not every /tmp takes them
        os.setxattr(source / "film" / "empty", "user.grade", b"warm")
    (source / "film" / "cut").chmod(0o640)
    for path in source.rglob("*"):
        os.utime(path, ns=(3, 1_700_000_000_123_456_789), follow_symlinks=False)
    (source / "film" / "reel").chmod(0o750)
    return source


def test_all_that_belongs_to_a_tree_comes_along(source: Path, tmp_path: Path) -> None:
    done: list[int] = []
    told = imported(source, tmp_path / "target", done.append)
    assert seen(tmp_path / "target") == seen(source)
    assert (told.files, told.left_out, told.without_attributes) == (6, [], 0)
    assert sum(done) == told.size == 256 * 9000 + 5_000_000
    if is_sparse(source / "film" / "holes"):  # where the file system has holes at all
        assert is_sparse(tmp_path / "target" / "film" / "holes")


def test_what_is_there_already_is_not_copied_again(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    imported(source, target)
    inode = (target / "film" / "cut").stat().st_ino
    (target / "film" / "empty").unlink()
    (target / "film" / f".lucidnode-import-{(source / 'film' / 'empty').stat().st_ino}").touch()
    told = imported(source, target)
    assert (told.files, told.unchanged, told.left_out) == (1, 5, [])
    assert (target / "film" / "cut").stat().st_ino == inode
    assert seen(target) == seen(source), "of a copy that was broken off nothing is left"


def test_nothing_is_replaced(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "film").mkdir(parents=True)
    (target / "film" / "cut").write_text("another")
    (target / "film" / "points").symlink_to("elsewhere")
    (target / "film" / "reel").write_text("no directory")
    told = imported(source, target)
    assert {path for path, _ in told.left_out} == {
        "film/cut", "film/points", "film/reel", "film/reel/also",
    }  # fmt: skip
    assert (target / "film" / "cut").read_text() == "another"
    assert (target / "film" / "holes").stat().st_size == 5_000_000


def test_a_long_copy_is_told_of_on_its_way_and_to_its_end_also_where_it_is_left_out(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    (target / "film").mkdir(parents=True)
    (target / "film" / "holes").write_text("another")
    done: list[int] = []
    told = imported(source, target, done.append)
    assert [path for path, _ in told.left_out] == ["film/holes"]
    assert sum(done) == 256 * 9000 + 5_000_000
    assert len([count for count in done if 0 < count < 256 * 9000]) > 2, "piece by piece"


def test_who_breaks_it_off_waits_for_no_file_that_is_under_way(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name in ("first", "second"):
        (source / name).write_bytes(bytes(8 << 20))
    heard: list[int] = []
    met: list[threading.Thread] = []
    both, interrupted = threading.Barrier(2, timeout=60), threading.Event()

    def broken_off(count: int) -> None:
        heard.append(count)
        if (me := threading.current_thread()) in met:
            return
        met.append(me)
        if both.wait() == 0:
            met.insert(0, me)
            interrupted.set()
            raise KeyboardInterrupt
        interrupted.wait(60)
        met[0].join(60)  # it ends once nothing more is begun

    with pytest.raises(KeyboardInterrupt):
        imported(source, target, broken_off)
    assert list(target.iterdir()) == []
    assert len(heard) == 4, "a piece of each, and what is left of each"


def test_no_link_leads_out_and_no_rights_of_others_come_along(tmp_path: Path) -> None:
    source, secret = tmp_path / "source", tmp_path / "secret"
    source.mkdir()
    secret.write_text("not to be read")
    (source / "way").symlink_to(secret)
    (source / "rights").touch()
    (source / "rights").chmod(0o4755)
    with socket.socket(socket.AF_UNIX) as served:
        with contextlib.chdir(source):  # a socket's path is short
            served.bind("socket")
        told = imported(source, tmp_path / "target")
    assert (tmp_path / "target" / "way").readlink() == secret
    assert (tmp_path / "target" / "rights").stat().st_mode & 0o7777 == 0o755
    assert told.left_out == [("socket", "devices and sockets are not imported")]


def test_what_has_another_content_since_an_earlier_import_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("first")
    imported(source, tmp_path / "target")
    (source / "a").write_text("the second")
    told = imported(source, tmp_path / "target")
    assert [path for path, _ in told.left_out] == ["a"]
    assert (tmp_path / "target" / "a").read_text() == "first"


def test_a_sync_makes_the_target_like_the_source(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    imported(source, target)
    film = source / "film"
    (film / "cut").write_text("another cut")
    (film / "points").unlink()
    (film / "points").symlink_to("elsewhere")
    (film / "holes").chmod(0o600)
    (film / "pipe").unlink()
    (film / "pipe").write_text("no pipe any more")
    (film / "reel" / "also").unlink()
    (film / "reel" / "also").write_text("a file of its own")
    (film / "reel" / "second").hardlink_to(film / "empty")
    told = synced(source, target)
    assert (told.left_out, told.without_attributes, told.removed) == ([], 0, 0)
    assert told.unchanged == 2, "the file whose mode changed, and the empty one"
    assert seen(target) == seen(source)


def test_a_sync_joins_what_is_one_file_now(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "film" / "reel").mkdir(parents=True)
    (target / "film" / "reel" / "also").write_text("a file of its own")
    assert synced(source, target).left_out == []
    assert seen(target) == seen(source)


def test_attributes_that_the_source_has_no_more_go_and_ours_stay(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "a").touch()
    imported(source, target)
    os.setxattr(target / "a", "user.old", b"1")
    os.setxattr(target / "a", "user.lucid.pin", b"1")
    os.setxattr(source / "a", "user.new", b"2")
    synced(source, target)
    assert sorted(os.listxattr(target / "a")) == ["user.lucid.pin", "user.new"]


def test_only_a_sync_that_deletes_removes_what_the_source_has_not(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    imported(source, target)
    (target / "old" / "deep").mkdir(parents=True)
    (target / "old" / "deep" / "file").write_text("old")
    (target / "old" / "way").symlink_to(source)
    assert synced(source, target).removed == 0
    assert (target / "old" / "deep" / "file").exists()
    assert synced(source, target, deletes=True).removed == 4
    assert seen(target) == seen(source)
    assert (source / "film" / "cut").exists(), "no link was followed"


def test_a_sync_puts_no_file_in_the_place_of_a_directory(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (target / "a").mkdir(parents=True)
    (target / "a" / "kept").touch()
    source.mkdir()
    (source / "a").write_text("a file")
    assert [path for path, _ in synced(source, target).left_out] == ["a"]
    assert (target / "a" / "kept").exists()
