"""A cache on a disk of its own, and that disk not mounted, as a person meets it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_fixture import Workstation, until, workstation

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


def synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


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
    refused = station.run("cache", "adopt", disk / "new")
    assert refused.code == Exit.USAGE
    assert f"{disk / 'cache'}, the cache until now, is missing" in refused.line
    assert not (disk / "new").exists()
    station.ok("cache", "adopt", disk / "new", "--yes")
    station.unlocked("daemon")
    assert station.facts("status")["alerts"] == []
    assert (disk / "new" / "staging").is_dir()
    station.ok("exit")


def test_what_waits_on_a_disk_that_is_gone_is_called_safe_by_nobody(station: Workstation) -> None:
    disk, top, bucket = (station.folder / name for name in ("disk", "demo", "bucket"))
    station.unlocked("mount", "demo", top)
    bucket.rename(bucket.with_name("away"))
    synced(top / "waits", os.urandom(3 << 20))
    disk.rename(station.folder / "elsewhere")
    disk.mkdir()
    with pytest.raises(OSError, match="Errno 5"):
        synced(top / "new", os.urandom(3 << 20))

    def told() -> dict[str, dict[str, str]]:
        return {alert["topic"]: alert for alert in station.status()["alerts"]}

    until(
        lambda: (
            "unsaved" in told()
            and "run `lucidnode umount`" in told().get("cache-disk", {"remedy": ""})["remedy"]
        ),
        said=told,
    )
    assert "staging" not in told(), "one cause is told once"
    assert not [alert for alert in told().values() if "Errno" in alert["cause"]]
    assert "in the cache that is missing" in station.ok("umount", top).err
    assert "in the cache that is missing" in station.ok("exit").err
