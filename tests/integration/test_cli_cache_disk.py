"""A cache on a disk of its own, and that disk not mounted, as a person meets it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_fixture import Workstation, workstation

from lucidnode.cli.exit_codes import Exit

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(180)]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Workstation]:
    """Return a workstation whose cache is on `disk`, with one file in the project `demo`."""
    with workstation(tmp_path / "a") as one:
        disk = one.folder / "disk"
        disk.mkdir()
        one.unlocked("init", f"file://{one.folder}/bucket", "--cache-dir", disk / "cache")
        one.unlocked("project", "create", "demo")
        one.unlocked("mount", "demo", one.folder / "demo")
        (one.folder / "demo" / "sent").write_bytes(b"sent")
        one.ok("umount", one.folder / "demo")
        one.ok("exit")
        yield one


def test_a_cache_disk_that_is_not_mounted_is_told_and_replaced_by_nothing(
    station: Workstation,
) -> None:
    disk, top = station.folder / "disk", station.folder / "demo"
    disk.rename(station.folder / "elsewhere")
    disk.mkdir()
    said = station.unlocked("mount", "demo", top).err
    assert f"{disk / 'cache'} is missing" in said
    assert "`lucidnode cache adopt" in said
    assert (top / "sent").read_bytes() == b"sent"
    new = os.open(top / "new", os.O_WRONLY | os.O_CREAT)
    os.write(new, os.urandom(1 << 20))
    with pytest.raises(OSError, match=r"\[Errno 5\]"):
        os.fsync(new)
    with pytest.raises(OSError, match=r"\[Errno 5\]"):
        os.close(new)
    assert list(disk.iterdir()) == []
    said = station.ok("umount", top).err
    assert f"{disk / 'cache'} is missing" in said
    assert "bucket" not in said
    assert station.run("cache", "adopt", disk / "new").code == Exit.FAILED
    station.ok("exit")
    station.ok("cache", "adopt", disk / "new")
    station.ok("daemon")
    assert station.facts("status")["alerts"] == []
    assert (disk / "new" / "staging").is_dir()
    station.ok("exit")
