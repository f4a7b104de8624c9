"""A bucket in a directory: durable, never taken for one that is not mounted, never in the way."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from lucidnode.node.bucket.address import DirectoryAddress
from lucidnode.node.bucket.bucket import Listed
from lucidnode.node.bucket.directory import DirectoryBucket, prepare_directory
from lucidnode.node.bucket.errors import AlreadyThere, Unsettled, WrongBucket
from lucidnode.node.client.errors import AccessDenied, Unavailable

KEY = "p/0123/journal/0000000000000001"
NOBODY = 65534


@pytest.fixture
async def address(tmp_path: Path) -> DirectoryAddress:
    address = DirectoryAddress(tmp_path / "bucket")
    await prepare_directory(address, create=True)
    return address


@contextmanager
def disk_calls() -> Iterator[list[str]]:
    """Write down the calls that order writes, of all threads that start meanwhile."""
    calls: list[str] = []

    def note(frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ in {"fsync", "link", "rename", "replace"}:
            calls.append(called.__name__)

    threading.setprofile(note)
    try:
        yield calls
    finally:
        threading.setprofile(None)


async def test_an_object_is_on_disk_before_it_has_a_name_and_its_name_before_it_counts(
    address: DirectoryAddress,
) -> None:
    await DirectoryBucket(address).put("p/0123/journal/0", b"makes the folders")
    with disk_calls() as calls:
        bucket = DirectoryBucket(address)
        await bucket.create(KEY, b"entry")
        del calls[1:4]  # a new process makes sure of p, p/0123 and p/0123/journal once
        assert calls == ["fsync", "link", "fsync"]
        calls.clear()
        await bucket.put(KEY, b"entry")
        assert calls == ["fsync", "replace", "fsync"]
        calls.clear()
        with pytest.raises(AlreadyThere):
            await bucket.create(KEY, b"other")
        assert calls == ["fsync", "link", "fsync"], "settled means that the winner is durable"


async def test_new_folders_are_durable_before_what_is_in_them(address: DirectoryAddress) -> None:
    with disk_calls() as calls:
        await DirectoryBucket(address).create(KEY, b"entry")
    assert calls == ["fsync", "fsync", "fsync", "fsync", "link", "fsync"]


async def test_a_share_that_is_not_mounted_is_no_empty_bucket(address: DirectoryAddress) -> None:
    bucket = DirectoryBucket(address)
    await bucket.put(KEY, b"entry")
    away = address.path.with_name("away")
    for mount_point_stays in (True, False):
        address.path.rename(away)
        if mount_point_stays:
            address.path.mkdir()
        with pytest.raises(Unavailable, match="mount it"):
            await bucket.get(KEY)
        with pytest.raises(Unavailable):
            await bucket.size(KEY)
        with pytest.raises(Unavailable):
            await bucket.list("p")
        with pytest.raises(Unavailable):
            await bucket.put("p/0123/block/ab", b"x")
        with pytest.raises(Unsettled):
            await bucket.create("p/0123/block/ab", b"x")
        with pytest.raises(WrongBucket, match="mount the share"):
            await prepare_directory(address, create=False)
        if mount_point_stays:
            assert list_of(address.path) == []
            address.path.rmdir()
        away.rename(address.path)
    assert await bucket.get(KEY) == b"entry"
    await bucket.create("p/0123/block/ab", b"x")


async def test_folders_removed_behind_our_back_are_made_again(address: DirectoryAddress) -> None:
    bucket = DirectoryBucket(address)
    await bucket.put("p/1/a", b"x")
    (address.path / "p/1/a").unlink()
    (address.path / "p/1").rmdir()
    with pytest.raises(Unavailable):
        await bucket.put("p/1/b", b"y")
    await bucket.put("p/1/b", b"y")
    assert await bucket.get("p/1/b") == b"y"


async def test_a_listing_is_in_the_order_of_s3_even_where_names_begin_alike(
    address: DirectoryAddress,
) -> None:
    bucket = DirectoryBucket(address)
    keys = sorted(["a", "f/a/x", "f/a-b", "f/a.b", "f/a/y/z", "f/a0", "f2/a", "f-2/a"])
    for key in keys:
        await bucket.put(key, b"")
    assert [listed.key for listed in await bucket.list("")] == keys
    for after in keys:
        listing = await bucket.list("", after=after)
        assert [listed.key for listed in listing] == [key for key in keys if key > after]


async def test_what_a_crash_left_half_written_is_not_listed_and_goes_when_it_is_old(
    address: DirectoryAddress,
) -> None:
    mark = address.path / ".lucidnode"
    old, young = mark / "old", mark / "young"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    yesterday = young.stat().st_mtime - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    assert await DirectoryBucket(address).list("") == []
    await prepare_directory(address, create=False)
    assert list_of(mark) == [young]


async def test_nothing_is_left_behind_by_winning_losing_or_failing(
    address: DirectoryAddress,
) -> None:
    bucket = DirectoryBucket(address)
    await bucket.create(KEY, b"one")
    with pytest.raises(AlreadyThere):
        await bucket.create(KEY, b"two")
    with pytest.raises(Unsettled):
        await bucket.create(f"{KEY}/below-a-file", b"three")
    assert list_of(address.path / ".lucidnode") == []


async def test_init_takes_a_new_or_an_empty_directory_and_knows_its_own(tmp_path: Path) -> None:
    for name in ("new", "empty"):
        address = DirectoryAddress(tmp_path / name)
        if name == "empty":
            address.path.mkdir()
        await prepare_directory(address, create=True)
        await DirectoryBucket(address).put(KEY, b"x")
        await prepare_directory(address, create=True)
        await prepare_directory(address, create=False)


async def test_init_takes_no_directory_of_other_things(tmp_path: Path) -> None:
    film = tmp_path / "film.mov"
    film.write_bytes(b"x")
    with pytest.raises(WrongBucket, match="has other things in it"):
        await prepare_directory(DirectoryAddress(tmp_path), create=True)
    with pytest.raises(WrongBucket, match="has other things in it"):
        await prepare_directory(DirectoryAddress(film), create=True)
    with pytest.raises(WrongBucket, match="above it does not exist"):
        await prepare_directory(DirectoryAddress(tmp_path / "no" / "such"), create=True)
    assert list_of(tmp_path) == [film]


async def test_a_directory_without_rights_is_access_denied(address: DirectoryAddress) -> None:
    bucket = DirectoryBucket(address)
    await bucket.put(KEY, b"x")
    with no_rights(address.path):
        with pytest.raises(AccessDenied):
            await bucket.get(KEY)
        with pytest.raises(AccessDenied):
            await bucket.put(KEY, b"y")
        with pytest.raises(AccessDenied):
            await bucket.create("p/2", b"y")
        with pytest.raises(AccessDenied, match="Permission denied"):
            await prepare_directory(DirectoryAddress(address.path / "below"), create=True)
    assert await bucket.get(KEY) == b"x"


async def test_a_share_that_hangs_costs_its_deadline_and_holds_up_nobody_else(
    address: DirectoryAddress,
) -> None:
    released = threading.Event()

    class Share(DirectoryBucket):
        """Hangs as a mounted share does whose server went away: in the call that reads."""

        def _read(self, path: Path, span: tuple[int, int] | None) -> bytes:
            if path.name == "hanging":
                released.wait()
            return super()._read(path, span)

    bucket = Share(address, answer_s=0.2)
    await bucket.put(KEY, b"x")
    try:
        with pytest.raises(Unavailable, match="in time"):
            await bucket.get("hanging")
        assert await bucket.get(KEY) == b"x"
    finally:
        released.set()


def list_of(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@contextmanager
def no_rights(path: Path) -> Iterator[None]:
    """Close *path* to this process, which root has to leave for."""
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        path.chmod(0o700)


# -- what others lay under our names -------------------------------------------------------------


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    # A path to a socket may have 107 bytes, and those of tests can be longer.
    folder = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as here:
        here.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def a_device(path: Path) -> None:
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero: never ends


def a_link_out(path: Path) -> None:
    outside = path.parents[3] / "outside"
    outside.write_bytes(b"somebody's secret")
    path.symlink_to(outside)


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("lay", [a_pipe, a_socket, a_device, a_link_out, a_folder])
async def test_what_is_no_file_holds_nobody_up_and_is_named(
    address: DirectoryAddress, lay: Callable[[Path], None]
) -> None:
    bucket = DirectoryBucket(address, answer_s=5)
    await bucket.put("p/0123/journal/0", b"makes the folders")
    lay(address.path / KEY)
    for _ in range(20):  # more than there are threads
        with pytest.raises(Unavailable, match="no file of ours is in the way") as told:
            await bucket.get(KEY)
        assert told.value.lasting
        with pytest.raises(Unavailable, match="no file of ours is in the way"):
            await bucket.size(KEY)
    with pytest.raises(AlreadyThere):
        await bucket.create(KEY, b"entry")
    assert await bucket.list("p/0123/journal") == [Listed("p/0123/journal/0", 17)]
    assert await bucket.get("p/0123/journal/0") == b"makes the folders"


async def test_no_link_leads_reads_or_writes_out_of_the_bucket(
    address: DirectoryAddress, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (outside / "journal").mkdir(parents=True)
    (outside / "journal" / "1").write_bytes(b"somebody's secret")
    (address.path / "p").mkdir()
    (address.path / "p" / "0123").symlink_to(outside)
    bucket = DirectoryBucket(address)
    with pytest.raises(Unavailable, match="in the way"):
        await bucket.get("p/0123/journal/1")
    with pytest.raises(Unavailable, match="in the way"):
        await bucket.put("p/0123/journal/2", b"ours")
    with pytest.raises(Unsettled, match="in the way"):
        await bucket.create("p/0123/journal/2", b"ours")
    assert await bucket.list("p") == []
    assert [path.name for path in (outside / "journal").iterdir()] == ["1"]


async def test_a_file_in_the_place_of_a_folder_is_named_and_no_absence(
    address: DirectoryAddress,
) -> None:
    (address.path / "p").write_bytes(b"")
    bucket = DirectoryBucket(address)
    for call in (bucket.get(KEY), bucket.size(KEY), bucket.put(KEY, b"x")):
        with pytest.raises(Unavailable):
            await call


async def test_strange_things_among_the_half_written_keep_nobody_from_starting(
    address: DirectoryAddress,
) -> None:
    for name, lay in {"pipe": a_pipe, "folder": a_folder}.items():
        lay(address.path / ".lucidnode" / name)
        os.utime(address.path / ".lucidnode" / name, (0, 0))
    await prepare_directory(address, create=False)
