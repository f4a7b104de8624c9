"""Makes the golden project of format 1 anew: `python make_format_1.py DIRECTORY`, as root.

It was run once, with the release that first made checkpoints. What it made is kept for ever beside
this file; it is run again only if a later format needs a golden project of its own.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
from pathlib import Path

from cli_fixture import Workstation, until, workstation

ENTRIES = 1010
"""So that there is a checkpoint, at entry 1,000, and something behind it."""


def make(folder: Path) -> None:
    """Write format-1.tar.xz and format-1.json into *folder*."""
    with workstation(folder / "ada") as ada:
        bucket, sheet = ada.folder / "bucket", ada.folder / "sheet"
        ada.unlocked("init", f"file://{bucket}", "--sheet", sheet, "--name", "Ada")
        ada.unlocked("project", "create", "demo")
        drive = ada.folder / "drive"
        ada.unlocked("mount", "demo", drive, "--durability", "cloud")
        _begin(drive)
        ada.unlocked("snapshot", "create", "demo", "locked cut")
        takes = _go_on(ada, drive)
        ada.ok("wait", drive)
        until(lambda: list(bucket.glob("p/*/checkpoint/*")), 30)
        (entry,) = json.loads(ada.unlocked("snapshot", "list", "demo", "--json").out)["snapshots"]
        ada.ok("umount", drive)
        told = {"sheet": sheet.read_text(), "snapshot": entry, "takes": takes}
        (folder / "format-1.json").write_text(json.dumps(told, indent=1) + "\n")
        with tarfile.open(folder / "format-1.tar.xz", "w:xz") as packed:
            for path in sorted(bucket.rglob("*")):
                if path.is_file() and not path.is_relative_to(bucket / "rendezvous"):
                    packed.add(path, path.relative_to(bucket), filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def _begin(drive: Path) -> None:
    reel = drive / "reel"
    reel.mkdir()
    (reel / "cut.txt").write_text("first cut\n")
    (reel / "plate.bin").write_bytes(bytes(range(256)) * 800)
    (reel / "gone.txt").write_text("deleted later\n")
    os.setxattr(reel / "cut.txt", "user.scene", b"12")
    (drive / "alias").symlink_to("reel/cut.txt")
    os.link(reel / "cut.txt", drive / "same.txt")
    os.utime(reel / "cut.txt", ns=(10**18, 10**18 + 5))
    _committed(drive)


def _go_on(ada: Workstation, drive: Path) -> int:
    (drive / "reel" / "gone.txt").unlink()
    _committed(drive)
    (drive / "reel" / "cut.txt").write_text("final cut\n")
    (drive / "reel" / "cut.txt").rename(drive / "reel" / "final.txt")
    with (drive / "holes.bin").open("wb") as holes:
        holes.seek(3_000_000)
        holes.write(b"end")
    number = 0
    while ada.status()["mounts"][0]["head"] < ENTRIES:
        (drive / f"take {number:04}").mkdir()
        _committed(drive)
        number += 1
    return number


def _committed(drive: Path) -> None:
    directory = os.open(drive, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
