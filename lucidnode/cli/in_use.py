"""Who uses a mount: what a person needs to read when it cannot be unmounted."""

from __future__ import annotations

import contextlib
from pathlib import Path

from lucidnode.node.client.mountinfo import mounts

_PROC = Path("/proc")

_NAMED = 4
"""More names do not help to find the window that is to be closed."""


def users_of(directory: Path) -> list[str]:
    """Return the processes at work below *directory*, as `ffmpeg (process 4711)`, first ones only.

    Those of other users are seen by root alone. Nothing is asked of the file system itself.
    """
    found: list[str] = []
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        if any(_is_below(link, directory) for link in _links(process)):
            found.append(f"{_name(process)} (process {process.name})")
        if len(found) == _NAMED:
            break
    return found


Place = tuple[str, Path]
"""A mount namespace, or a process whose namespace is not told, and a directory in it."""


def copies_of(device: str, proc: Path = _PROC) -> dict[Place, str]:
    """Return where the file system *device* is mounted, in any mount namespace, and a process there.

    *device* is as mountinfo has it.
    """
    found: dict[Place, str] = {}
    looked_at: set[str] = set()
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        namespace = process.name
        with contextlib.suppress(
            OSError
        ):  # somebody else's: its mountinfo may be read all the same
            namespace = str((process / "ns/mnt").readlink())
        if namespace in looked_at:
            continue
        looked_at.add(namespace)
        try:
            known = mounts((process / "mountinfo").read_bytes())
        except OSError:
            continue
        for mount in known:
            if mount.device == device:
                found[namespace, mount.directory] = f"{_name(process)} (process {process.name})"
    return found


def holders_of(before: dict[Place, str], device: str, proc: Path = _PROC) -> list[str]:
    """Return processes that still have *device* where it was *before* it was unmounted, first ones only.

    Unmounted here, it stays mounted in every namespace that was copied meanwhile: a container, a
    service with a private `/tmp`, `unshare -m`. What has the same number and was not there is another
    file system: the kernel gives numbers again as soon as they are free.
    """
    return [who for place, who in copies_of(device, proc).items() if place in before][:_NAMED]


def _links(process: Path) -> list[str]:
    """Return where *process* stands and what it has open; nothing if it ended or is not ours."""
    try:
        files = list((process / "fd").iterdir())
    except OSError:
        return []
    found = []
    for link in (process / "cwd", process / "root", *files):
        try:
            found.append(str(link.readlink()))
        except OSError:
            continue
    return found


def _is_below(link: str, directory: Path) -> bool:
    return link == str(directory) or link.startswith(f"{directory}/")


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a program"
