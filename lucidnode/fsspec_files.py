"""An fsspec file system over projects, mounted here or not: `lucidnode://PROJECT/PATH` (docs/pipelines.md).

fsspec finds it by the entry point of this package; it comes with `pip install 'lucidnode[fsspec]'`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.spec import AbstractFileSystem

from lucidnode import api
from lucidnode.file_streams import BUFFER_BYTES


class LucidnodeFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The projects of this workstation, as folders of one root.

    *home* is what `lucidnode --home` names, *passphrase_file* as in `api.connect`. Raises OSError for files,
    and what `api.connect` raises for projects. Nothing is remembered: listings are those of the moment.
    The root lists the projects that are open here; any other is opened when it is named. Directories
    above a file that is written are made.
    """

    protocol = "lucidnode"
    root_marker = ""

    def __init__(
        self,
        home: str | None = None,
        passphrase_file: str | None = None,
        **storage_options: Any,
    ) -> None:
        super().__init__(use_listings_cache=False, **storage_options)
        self._home = None if home is None else Path(home)
        self._passphrase_file = passphrase_file
        self._projects: dict[str, api.ConnectedProject] = {}
        self._lock = threading.Lock()

    # -- questions ---------------------------------------------------------------------------

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Return what is in the directory *path*, or the file itself."""
        path = self._strip_protocol(path)
        if not path:
            found = [self.info(name) for name in api.open_names(self._home)]
        else:
            project, below = self._parted(path)
            here = project.info(below)
            listed = project.list(below) if here.kind == "directory" else [here]
            found = [self._info(path, below, _followed(project, each)) for each in listed]
        return found if detail else [each["name"] for each in found]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return name, type, size, mtime and `state` of *path*."""
        path = self._strip_protocol(path)
        if not path:
            return {"name": "", "type": "directory", "size": 0}
        project, below = self._parted(path)
        return self._info(path, below, project.info(below))

    def modified(self, path: str) -> datetime:
        """Return when *path* was changed last."""
        return datetime.fromtimestamp(self.info(path)["mtime"], UTC)

    def events(
        self, path: str, since: int | None = None, *, follow: bool = True
    ) -> Iterator[api.ProjectEvent | api.MissedEvents]:
        """Yield what happens in the project, or below the directory, *path*: as `ConnectedProject.events`."""
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
        """Return once *path*, and all below it, is in the cloud: as `ConnectedProject.wait`."""
        project, below = self._parted(self._strip_protocol(path))
        project.wait(below, timeout_s=timeout_s)

    # -- contents ----------------------------------------------------------------------------

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,  # noqa: ARG002  # fsspec's signature
        autocommit: bool = True,
        cache_options: Any = None,  # noqa: ARG002
        *,
        soon: bool = False,
        **_: Any,
    ) -> Any:
        project, below = self._parted(path)
        if mode == "rb":
            return project.reading(below)
        if mode not in {"wb", "xb", "ab"}:
            raise ValueError(f"a file of a project is read, or written as a whole, not {mode!r}")
        return project.writing(below, mode, parents=True, soon=soon, held=not autocommit)

    def put(self, lpath: Any, rpath: Any, *arguments: Any, **options: Any) -> None:
        """Copy files of this workstation into projects: as fsspec has it, waiting for the cloud once."""
        super().put(lpath, rpath, *arguments, soon=True, **options)
        self._settle(rpath)

    def put_file(
        self,
        lpath: str,
        rpath: str,
        callback: Any = DEFAULT_CALLBACK,
        mode: str = "overwrite",
        *,
        soon: bool = False,
        **_: Any,
    ) -> None:
        """Copy one file of this workstation into a project; a directory is made."""
        source = Path(lpath)
        if source.is_dir():
            self.makedirs(rpath, exist_ok=True)
            return
        how = "xb" if mode == "create" else "wb"
        callback.set_size(source.stat().st_size)
        with source.open("rb") as taken, self.open(rpath, how, soon=soon) as given:
            while piece := taken.read(BUFFER_BYTES):
                given.write(piece)
                callback.relative_update(len(piece))

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy a file; within a project no byte is moved."""
        project, below = self._parted(self._strip_protocol(path1))
        other, there = self._parted(self._strip_protocol(path2))
        if project.info(below).kind == "directory":
            other.make_directory(there, parents=True, exist_ok=True)
        elif project is other:
            project.copy(below, there, parents=True)
        else:
            with project.reading(below) as taken, other.writing(there, parents=True) as given:
                while piece := taken.read(BUFFER_BYTES):
                    given.write(piece)

    # -- names -------------------------------------------------------------------------------

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Make the directory *path*, and those above it if *create_parents*."""
        project, below = self._parted(self._strip_protocol(path))
        project.make_directory(below, parents=create_parents)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make the directory *path* and those above it."""
        project, below = self._parted(self._strip_protocol(path))
        if below:  # a project is there, or it is not for us to make
            project.make_directory(below, parents=True, exist_ok=exist_ok)

    def rmdir(self, path: str) -> None:
        """Remove the empty directory *path*."""
        self.rm_file(path)

    def rm_file(self, path: str) -> None:
        """Remove the file, or the empty directory, *path*: `rm` of a tree asks so for each."""
        project, below = self._parted(self._strip_protocol(path))
        project.remove(below)

    def mv(self, path1: str, path2: str, *arguments: Any, **options: Any) -> None:
        """Move a file or directory, in one step within a project."""
        project, below = self._parted(self._strip_protocol(path1))
        other, there = self._parted(self._strip_protocol(path2))
        if project is not other or arguments or options or self.isdir(path2):
            super().mv(path1, path2, *arguments, **options)
        else:
            project.move(below, there)

    # -- inside ------------------------------------------------------------------------------

    def _parted(self, path: str) -> tuple[api.ConnectedProject, str]:
        name, _, below = path.partition("/")
        with self._lock:
            project = self._projects.get(name)
            if project is None:
                project = api.connect(name, self._home, passphrase_file=self._passphrase_file)
                self._projects[name] = project
        return project, below

    def _settle(self, paths: Any) -> None:
        named = [paths] if isinstance(paths, str | Path) else paths
        for name in {self._strip_protocol(str(path)).partition("/")[0] for path in named}:
            self._parted(name)[0].settle()

    def _info(self, path: str, below: str, found: api.FileInfo) -> dict[str, Any]:
        name = path if found.path == below else f"{path.partition('/')[0]}/{found.path}"
        return {
            "name": name,
            "type": "other" if found.kind == "symlink" else found.kind,
            "size": found.size,
            "mtime": found.mtime_ns / 1e9,
            "state": found.state,
        }


def _followed(project: api.ConnectedProject, found: api.FileInfo) -> api.FileInfo:
    """Return what a symbolic link leads to, under its own name; itself if that is nothing."""
    if found.kind != "symlink":
        return found
    try:
        return project.info(found.path)
    except OSError:
        return found
