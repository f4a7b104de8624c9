"""A whole bucket of format 1, made once, with a checkpoint and a snapshot: every release opens it.

tests/golden has it, what is known of it, and what made it. It is kept for ever: a change that breaks this
test breaks the studios there are.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from pathlib import Path

import pytest
from cli_fixture import Workstation, workstation
from lab.places import REPOSITORY

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(300)]

GOLDEN = REPOSITORY / "tests" / "golden"
TOLD = json.loads((GOLDEN / "format-1.json").read_text())
SHA_256 = "d424fafee39841c293ad426b75399cce5d4f2a8ad95804fe7bef3df3649a5843"
PLATE = bytes(range(256)) * 800


def unpacked(folder: Path) -> str:
    """Return the URL of a copy of the golden bucket in *folder*."""
    archive = GOLDEN / "format-1.tar.xz"
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == SHA_256, "it is never made anew"
    bucket = folder / "golden"
    with tarfile.open(archive) as packed:
        packed.extractall(bucket)
    (bucket / ".lucidnode").mkdir()  # what makes a directory a store; no object
    return f"file://{bucket}"


def recovered(station: Workstation, url: str) -> None:
    code = re.search(r"^ +(\w{4}(-\w{4}){7})$", TOLD["sheet"], re.MULTILINE)
    assert code is not None
    given = station.secret_file("code", code[1] + "\n")
    sheet = station.folder / "sheet"
    station.unlocked("recover", url, "--code-file", given, "--sheet", sheet, "--name", "Ada")


def tree(drive: Path) -> dict[str, bytes | str | None]:
    """Return what is there but the thousand takes: contents, targets, None for directories."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(drive.rglob("*")):
        name = str(path.relative_to(drive))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif not name.startswith("take "):
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def test_the_golden_project_of_format_1_opens_with_its_checkpoint_and_its_snapshot(
    tmp_path: Path,
) -> None:
    with workstation(tmp_path / "a") as station:
        recovered(station, unpacked(tmp_path))
        drive, then = station.folder / "drive", station.folder / "then"
        station.unlocked("mount", "demo", drive)
        [log] = station.home.glob("projects/*/mount.log")
        assert "loaded the checkpoint at entry 1000" in log.read_text()
        assert len(list(drive.glob("take *"))) == TOLD["takes"]
        assert tree(drive) == {
            "alias": "reel/cut.txt",
            "holes.bin": bytes(3_000_000) + b"end",
            "reel": None,
            "reel/final.txt": b"final cut\n",
            "reel/plate.bin": PLATE,
            "same.txt": b"final cut\n",
        }
        final = drive / "reel" / "final.txt"
        assert final.stat().st_ino == (drive / "same.txt").stat().st_ino
        assert os.getxattr(final, "user.scene") == b"12"

        station.unlocked("mount", "demo", then, "--snapshot", TOLD["snapshot"]["name"])
        assert tree(then) == {
            "alias": "reel/cut.txt",
            "reel": None,
            "reel/cut.txt": b"first cut\n",
            "reel/gone.txt": b"deleted later\n",
            "reel/plate.bin": PLATE,
            "same.txt": b"first cut\n",
        }
        assert (then / "reel" / "cut.txt").stat().st_mtime_ns == 10**18 + 5

        # What is written from now on goes on from there.
        (drive / "reel" / "new.txt").write_text("by this release\n")
        station.ok("wait", drive)
        station.ok("umount", then)
        station.unlocked("undelete", drive / "reel" / "gone.txt")
        assert (drive / "reel" / "gone.txt").read_text() == "deleted later\n"
