"""rsync and tar: a tree with everything in it that a tree can have, copied in and out."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random  # noqa: TID251  # seeded

from lab.errors import LabError
from lab.tree import differences, tree
from lab.two_nodes import TwoNodes

PACKAGES = ("rsync", "tar")

_FOLDER = "copies"
_FILES = 2000


def run_trial(nodes: TwoNodes, extent: float) -> str:
    """See the module."""
    source = nodes.local / "source"
    _plant(source, max(100, round(_FILES * extent)))
    top = nodes.here / _FOLDER
    top.mkdir()
    rsync = ("rsync", "-aHX", "--delete", "--itemize-changes")
    nodes.run(*rsync, f"{source}/", top / "rsync")
    for again in ((), ("--checksum",)):
        if said := nodes.run(*rsync, *again, f"{source}/", top / "rsync"):
            raise LabError(f"rsync {' '.join(again)} had something to do again: {said[:300]}")
    _same(source, top / "rsync")

    # Into an archive on the mount, out of it on the mount, and from there back.
    packed = top / "source.tar"
    nodes.run("tar", "--xattrs", "--sparse", "-C", source, "-cf", packed, ".")
    (top / "tar").mkdir()
    nodes.run("tar", "--xattrs", "-C", top / "tar", "-xpf", packed)
    _same(source, top / "tar")
    back = nodes.local / "back"
    nodes.run(*rsync, f"{top / 'tar'}/", back)
    _same(source, back)
    nodes.run("tar", "-C", top / "tar", "--compare", "-f", packed)
    names = nodes.check(_FOLDER)
    if said := nodes.run(
        *rsync, "--dry-run", "--checksum", f"{source}/", nodes.there / _FOLDER / "rsync"
    ):
        raise LabError(f"rsync to the other node had something to do: {said[:300]}")
    nodes.run(
        "tar",
        "-C",
        nodes.there / _FOLDER / "tar",
        "--compare",
        "-f",
        nodes.there / _FOLDER / "source.tar",
    )
    return f"rsync -aHX three times, tar in and out; {names} names"


def _same(one: Path, other: Path) -> None:
    if wrong := differences(tree(one), tree(other)):
        raise LabError(f"{other} is not {one}: " + "; ".join(wrong))


def _plant(root: Path, count: int) -> None:
    """Make a tree of *count* files and some of everything else."""
    random = Random(2)
    root.mkdir()
    for number in range(count):
        folder = root / f"day {number % 13}" / "ünïcode" / f"card{number % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"clip-{number}.mov"
        path.write_bytes(random.randbytes(random.choice((0, 1, 700, 6_000, 70_000))))
        path.chmod(random.choice((0o644, 0o600, 0o755, 0o444, 0o4755)))
        os.chown(path, random.choice((0, 1000)), random.choice((0, 1000)))
        os.utime(path, ns=(0, random.randrange(10**18, 1_700_000_000_000_000_000)))
        if number % 10 == 0:
            os.setxattr(path, "user.scene", random.randbytes(random.randrange(1, 200)))
            os.link(path, folder / f"linked-{number}.mov")
            (folder / f"symlink-{number}").symlink_to(path.name)
    (root / "empty").mkdir()
    (root / "dangling").symlink_to("nowhere/at all")
    (root / ("n" * 255)).write_bytes(b"a long name")
    (root / "large").write_bytes(random.randbytes(30_000_000))
    with (root / "sparse").open("wb") as file:
        file.seek(50_000_000)
        file.write(b"end")
    for number, folder in enumerate(sorted(root.glob("*/*"), reverse=True)):
        os.utime(folder, (0, 1_500_000_000 + number))
