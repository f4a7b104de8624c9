"""Real mounts, in processes of their own, through the real socket."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random  # noqa: TID251 - seeded

import pytest
from daemon_fixture import BLOCK, MountFailed, Workstation, eventually, workstations

from lucidnode.fs.kernel.mountpoint import mounted_at
from lucidnode.node.client.mountinfo import mounts

pytestmark = pytest.mark.fuse

# Version 2, and five entries of tag, permissions and id: user::rw-, user:99:rw-, group::r--, mask::rw-,
# other::r--. See posix_acl_xattr.h of Linux.
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, bits, who)
    for tag, bits, who in [
        (0x01, 6, 2**32 - 1),
        (0x02, 6, 99),
        (0x04, 4, 2**32 - 1),
        (0x10, 6, 2**32 - 1),
        (0x20, 4, 2**32 - 1),
    ]
)


_GETDENTS64 = 217 if platform.machine() == "x86_64" else 61


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Workstation]:
    with workstations(tmp_path) as [only]:
        yield only


@pytest.fixture
def mounted(node: Workstation) -> Path:
    node.mount()
    return node.mountpoint


def noise(size: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(size)


def test_a_tree_survives_everything_but_the_bucket(node: Workstation) -> None:
    node.mount()
    top = node.mountpoint
    (top / "dir/below").mkdir(parents=True)
    (top / "dir/big").write_bytes(noise(5 * BLOCK + 77))
    (top / "dir/small").write_bytes(b"small")
    (top / "empty").touch()
    (top / "link").symlink_to("dir/small")
    os.link(top / "dir/small", top / "hard")
    os.setxattr(top / "dir/big", "user.label", b"rushes")
    os.utime(top / "dir/big", ns=(1_000_000_001, 1_000_000_002))
    (top / "dir/small").chmod(0o640)
    node.remount_empty()
    assert sorted(os.listdir(top)) == ["dir", "empty", "hard", "link"]
    assert (top / "dir/big").read_bytes() == noise(5 * BLOCK + 77)
    assert (top / "link").read_text() == (top / "hard").read_text() == "small"
    assert (top / "hard").stat().st_nlink == 2
    assert os.getxattr(top / "dir/big", "user.label") == b"rushes"
    assert (top / "dir/big").stat().st_mtime_ns == 1_000_000_002
    assert stat.S_IMODE((top / "hard").stat().st_mode) == 0o640
    assert os.getxattr(top / "empty", "user.lucid.state") == b"cloud"


def test_errors_are_those_of_linux(mounted: Path) -> None:
    calls: list[tuple[int, Callable[[], object]]]
    (mounted / "file").write_bytes(b"x")
    (mounted / "dir/full").mkdir(parents=True)
    calls = [
        (errno.ENOENT, lambda: os.stat(mounted / "absent")),
        (errno.EEXIST, lambda: os.mkdir(mounted / "dir")),
        (errno.ENOTEMPTY, lambda: os.rmdir(mounted / "dir")),
        (errno.ENOTDIR, lambda: os.rmdir(mounted / "file")),
        (errno.EISDIR, lambda: os.unlink(mounted / "dir")),
        (errno.EINVAL, lambda: os.rename(mounted / "dir", mounted / "dir/full/loop")),
        (errno.ENAMETOOLONG, (mounted / ("n" * 256)).touch),
        (errno.ENODATA, lambda: os.getxattr(mounted / "file", "user.none")),
        (errno.EPERM, lambda: os.setxattr(mounted / "file", "user.lucid.state", b"cloud")),
        (errno.ENOTSUP, lambda: os.setxattr(mounted / "file", "system.posix_acl_access", ACL)),
        (errno.ENOTSUP, lambda: os.getxattr(mounted / "file", "system.posix_acl_access")),
        (errno.ENOTSUP, lambda: os.setxattr(mounted / "file", "security.label", b"x")),
        (errno.ENOTSUP, lambda: os.getxattr(mounted / "file", "security.label")),
        (errno.ENOTSUP, lambda: os.removexattr(mounted / "file", "security.label")),
        (errno.EEXIST, lambda: os.open(mounted / "file", os.O_CREAT | os.O_EXCL)),
    ]
    for expected, call in calls:
        with pytest.raises(OSError, match=r"\[Errno") as caught:
            call()
        assert caught.value.errno == expected


def test_a_name_over_255_bytes_is_too_long_for_every_call(mounted: Path) -> None:
    long = mounted / ("n" * 256)
    (mounted / "file").write_bytes(b"x")
    (mounted / "dir").mkdir()
    calls: list[Callable[[], object]] = [
        lambda: os.stat(long),
        lambda: os.open(long, os.O_RDONLY),
        lambda: os.stat(long / "below"),
        lambda: os.stat(mounted / "dir" / long.name / "below"),
        lambda: os.mkdir(long),
        lambda: os.mkfifo(long),
        lambda: os.symlink("file", long),
        lambda: os.link(mounted / "file", long),
        lambda: os.link(long, mounted / "other"),
        lambda: os.rename(mounted / "file", long),
        lambda: os.rename(long, mounted / "other"),
        lambda: os.unlink(long),
        lambda: os.rmdir(long),
        lambda: os.truncate(long, 0),
        lambda: os.chmod(long, 0o600),
        lambda: os.utime(long),
        lambda: os.readlink(long),
        lambda: os.listdir(long),
        lambda: os.getxattr(long, "user.label"),
    ]
    for call in calls:
        with pytest.raises(OSError, match=r"\[Errno") as caught:
            call()
        assert caught.value.errno == errno.ENAMETOOLONG
    assert sorted(os.listdir(mounted)) == ["dir", "file"]
    # The names of extended attributes are the kernel's to judge, as on any file system.
    with pytest.raises(OSError, match=r"\[Errno") as caught:
        os.setxattr(mounted / "file", "user." + "n" * 251, b"")
    assert caught.value.errno == errno.ERANGE


def test_names_are_bytes(mounted: Path) -> None:
    names = [b"\xff\xfe", "\u00e9".encode(), "e\u0301".encode(), b"new\nline", b"n" * 255]
    for name in names:
        with open(os.fsencode(mounted) + b"/" + name, "wb") as file:  # bytes
            file.write(name)
    assert sorted(os.listdir(os.fsencode(mounted))) == sorted(names)
    for name in names:
        with open(os.fsencode(mounted) + b"/" + name, "rb") as file:  # bytes
            assert file.read() == name


def test_a_large_directory_lists_each_name_once(mounted: Path) -> None:
    for number in range(1000):
        (mounted / f"frame.{number:05d}").touch()
    found = os.listdir(mounted)
    assert len(found) == len(set(found)) == 1000
    listed = subprocess.run(["ls", "-a", mounted], capture_output=True, check=True).stdout.split()
    assert listed[:2] == [b".", b".."]


def listed(directory: Path, place: int = 0, most: int = 1 << 30) -> list[tuple[str, int]]:
    """Return (name, place behind it) of entries behind *place*, through a handle of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(4096)
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    found: list[tuple[str, int]] = []
    try:
        os.lseek(handle, place, os.SEEK_SET)
        while len(found) < most:
            size = libc.syscall(_GETDENTS64, handle, buffer, len(buffer))
            if size < 0:
                raise OSError(ctypes.get_errno(), "getdents64")
            if size == 0:
                break
            at = 0
            while at < size:
                _, behind, length, _ = struct.unpack_from("<QqHB", buffer, at)
                name = buffer.raw[at + 19 : at + length].split(b"\0", 1)[0]
                found.append((os.fsdecode(name), behind))
                at += length
    finally:
        os.close(handle)
    return found[:most]


def test_a_listing_goes_on_through_any_handle_whatever_changed_meanwhile(
    node: Workstation,
) -> None:
    node.mount()
    top = node.mountpoint / "frames"
    top.mkdir()
    for number in range(0, 600, 2):
        (top / f"{number:03d}").touch()
    whole = listed(top)
    assert [name for name, _ in whole[:2]] == [".", ".."]
    stayed = {name for name, _ in whole}
    for at in (0, 1, 2, 99, 250, len(whole) - 1):
        name, place = whole[at]
        rest = [name for name, _ in whole[at + 1 :]]
        assert [name for name, _ in listed(top, place)] == rest
        if at > 1:
            # What the place stands behind goes, and others come before and behind it.
            (top / name).unlink()
            stayed.discard(name)
            (top / f"{int(name) - 1:03d}").touch()
            (top / f"{int(name) + 1:03d}").touch()
            (top / "000 replaced").touch()
            (top / "000 replaced").rename(top / "400")
            on = [name for name, _ in listed(top, place) if name in stayed]
            assert on == [name for name in rest if name in stayed]
    before = listed(top)
    node.unmount()
    node.mount()
    assert listed(top) == before
    assert listed(top, before[100][1]) == before[101:]
    with pytest.raises(OSError, match="getdents64") as caught:
        listed(top, 12345)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(("channel", "steps"), [(True, 600), (False, 200)])
def test_random_writes_and_truncates_match_a_reference_file(
    node: Workstation, tmp_path: Path, steps: int, *, channel: bool
) -> None:
    """What fsx does: the same steps on the mount and on the local disk, compared as they go."""
    node.channel = channel
    node.mount()
    mounted = node.mountpoint
    generator = Random(11)
    ours = os.open(mounted / "fsx", os.O_RDWR | os.O_CREAT, 0o644)
    theirs = os.open(tmp_path / "fsx", os.O_RDWR | os.O_CREAT, 0o644)
    limit = 6 * BLOCK
    for step in range(steps):
        offset, length = generator.randrange(limit), generator.randrange(1, 70_000)
        match generator.randrange(10):
            case 0:
                for file in (ours, theirs):
                    os.ftruncate(file, offset)
            case 1:
                os.fsync(ours)
            case 2 if os.fstat(theirs).st_size > 0:
                changed = generator.randbytes(min(length, os.fstat(theirs).st_size))
                for file in (ours, theirs):
                    with mmap.mmap(file, 0) as mapped:
                        mapped[: len(changed)] = changed
                        mapped.flush()
            case 3 | 4 | 5 | 6:
                data = generator.randbytes(length)
                for file in (ours, theirs):
                    os.pwrite(file, data, offset)
            case 7:
                os.close(ours)
                ours = os.open(mounted / "fsx", os.O_RDWR)
            case _:
                assert os.pread(ours, length, offset) == os.pread(theirs, length, offset), step
        assert os.fstat(ours).st_size == os.fstat(theirs).st_size, step
    os.close(ours)
    os.close(theirs)
    assert (mounted / "fsx").read_bytes() == (tmp_path / "fsx").read_bytes()


def test_a_deleted_file_is_readable_and_writable_while_open(mounted: Path) -> None:
    with (mounted / "gone").open("w+b") as file:
        file.write(noise(3 * BLOCK))
        file.flush()
        (mounted / "gone").unlink()
        assert os.listdir(mounted) == []
        file.seek(BLOCK)
        file.write(b"still")
        file.flush()
        file.seek(0)
        assert file.read() == noise(3 * BLOCK)[:BLOCK] + b"still" + noise(3 * BLOCK)[BLOCK + 5 :]
        assert os.fstat(file.fileno()).st_nlink == 0


def test_a_file_renamed_over_is_readable_while_open(mounted: Path) -> None:
    (mounted / "cut.prproj").write_bytes(b"old")
    with (mounted / "cut.prproj").open("rb") as old:
        (mounted / "cut.tmp").write_bytes(b"new")
        (mounted / "cut.tmp").replace(mounted / "cut.prproj")
        assert old.read() == b"old"
        assert (mounted / "cut.prproj").read_bytes() == b"new"


def test_sparse_files_read_as_zeros(mounted: Path) -> None:
    with (mounted / "sparse").open("wb") as file:
        file.seek(1 << 36)
        file.write(b"end")
    assert (mounted / "sparse").stat().st_size == (1 << 36) + 3
    with (mounted / "sparse").open("rb") as file:
        assert file.read(100_000) == bytes(100_000)
        file.seek((1 << 36) - 10)
        assert file.read() == bytes(10) + b"end"
        # Without the kernel channel nobody is told of holes: all of it is data, which is never wrong.
        assert 4096 <= os.lseek(file.fileno(), 4096, os.SEEK_DATA) <= 1 << 36
        assert os.lseek(file.fileno(), 1 << 36, os.SEEK_HOLE) == (1 << 36) + 3


def test_du_counts_what_is_stored_and_not_the_holes(mounted: Path) -> None:
    for name, hole in (("small", 1 << 20), ("large", 1 << 33)):
        with (mounted / name).open("wb") as file:
            file.seek(hole)
            # Before it is saved, too: `tar` believes that what occupies nothing holds nothing.
            file.write(noise(100_000))
            file.flush()
            assert 100_000 <= os.fstat(file.fileno()).st_blocks * 512 < 200_000
            os.fsync(file.fileno())
            assert os.fstat(file.fileno()).st_blocks == -(-100_000 // 512)
            file.seek(0)
            file.write(noise(4096))
        assert (mounted / name).stat().st_blocks == 8 + 196
        os.truncate(mounted / name, hole)
        assert (mounted / name).stat().st_blocks == 8
    (mounted / "whole").write_bytes(noise(3 * BLOCK + 5))
    said = subprocess.run(["du", "-k", mounted / "whole"], capture_output=True, check=True).stdout
    assert int(said.split()[0]) == 769


def test_statfs_fits_programs_that_count_in_32_bits(mounted: Path) -> None:
    for size in (0, 1 << 52):
        (mounted / "claimed").touch()
        os.truncate(mounted / "claimed", size)
        found = os.statvfs(mounted)
        assert found.f_bsize == found.f_frsize
        assert max(found.f_blocks, found.f_files) < 2**32
        assert found.f_bavail * found.f_frsize == 2**50
        assert found.f_blocks * found.f_frsize == 2**50 + size


def test_appending_writers_do_not_overwrite_each_other(mounted: Path) -> None:
    def append(letter: bytes) -> None:
        with (mounted / "log").open("ab", buffering=0) as file:
            for _ in range(200):
                file.write(letter * 10)

    threads = [threading.Thread(target=append, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = (mounted / "log").read_bytes()
    assert sorted(content) == sorted(b"abc" * 2000)


def test_what_close_acknowledged_survives_a_kill(node: Workstation) -> None:
    node.uploads = False
    node.mount()
    closed: dict[str, int] = {}

    def copy() -> None:
        for number in range(10_000):
            size = (number * 7919) % (2 * BLOCK)
            try:
                (node.mountpoint / f"file-{number}").write_bytes(noise(size, number))
            except OSError:
                return
            closed[f"file-{number}"] = size

    copying = threading.Thread(target=copy)
    copying.start()
    eventually(lambda: len(closed) >= 40)
    node.kill()
    copying.join()
    kept = dict(closed)
    assert any((node.staging_dir / node.project).iterdir()), "nothing was unsent: no proof"
    node.uploads = True
    node.mount()
    for name, size in kept.items():
        assert (node.mountpoint / name).read_bytes() == noise(size, int(name.split("-")[1])), name
    eventually(
        lambda: all(
            os.getxattr(node.mountpoint / name, "user.lucid.state") == b"cloud" for name in kept
        )
    )
    node.remount_empty()
    for name, size in kept.items():
        assert (node.mountpoint / name).read_bytes() == noise(size, int(name.split("-")[1])), name


def test_a_dead_mount_is_taken_away_and_not_stacked_upon(node: Workstation) -> None:
    for _ in range(2):
        node.mount()
        node.kill()
        with pytest.raises(OSError, match=r"\[Errno") as caught:
            os.listdir(node.mountpoint)
        assert caught.value.errno == errno.ENOTCONN
    node.mount()
    known = mounts(Path("/proc/self/mountinfo").read_bytes())
    assert sum(mount.directory == node.mountpoint for mount in known) == 1


def test_a_full_staging_area_is_enospc_and_loses_nothing_acknowledged(node: Workstation) -> None:
    node.staging_limit = 8 * BLOCK
    node.uploads = False
    node.mount()
    (node.mountpoint / "before").write_bytes(noise(2 * BLOCK))
    with pytest.raises(OSError, match=r"\[Errno") as caught:
        (node.mountpoint / "too big").write_bytes(noise(20 * BLOCK))
    assert caught.value.errno == errno.ENOSPC
    assert (node.mountpoint / "before").read_bytes() == noise(2 * BLOCK)
    (node.mountpoint / "too big").unlink()
    node.uploads = True
    (node.mountpoint / "after").write_bytes(noise(20 * BLOCK, 2))
    assert (node.mountpoint / "after").read_bytes() == noise(20 * BLOCK, 2)


def test_local_acknowledgements_need_no_bucket(node: Workstation) -> None:
    node.mount()
    node.bucket.cut = True
    (node.mountpoint / "offline").write_bytes(noise(3 * BLOCK))
    assert (node.mountpoint / "offline").read_bytes() == noise(3 * BLOCK)
    assert os.getxattr(node.mountpoint / "offline", "user.lucid.state") == b"uploading"
    node.bucket.cut = False
    eventually(lambda: os.getxattr(node.mountpoint / "offline", "user.lucid.state") == b"cloud", 30)


def test_what_a_relaxed_close_acknowledged_survives_a_kill(node: Workstation) -> None:
    node.uploads = False
    node.mount(durability="relaxed")
    for number in range(20):
        (node.mountpoint / f"small {number}").write_bytes(noise(6000, number))
    (node.mountpoint / "scratch").write_bytes(noise(3 * BLOCK + 5))
    (node.mountpoint / "scratch").rename(node.mountpoint / "saved")
    node.kill()
    node.mount(durability="relaxed")
    assert len(list(node.mountpoint.iterdir())) == 21
    for number in range(20):
        assert (node.mountpoint / f"small {number}").read_bytes() == noise(6000, number)
    assert (node.mountpoint / "saved").read_bytes() == noise(3 * BLOCK + 5)
    assert "undone" not in node.log()


def test_cloud_acknowledgements_are_in_the_bucket(node: Workstation) -> None:
    node.mount(durability="cloud")
    (node.mountpoint / "safe").write_bytes(noise(2 * BLOCK + 5))
    node.kill()
    node.evict()
    for path in node.home.glob("projects/*/replica.db*"):
        path.unlink()
    node.mount()
    assert (node.mountpoint / "safe").read_bytes() == noise(2 * BLOCK + 5)


def test_a_read_only_mount_refuses_changes(node: Workstation) -> None:
    node.mount()
    (node.mountpoint / "file").write_bytes(b"x")
    node.unmount()
    node.mount(read_only=True)
    assert (node.mountpoint / "file").read_bytes() == b"x"
    calls: list[Callable[[], object]] = [
        lambda: (node.mountpoint / "file").write_bytes(b"y"),
        (node.mountpoint / "other").touch,
        (node.mountpoint / "file").unlink,
    ]
    for call in calls:
        with pytest.raises(OSError, match=r"\[Errno") as caught:
            call()
        assert caught.value.errno == errno.EROFS


def test_times_that_cameras_and_archives_bring_along(mounted: Path) -> None:
    file = mounted / "clip"
    file.touch()
    second = 10**9
    for asked, kept in (
        (-(10**17) - 1, -(10**17) - 1),  # before 1970, and not a whole second
        (-11_644_473_600 * second, -(2**63)),  # 1601, where Windows begins
        (16_725_225_600 * second, 2**63 - 1),  # 2500
    ):
        os.utime(file, ns=(asked, asked))
        assert file.stat().st_mtime_ns == kept
        assert file.stat().st_atime_ns == kept


def test_what_is_made_later_is_never_older_whoever_took_the_time(mounted: Path) -> None:
    touched, written = mounted / "touched", mounted / "written"
    touched.touch()
    beside = mounted.parent / "beside"  # asks the kernel for fine stamps, which carry it ahead
    for step in range(150):
        beside.write_bytes(b"%d" % step)
        beside.stat()
        touched.touch()
        first = touched.stat().st_mtime_ns
        written.write_bytes(b"x")
        second = written.stat().st_mtime_ns
        touched.touch()
        assert first <= second <= touched.stat().st_mtime_ns, step


def test_unmounting_ends_the_process(node: Workstation) -> None:
    pid = node.mount()
    (node.mountpoint / "last").write_bytes(b"words")
    subprocess.run(["umount", node.mountpoint], check=True)
    node.wait_for_end()
    assert not Path(f"/proc/{pid}/cwd").exists()
    node.mount()
    assert (node.mountpoint / "last").read_bytes() == b"words"


def test_where_nothing_can_be_mounted_one_sentence_says_why(node: Workstation) -> None:
    (node.mountpoint / "in the way").touch()
    with pytest.raises(MountFailed, match="is not empty"):
        node.mount()
    (node.mountpoint / "in the way").unlink()
    node.mountpoint.rmdir()
    with pytest.raises(MountFailed, match="create it first"):
        node.mount()
    node.mountpoint.mkdir()
    node.mount()
    with pytest.raises(MountFailed, match="mounted"):
        node.mount_again()
    assert mounted_at(node.mountpoint) is not None


def test_a_mount_outlives_its_daemon(tmp_path: Path) -> None:
    with workstations(tmp_path) as [node]:
        node.mount()
        (node.mountpoint / "before").write_bytes(noise(2 * BLOCK))
        with node.restarting():
            (node.mountpoint / "while away").write_bytes(noise(2 * BLOCK, 2))
        (node.mountpoint / "after").write_bytes(noise(BLOCK, 3))
        eventually(
            lambda: os.getxattr(node.mountpoint / "while away", "user.lucid.state") == b"cloud", 30
        )
        node.evict()
        assert (node.mountpoint / "before").read_bytes() == noise(2 * BLOCK)


_MAPPED_READER = """
import mmap, os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
mapped = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
sys.stdout.buffer.write(mapped[:6] + b"\\n")
sys.stdout.flush()
sys.stdin.read()
size = os.fstat(file).st_size
sys.stdout.buffer.write(b"%d %s %s" % (size, os.pread(file, 6, 0), mapped[:6]))
"""
"""Reads a file through an open descriptor and a mapping, before and after a line of input."""


# -- two nodes -----------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Workstation, Workstation]]:
    with workstations(tmp_path, 2) as [one, other]:
        one.mount()
        other.mount()
        yield one, other


def test_a_change_reaches_another_node_that_has_the_file_open_and_mapped(
    pair: tuple[Workstation, Workstation],
) -> None:
    one, other = (node.mountpoint for node in pair)
    (one / "file").write_bytes(b"first " * 10_000)
    eventually((other / "file").exists)
    # A process of its own: a page fault holds the interpreter's lock, and the daemon needs it.
    with subprocess.Popen(
        [sys.executable, "-c", _MAPPED_READER, other / "file"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"first \n"
        (one / "file").write_bytes(b"second " * 20_000)
        eventually(lambda: (other / "file").stat().st_size == 140_000)
        reader.stdin.close()
        assert reader.stdout.read() == b"140000 second second"
    assert (other / "file").read_bytes() == b"second " * 20_000


def test_a_file_deleted_or_replaced_elsewhere_hangs_nobody(
    pair: tuple[Workstation, Workstation],
) -> None:
    one, other = (node.mountpoint for node in pair)
    ended = threading.Event()
    failures: list[str] = []

    def read() -> None:
        while not ended.is_set():
            try:
                data = (other / "file").read_bytes()
            except OSError as error:
                if error.errno not in {errno.ENOENT, errno.ESTALE}:
                    failures.append(str(error))
            else:
                if data and data != data[:1] * len(data):
                    failures.append("torn")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()

    def has_arrived() -> bool:
        try:
            return (other / "file").read_bytes() == b"9" * 50_000
        except OSError as error:
            # The other node is still where it was deleted, or replaced between open and read.
            if error.errno not in {errno.ENOENT, errno.ESTALE}:
                raise
            return False

    try:
        for number in range(100):
            (one / "next").write_bytes(b"%d" % (number % 10) * 50_000)
            (one / "next").replace(one / "file")
            if number % 10 == 0:
                (one / "file").unlink()
        eventually(has_arrived)
    finally:
        ended.set()
        for reader in readers:
            reader.join(20)
    assert not any(reader.is_alive() for reader in readers)
    assert failures == []


def test_both_versions_survive_when_two_nodes_write_one_file(
    pair: tuple[Workstation, Workstation],
) -> None:
    one, other = (node.mountpoint for node in pair)
    (one / "cut.prproj").write_bytes(b"base")
    eventually((other / "cut.prproj").exists)
    with (other / "cut.prproj").open("r+b") as file:
        file.write(b"theirs, not saved yet")
        file.flush()
        (one / "cut.prproj").write_bytes(b"ours")
        eventually(lambda: len(os.listdir(other)) == 2)
        file.write(b", saved now")
    eventually(lambda: sorted(os.listdir(one)) == sorted(os.listdir(other)) != ["cut.prproj"])
    [copy] = set(os.listdir(one)) - {"cut.prproj"}
    assert copy.startswith("cut (conflict, edit-1, ")
    contents = {"cut.prproj": b"ours", copy: b"theirs, not saved yet, saved now"}
    for top in (one, other):
        eventually(
            lambda top=top: (
                {name: (top / name).read_bytes() for name in os.listdir(top)}  # type: ignore[misc]
                == contents
            )
        )
