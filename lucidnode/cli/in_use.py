"""Who uses a mount: what a person needs to read when it cannot be unmounted."""

from __future__ import annotations

from pathlib import Path

from lucidnode.node.client.mountinfo import mounts

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


def holders_of(device: str) -> list[str]:
    """Return processes in whose mount namespaces the file system *device* still is, first ones only.

    Unmounted here, it stays mounted in every namespace that was copied meanwhile: a container, a
    service with a private `/tmp`, `unshare -m`. *device* is as mountinfo has it.
    """
    found: list[str] = []
    looked_at: set[str] = set()
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            namespace = str((process / "ns/mnt").readlink())
            if namespace in looked_at:
                continue
            looked_at.add(namespace)
        except OSError:
            pass  # somebody else's process: its mountinfo may be read all the same
        try:
            known = mounts((process / "mountinfo").read_bytes())
        except OSError:
            continue
        if any(mount.device == device for mount in known):
            found.append(f"{_name(process)} (process {process.name})")
        if len(found) == _NAMED:
            break
    return found


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
