"""The files of a project for programs in Python, mounted on this workstation or not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Literal, Self, TypeVar, overload

from lucidnode import where_projects_are
from lucidnode.file_streams import BUFFER_BYTES, ReadStream, TextStream, WriteStream
from lucidnode.files_door import FileInfo, FilesDoor, waited_until_there
from lucidnode.fs.errors import Invalid
from lucidnode.fs.programs.requests import How
from lucidnode.in_the_cloud import State
from lucidnode.mount_door import MountDoor
from lucidnode.node.client.event_stream import MissedEvents
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.mount_messages import ProjectEvent
from lucidnode.program_socket import DoorGone
from lucidnode.socket_door import SocketDoor
from lucidnode.told_events import conflicts_of, events_of

T = TypeVar("T")

ProjectPath = str | PurePosixPath
"""A path from the root of a project; the root itself is the empty one."""

_HOWS: dict[str, How] = {"w": "replace", "x": "new", "a": "append"}

_AT_ONCE = 4
"""Files that `put` and `get` copy together: small ones wait for the disk one after the other."""

_TRIES = 5
"""Times that a project is looked for anew which was closed, or mounted elsewhere, just then."""

OpenMode = Literal["r", "rt", "w", "wt", "x", "xt", "a", "at"]
OpenBinaryMode = Literal["rb", "wb", "xb", "ab"]


class ConnectedProject:
    """A project, mounted here or not. Get it from `lucidnode.api.connect`; any thread may use it.

    Everything blocks. What is changed is as safe as a `close` in the mount is; without a mount it is in
    the cloud when the call returns. What goes wrong is an OSError as a mount would give it, or what
    `connect` raises, where the project has to be opened anew.
    """

    def __init__(self, name: str, home: Path, passphrase_file: Path | None) -> None:
        self.home = home
        self._passphrase_file = passphrase_file
        self._lock = threading.Lock()
        there = where_projects_are.opened(name, home, passphrase_file)
        self.name: str = there.name
        self.id: ProjectId = there.id
        self._door: FilesDoor | None = None
        with self._lock:
            self._current()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the project. One that is open for programs alone is closed a minute later."""
        with self._lock:
            door, self._door = self._door, None
        if door is not None:
            door.close()

    # -- questions ---------------------------------------------------------------------------

    def info(self, path: ProjectPath) -> FileInfo:
        """Return what is at *path*; a symbolic link stands for what it leads to. Raises FileNotFoundError."""
        below = inside(path)
        return self._done(lambda door: door.look(below))

    def exists(self, path: ProjectPath) -> bool:
        """Tell whether there is anything at *path*."""
        try:
            self.info(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def list(self, path: ProjectPath = "") -> list[FileInfo]:
        """Return what is in the directory *path*, in order of its names. Raises FileNotFoundError, NotADirectoryError."""
        below = inside(path)
        return self._done(lambda door: [*door.names(below)])

    def state(self, path: ProjectPath) -> State:
        """Return how far a file is. Raises FileNotFoundError."""
        return self.info(path).state

    def wait(self, *paths: ProjectPath, timeout_s: float | None = None) -> None:
        """Return once *paths*, and all that is below them now, are in the cloud.

        Raises StillOnTheirWay after *timeout_s*, and FileNotFoundError.
        """
        below = [inside(path) for path in paths]
        self._done(lambda door: waited_until_there(door, below, timeout_s))

    def conflicts(self) -> Iterable[str]:
        """Return the conflict copies there are, from the root of the project. Raises a NodeError."""
        return conflicts_of(self.home, self.id)

    def events(
        self, since: int | None = None, *, follow: bool = True
    ) -> Generator[ProjectEvent | MissedEvents, None, None]:
        """Yield what happens after journal entry *since*, or from now on; for ever if *follow*.

        Raises a NodeError if nobody has the project open here for a minute.
        """
        with self._lock:
            self._current()
        yield from events_of(self.home, self.id, since, follow=follow)

    # -- contents ----------------------------------------------------------------------------

    @overload
    def open(
        self,
        path: ProjectPath,
        mode: OpenMode = "r",
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        parents: bool = False,
    ) -> TextStream: ...

    @overload
    def open(
        self,
        path: ProjectPath,
        mode: Literal["rb"],
        *,
        parents: bool = False,
    ) -> ReadStream: ...

    @overload
    def open(
        self,
        path: ProjectPath,
        mode: Literal["wb", "xb", "ab"],
        *,
        parents: bool = False,
    ) -> WriteStream: ...

    def open(
        self,
        path: ProjectPath,
        mode: OpenMode | OpenBinaryMode = "r",
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        parents: bool = False,
    ) -> ReadStream | WriteStream | TextStream:
        """Open the file *path*, as Python's own `open`; with *parents*, directories above it are made.

        What is written is the file's content once it is closed, in one step; what is appended arrives as it
        is written. There is no mode `+`: a file is read, or written as a whole.
        """
        action, kind = mode[:1], mode[1:]
        if action not in {"r", *_HOWS} or kind not in {"", "t", "b"}:
            raise ValueError(
                f"a file of a project is opened with r, w, x or a, and b or t, not with {mode!r}"
            )
        binary = self.reading(path) if action == "r" else self.writing(path, mode, parents=parents)
        if kind == "b":
            return binary
        return TextStream(binary, encoding, errors, newline)

    def reading(self, path: ProjectPath) -> ReadStream:
        """Open the file *path* for reading. Raises OSError."""
        below = inside(path)
        return ReadStream(self._done(lambda door: door.reading(below)))

    def writing(
        self,
        path: ProjectPath,
        mode: str = "w",
        *,
        parents: bool = False,
        soon: bool = False,
        held: bool = False,
    ) -> WriteStream:
        """Open the file *path* for writing, as *mode* says. With *soon*, `settle` waits for the cloud. Raises OSError.

        *held* is as `WriteStream` has it.
        """
        below, how = inside(path), _HOWS[mode[:1]]
        sink = self._done(lambda door: door.writing(below, how, parents=parents))
        return WriteStream(sink, soon=soon, held=held)

    def put(self, here: str | Path, path: ProjectPath) -> None:
        """Copy the file, or the directory with all below it, *here* on this workstation to *path*. Raises OSError."""
        source, below = Path(here), inside(path)
        if not source.is_dir():
            self._put_file(source, below, soon=False)
            return
        self.make_directory(below, parents=True, exist_ok=True)
        with ThreadPoolExecutor(_AT_ONCE, "put") as pool:
            tasks = []
            for each in sorted(source.rglob("*")):
                there = str(PurePosixPath(below, each.relative_to(source)))
                if each.is_dir():
                    self.make_directory(there, exist_ok=True, soon=True)
                else:
                    tasks.append(pool.submit(self._put_file, each, there, soon=True))
            for task in tasks:
                task.result()
        self.settle()

    def get(self, path: ProjectPath, here: str | Path) -> None:
        """Copy the file, or the directory with all below it, *path* to *here* on this workstation. Raises OSError."""
        target, below = Path(here), inside(path)
        if self.info(below).kind != "directory":
            self._get_file(below, target)
            return
        with ThreadPoolExecutor(_AT_ONCE, "get") as pool:
            tasks = []
            waiting = [(below, target)]
            while waiting:
                folder, there = waiting.pop()
                there.mkdir(parents=True, exist_ok=True)
                for each in self.list(folder):
                    if each.kind == "directory":
                        waiting.append((each.path, there / each.name))
                    else:
                        tasks.append(pool.submit(self._get_file, each.path, there / each.name))
            for task in tasks:
                task.result()

    # -- names -------------------------------------------------------------------------------

    def make_directory(
        self,
        path: ProjectPath,
        *,
        parents: bool = False,
        exist_ok: bool = False,
        soon: bool = False,
    ) -> None:
        """Make the directory *path*. Raises FileExistsError, FileNotFoundError."""
        below = inside(path)
        self._done(
            lambda door: door.make_directory(below, parents=parents, exist_ok=exist_ok, soon=soon)
        )

    def remove(self, path: ProjectPath, *, recursive: bool = False) -> None:
        """Remove the file, or the empty directory, *path*; with *recursive* all below it first. Raises OSError."""
        below = inside(path)
        if not recursive:
            directory = self._is_directory(below)
            self._done(lambda door: door.remove(below, directory=directory))
            return
        self._remove_below(below)
        self.settle()

    def move(self, path: ProjectPath, target: ProjectPath) -> None:
        """Give *path* the name *target*, in one step; a file there is replaced. Raises OSError."""
        below, there = inside(path), inside(target)
        self._done(lambda door: door.move(below, there))

    def copy(self, path: ProjectPath, target: ProjectPath, *, parents: bool = False) -> None:
        """Give the file *target* the content of *path*: blocks are shared, and no byte is moved. Raises OSError."""
        below, there = inside(path), inside(target)
        self._done(lambda door: door.copy(below, there, parents=parents))

    def settle(self) -> None:
        """Return once all that was changed here is acknowledged; without a mount, in the cloud."""
        self._done(lambda door: door.settle())

    # ----------------------------------------------------------------------------------------

    def _put_file(self, source: Path, path: str, *, soon: bool) -> None:
        with source.open("rb") as taken, self.writing(path, parents=True, soon=soon) as given:
            while piece := taken.read(BUFFER_BYTES):
                given.write(piece)

    def _get_file(self, path: str, target: Path) -> None:
        part = target.with_name(f".{target.name}.part")
        try:
            with self.reading(path) as taken, part.open("wb") as given:
                while piece := taken.read(BUFFER_BYTES):
                    given.write(piece)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _remove_below(self, path: str) -> None:
        if self._is_directory(path):
            for each in self.list(path):
                self._remove_below(each.path)
            self._done(lambda door: door.remove(path, directory=True, soon=True))
        else:
            self._done(lambda door: door.remove(path, directory=False, soon=True))

    def _is_directory(self, path: str) -> bool:
        return self._done(lambda door: door.look(path, follow=False)).kind == "directory"

    def _done(self, work: Callable[[FilesDoor], T]) -> T:
        """Do *work* where the project is now; it may have been mounted, or unmounted, since."""
        for _ in range(_TRIES):
            with self._lock:
                door = self._current()
            try:
                return work(door)
            except DoorGone:
                with self._lock:
                    if self._door is door:
                        self._door = None
                door.close()
        raise DoorGone(f"{self.name} is opened and closed all the time")

    def _current(self) -> FilesDoor:
        for _ in range(_TRIES):
            if self._door is not None:
                return self._door
            there = where_projects_are.opened(self.name, self.home, self._passphrase_file)
            try:
                self._door = MountDoor(there.where) if there.is_mounted else SocketDoor(there.where)
            except DoorGone:
                continue
        if self._door is None:
            raise DoorGone(f"{self.name} is opened and closed all the time")
        return self._door


def inside(path: ProjectPath) -> str:
    """Return *path*, from the root of a project, in its one form. Raises Invalid for one that leads out of it."""
    parts = PurePosixPath(path).parts
    if ".." in parts or parts[:1] == ("/",):
        raise Invalid(f"{path} is no path from the root of a project")
    return "/".join(parts)
