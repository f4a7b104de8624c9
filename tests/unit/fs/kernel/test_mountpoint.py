"""What may be mounted on."""

from __future__ import annotations

from pathlib import Path

import pytest

from lucidnode.fs.errors import CacheInsideMount, MountPointBusy, MountPointMissing
from lucidnode.fs.kernel.mountpoint import check, mounted_at


def test_what_is_mounted_is_found_by_its_path() -> None:
    found = mounted_at(Path("/proc"))
    assert found is not None
    assert found.kind == "proc"
    assert not found.is_ours
    assert mounted_at(Path("/proc/self")) is None


def test_an_empty_directory_is_fit(tmp_path: Path) -> None:
    (tmp_path / "mount").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    assert check(tmp_path / "link" / "mount", [tmp_path / "home"]) == tmp_path / "mount"


def test_what_is_not_fit_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(MountPointMissing, match="create it first"):
        check(tmp_path / "absent", [])
    (tmp_path / "file").touch()
    with pytest.raises(MountPointMissing, match="not a directory"):
        check(tmp_path / "file", [])
    with pytest.raises(MountPointBusy, match="not empty"):
        check(tmp_path, [])
    with pytest.raises(MountPointBusy, match="mounted"):
        check(Path("/proc"), [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(CacheInsideMount, match="choose another place"):
        check(tmp_path / "empty", [tmp_path / "empty" / "home"])
