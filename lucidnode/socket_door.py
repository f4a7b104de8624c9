"""A project that is open without a mount, by its socket: fs/programs/requests.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lucidnode.files_door import FileInfo, ReadSource, WriteSink, below_path
from lucidnode.fs.programs.requests import (
    MAX_PIECE_BYTES,
    CopyFile,
    Done,
    FilePiece,
    FinishPut,
    How,
    ListNames,
    LookAt,
    MakeDirectory,
    MoveName,
    NamesPage,
    OpenToRead,
    OpenToWrite,
    ReadPiece,
    RemoveName,
    SettleWork,
    ShownFile,
    Stay,
    WritePiece,
)
from lucidnode.in_the_cloud import State
from lucidnode.program_socket import ProgramSocket, ProgramSockets


class SocketDoor:
    """A project that is open without a mount. What it acknowledges is in the cloud."""

    def __init__(self, path: Path) -> None:
        """Go by the socket *path*, and have the project stay open. Raises DoorGone if nobody listens."""
        self._sockets = ProgramSockets(path)
        self._stays = ProgramSocket(path)
        try:
            self._stays.ask(Stay(), Done)
        except BaseException:
            self._stays.close()
            raise

    def look(self, path: str, *, follow: bool = True) -> FileInfo:
        with self._sockets.one() as socket:
            return _info(path, socket.ask(LookAt(os.fsencode(path), follow), ShownFile, path))

    def names(self, path: str) -> Iterator[FileInfo]:
        after, more = b"", True
        while more:
            with self._sockets.one() as socket:
                page = socket.ask(ListNames(os.fsencode(path), after), NamesPage, path)
            for shown in page.names:
                yield _info(below_path(path, os.fsdecode(shown.name)), shown)
            more = page.more
            after = page.names[-1].name if page.names else after

    def reading(self, path: str) -> ReadSource:
        socket = self._sockets.taken()
        try:
            shown = socket.ask(OpenToRead(os.fsencode(path)), ShownFile, path)
        except BaseException:
            socket.close()
            raise
        return _SocketSource(socket, _info(path, shown))

    def writing(self, path: str, how: How, *, parents: bool) -> WriteSink:
        socket = self._sockets.taken()
        try:
            mode = 0o666 & ~_umask()
            socket.ask(OpenToWrite(os.fsencode(path), how, mode, parents), Done, path)
        except BaseException:
            socket.close()
            raise
        return _SocketSink(socket, path)

    def make_directory(
        self, path: str, *, parents: bool, exist_ok: bool, soon: bool = False
    ) -> None:
        mode = 0o777 & ~_umask()
        self._do(MakeDirectory(os.fsencode(path), mode, parents, exist_ok), path, soon=soon)

    def remove(self, path: str, *, directory: bool, soon: bool = False) -> None:
        self._do(RemoveName(os.fsencode(path), directory), path, soon=soon)

    def move(self, path: str, target: str, *, soon: bool = False) -> None:
        self._do(MoveName(os.fsencode(path), os.fsencode(target)), path, soon=soon)

    def copy(self, path: str, target: str, *, parents: bool, soon: bool = False) -> None:
        mode = 0o666 & ~_umask()
        question = CopyFile(os.fsencode(path), os.fsencode(target), mode, parents)
        self._do(question, path, soon=soon)

    def settle(self) -> None:
        with self._sockets.one() as socket:
            socket.ask(SettleWork(), Done)

    def close(self) -> None:
        self._sockets.close()
        self._stays.close()

    def _do(
        self, question: MakeDirectory | RemoveName | MoveName | CopyFile, path: str, *, soon: bool
    ) -> None:
        with self._sockets.one() as socket:
            done = socket.ask(question, Done, path)
            if not soon:
                socket.ask(SettleWork(done.ino), Done, path)


class _SocketSource:
    def __init__(self, socket: ProgramSocket, info: FileInfo) -> None:
        self._socket = socket
        self.info = info

    def read_at(self, offset: int, length: int) -> bytes:
        question = ReadPiece(offset, min(length, MAX_PIECE_BYTES))
        return self._socket.ask_open(question, FilePiece, self.info.path).data

    def close(self) -> None:
        self._socket.close()


class _SocketSink:
    def __init__(self, socket: ProgramSocket, path: str) -> None:
        self._socket = socket
        self._path = path

    def write(self, data: memoryview) -> None:
        for start in range(0, len(data), MAX_PIECE_BYTES):
            piece = bytes(data[start : start + MAX_PIECE_BYTES])
            self._socket.ask_open(WritePiece(piece), Done, self._path)

    def finish(self, *, soon: bool) -> None:
        try:
            done = self._socket.ask_open(FinishPut(), Done, self._path)
            if not soon:
                self._socket.ask_open(SettleWork(done.ino), Done, self._path)
        finally:
            self._socket.close()

    def discard(self) -> None:
        self._socket.close()


def _umask() -> int:
    """Return the bits that this process gives no new file, without changing them for other threads."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022


def _info(path: str, shown: ShownFile) -> FileInfo:
    state: State = "cloud"
    if shown.state in {"writing", "uploading"}:
        state = "writing" if shown.state == "writing" else "uploading"
    return FileInfo(path, shown.kind, shown.size, shown.mode, shown.mtime_ns, state)
