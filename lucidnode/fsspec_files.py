"""An fsspec file system over mounted projects: `lucidnode://PROJECT/PATH` (docs/pipelines.md).

fsspec finds it by the entry point of this package; it comes with `pip install 'lucidnode[fsspec]'`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from fsspec.spec import AbstractFileSystem

from lucidnode import api


class LucidnodeFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The projects that are mounted on this workstation, as folders of one root.

    *home* is what `lucidnode --home` names. Raises OSError for files, and what `lucidnode.api`
    raises for projects. Nothing is remembered: listings are those of the moment.
    """

    protocol = "lucidnode"
    root_marker = ""
    cachable = False

    def __init__(self, home: str | None = None, **storage_options: Any) -> None:
        super().__init__(use_listings_cache=False, **storage_options)
        self._home = None if home is None else Path(home)

    # -- questions ---------------------------------------------------------------------------

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Return what is in the directory *path*, or the file itself."""
        path = self._strip_protocol(path)
        if not path:
            found = [self._info(each.name, each.mountpoint) for each in api.projects(self._home)]
        elif (here := self._here(path)).is_dir():
            found = [self._info(f"{path}/{below.name}", below) for below in sorted(here.iterdir())]
        else:
            found = [self._info(path, here)]
        return found if detail else [each["name"] for each in found]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return name, type, size and mtime of *path*, and of files the `state`."""
        path = self._strip_protocol(path)
        if not path:
            return {"name": "", "type": "directory", "size": 0}
        here = self._here(path)
        found = self._info(path, here)
        if found["type"] == "file":
            found["state"] = api.state_of(here)
        return found

    def modified(self, path: str) -> datetime:
        """Return when *path* was changed last."""
        return datetime.fromtimestamp(self.info(path)["mtime"], UTC)

    def events(
        self, path: str, since: int | None = None, *, follow: bool = True
    ) -> Iterator[api.ProjectEvent | api.MissedEvents]:
        """Yield what happens in the project, or below the directory, *path*: as `MountedProject.events`."""
        project, below = self._parted(self._strip_protocol(path))
        for event in project.events(since, follow=follow):
            if (
                not below
                or isinstance(event, api.MissedEvents)
                or any(
                    each == below or each.startswith(f"{below}/")
                    for each in (event.path, event.old_path or "")
                )
            ):
                yield event

    def wait(self, path: str, timeout_s: float | None = None) -> None:
        """Return once *path*, and all below it, is in the cloud: as `MountedProject.wait`."""
        project, below = self._parted(self._strip_protocol(path))
        project.wait(below, timeout_s=timeout_s)

    # -- changes -----------------------------------------------------------------------------

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        return self._here(path).open(mode)

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Make the directory *path*, and those above it if *create_parents*."""
        self._here(self._strip_protocol(path)).mkdir(parents=create_parents)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make the directory *path* and those above it."""
        self._here(self._strip_protocol(path)).mkdir(parents=True, exist_ok=exist_ok)

    def rmdir(self, path: str) -> None:
        """Remove the empty directory *path*."""
        self._here(self._strip_protocol(path)).rmdir()

    def rm_file(self, path: str) -> None:
        """Remove the file, or the empty directory, *path*: `rm` of a tree asks so for each."""
        here = self._here(self._strip_protocol(path))
        if here.is_dir() and not here.is_symlink():
            here.rmdir()
        else:
            here.unlink()

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy a file; within a project that shares its blocks where the mount can do so."""
        there = self._here(self._strip_protocol(path2))
        here = self._here(self._strip_protocol(path1))
        if here.is_dir():
            there.mkdir(parents=True, exist_ok=True)
        else:
            shutil.copyfile(here, there)

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        """Move a file or directory, in one step within a project."""
        shutil.move(
            self._here(self._strip_protocol(path1)), self._here(self._strip_protocol(path2))
        )

    # -- inside ------------------------------------------------------------------------------

    def _parted(self, path: str) -> tuple[api.MountedProject, str]:
        name, _, below = path.partition("/")
        return api.project(name, self._home), below

    def _here(self, path: str) -> Path:
        project, below = self._parted(path)
        return project.path(below)

    def _info(self, name: str, here: Path) -> dict[str, Any]:
        found = here.stat(follow_symlinks=True) if here.exists() else here.lstat()
        kind = (
            "directory" if S_ISDIR(found.st_mode) else "file" if S_ISREG(found.st_mode) else "other"
        )
        size = found.st_size if kind == "file" else 0
        return {"name": name, "type": kind, "size": size, "mtime": found.st_mtime}
