"""What is brought into a project that is not mounted here, and what is made like a directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from cli_fixture import LUCIDNODE, until, workstation

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(300)]


def seen(root: Path) -> dict[str, tuple[int, int, bytes | str]]:
    """Return mode, time and content of all that is below *root*."""
    found: dict[str, tuple[int, int, bytes | str]] = {}
    for path in sorted(root.rglob("*")):
        told = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else b""
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
        found[str(path.relative_to(root))] = told.st_mode, told.st_mtime_ns, content
    return found


def _whole(temporary: Path, size: int) -> int:
    frames = temporary.glob("*/project/in/reel/frame *")
    return sum(frame.stat().st_size == size for frame in frames)


def test_a_killed_import_without_a_mount_goes_on_and_a_sync_makes_the_project_like_the_directory(
    tmp_path: Path,
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    (source / "reel").mkdir(parents=True)
    for number in range(40):
        (source / "reel" / f"frame {number}").write_bytes(os.urandom(500_000))
        os.utime(source / "reel" / f"frame {number}", ns=(number, number))
    (source / "link").symlink_to("reel")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with workstation(tmp_path / "a", {"TMPDIR": str(temporary)}) as station:
        station.unlocked("init", f"file://{station.folder}/bucket")
        station.unlocked("project", "create", "demo")
        killed = subprocess.Popen(
            [LUCIDNODE, "import", source, "demo:in", "--passphrase-file", station.words],
            env=station.environment,
            stderr=subprocess.DEVNULL,
        )
        # Some of them whole, and not only begun: as many are under way at once as it likes.
        until(lambda: _whole(temporary, 500_000) > 2, 60)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        [left] = temporary.iterdir()

        # The mount of the killed command is there still: the next goes on in it, and takes it away.
        told = json.loads(station.unlocked("import", source, "demo:in", "--json").out)
        assert told["files"] + told["unchanged"] == 41
        assert told["unchanged"] > 0
        assert told["left_out"] == []
        assert not left.exists()
        assert station.status()["mounts"] == []

        (source / "reel" / "frame 1").write_bytes(b"another")
        (source / "reel" / "frame 2").unlink()
        (source / "reel" / "frame 3").chmod(0o600)
        (source / "link").unlink()
        (source / "link").symlink_to("elsewhere")
        told = json.loads(station.unlocked("sync", source, "demo:in", "--delete", "--json").out)
        assert (told["files"], told["unchanged"], told["removed"]) == (2, 38, 1)
        assert not list(temporary.iterdir())
        station.unlocked("export", "demo:in", out)
        assert seen(out) == seen(source)

        # Where the project is mounted, that mount is used and stays; what was replaced comes back.
        drive = station.folder / "drive"
        station.unlocked("mount", "demo", drive)
        told = json.loads(station.ok("sync", source, "demo:in", "--json").out)
        assert (told["files"], told["unchanged"]) == (0, 40)
        assert seen(drive / "in") == seen(source)
        station.unlocked("undelete", drive / "in" / "reel" / "frame 2")
        assert len((drive / "in" / "reel" / "frame 2").read_bytes()) == 500_000
