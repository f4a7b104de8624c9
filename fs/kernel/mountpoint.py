"""Where a project may be mounted, and what the kernel says is mounted there."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

from lucidnode.fs.errors import CacheInsideMount, FuseMissing, MountPointBusy, MountPointMissing
from lucidnode.node.client.mountinfo import Mounted, mounts


def mounted_at(directory: Path) -> Mounted | None:
    """Return what is mounted at *directory*, the uppermost if several are, or None.

    Asks nothing of the file system itself: the one at *directory* may be dead.
    """
    wanted = _without_asking(directory)
    found = [
        mount
        for mount in mounts(Path("/proc/self/mountinfo").read_bytes())
        if mount.directory == wanted
    ]
    return found[-1] if found else None


def check(directory: Path, keep_out: list[Path]) -> Path:
    """Return *directory* as an absolute path, fit to be mounted on; *keep_out* lie outside of it.

    A dead mount of ours there (its process was killed) is fit, as far as can be seen: `clear` takes
    it away. Raises FuseMissing, MountPointMissing, MountPointBusy, CacheInsideMount: each a sentence
    for a person.
    """
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise FuseMissing("/dev/fuse is missing or not permitted: install FUSE 3, or ask for it")
    directory = _without_asking(directory)
    if not _is_dead(directory):
        _check_bare(directory)
        _check_empty(directory)
    for path in keep_out:
        if path.resolve().is_relative_to(directory):
            raise CacheInsideMount(
                f"{path} lies inside {directory}: the mount would read itself; choose another place"
            )
    return directory


def clear(directory: Path, *, may_hold_names: bool) -> list[str]:
    """Take dead mounts of ours away from *directory*, which `check` has returned.

    To be called at the last moment: until then a dead mount turns programs away, and after it they
    can write into the bare directory. Returns the names that they have written there, sorted, which
    is no reason not to come back: without *may_hold_names* only if there was a dead mount. Raises
    as `check` does.
    """
    while _is_dead(directory):
        may_hold_names = True
        detach(directory)
    _check_bare(directory)
    if not may_hold_names:
        _check_empty(directory)
    return sorted(path.name for path in directory.iterdir())


def is_left(directory: Path, held: str | None) -> bool:
    """Tell whether what is seen at *directory* is a mount of ours whose process has died.

    *held* is the number of one that a keeper holds: it is not asked, for it answers nobody.
    """
    if held is None:
        return _is_dead(directory)
    found = mounted_at(directory)
    return found is not None and found.is_ours and found.device == held


def _check_bare(directory: Path) -> None:
    if not directory.is_dir():
        raise MountPointMissing(f"{directory} is not a directory: create it first")
    other = mounted_at(directory)
    if other is not None:
        raise MountPointBusy(
            f"something is mounted at {directory} already ({other.kind}): choose another directory"
        )


def _check_empty(directory: Path) -> None:
    if next(directory.iterdir(), None) is not None:
        raise MountPointBusy(
            f"{directory} is not empty: choose an empty directory, or move away what is in it "
            "(programs may have written there while nothing was mounted)"
        )


def detach(directory: Path) -> None:
    """Take what is mounted at *directory* away, whoever still uses it. Raises FuseMissing, MountPointBusy."""
    name = "umount" if os.geteuid() == 0 else "fusermount3"
    tool = shutil.which(name)
    if tool is None:
        raise FuseMissing(f"{name} is missing: install FUSE 3")
    lazily = "-l" if name == "umount" else "-uz"
    done = subprocess.run(  # noqa: S603  # A fixed tool, and a path after `--`.
        [tool, lazily, "--", str(directory)], capture_output=True, check=False
    )
    if done.returncode != 0 and mounted_at(directory) is not None:
        said = done.stderr.decode(errors="replace").strip()
        raise MountPointBusy(f"the mount at {directory} cannot be taken away: {said}")


def raise_read_ahead(directory: Path, kibibytes: int) -> bool:
    """Let the kernel read *kibibytes* ahead on the mount; False if we may not, which is no harm."""
    found = mounted_at(directory)
    if found is None:
        return False
    try:
        Path(f"/sys/class/bdi/{found.device}/read_ahead_kb").write_text(str(kibibytes))
    except OSError:
        return False
    return True


def _is_dead(directory: Path) -> bool:
    """Return whether the uppermost mount at *directory* is ours and nobody serves it any more."""
    found = mounted_at(directory)
    if found is None or not found.is_ours:
        return False
    try:
        # Not `stat`: the kernel answers that from its cache for a while.
        os.statvfs(directory)
    except OSError as error:
        # The process that served it is gone, and nobody else can take its place: since before we
        # asked, or since then.
        return error.errno in {errno.ENOTCONN, errno.ECONNABORTED}
    return False


def _without_asking(directory: Path) -> Path:
    """Return the absolute path of *directory*, its parent's links resolved, itself not touched."""
    absolute = directory.absolute()
    return absolute.parent.resolve() / absolute.name if absolute.name else absolute
