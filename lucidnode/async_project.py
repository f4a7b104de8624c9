"""The same for programs that run asyncio: each call in a thread, so that the loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

from lucidnode.file_streams import ReadStream, WriteStream
from lucidnode.files_door import FileInfo
from lucidnode.in_the_cloud import State
from lucidnode.node.client.event_stream import MissedEvents
from lucidnode.node.client.mount_messages import ProjectEvent
from lucidnode.project_files import ConnectedProject, OpenBinaryMode, ProjectPath
from lucidnode.told_events import followed


class AsyncFile:
    """An open file of a project. Leaving its `async with` by an exception gives up what was written."""

    def __init__(self, stream: ReadStream | WriteStream) -> None:
        self._stream = stream

    async def read(self, size: int = -1) -> bytes:
        """Return *size* bytes, fewer at the end; all that is left for -1. Raises OSError."""
        return await asyncio.to_thread(self._stream.read, size)

    async def write(self, data: bytes | memoryview) -> None:
        """Take what comes next. Raises OSError."""
        await asyncio.to_thread(self._stream.write, data)

    async def seek(self, offset: int, whence: int = 0) -> int:
        """Read on at another place, as `io.IOBase.seek`."""
        return await asyncio.to_thread(self._stream.seek, offset, whence)

    async def close(self) -> None:
        """Close it; what was written is the file's content then. Raises OSError."""
        await asyncio.to_thread(self._stream.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._stream.__exit__, kind, error, trace)


class AsyncProject:
    """A `ConnectedProject` for asyncio: the same names, the same errors. Get it from `lucidnode.api.connect_async`."""

    def __init__(self, project: ConnectedProject) -> None:
        self.project = project
        """The same for threads."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Do as `ConnectedProject.close`."""
        await asyncio.to_thread(self.project.close)

    async def info(self, path: ProjectPath) -> FileInfo:
        """Do as `ConnectedProject.info`."""
        return await asyncio.to_thread(self.project.info, path)

    async def exists(self, path: ProjectPath) -> bool:
        """Do as `ConnectedProject.exists`."""
        return await asyncio.to_thread(self.project.exists, path)

    async def list(self, path: ProjectPath = "") -> list[FileInfo]:
        """Do as `ConnectedProject.list`."""
        return await asyncio.to_thread(self.project.list, path)

    async def state(self, path: ProjectPath) -> State:
        """Do as `ConnectedProject.state`."""
        return await asyncio.to_thread(self.project.state, path)

    async def wait(self, *paths: ProjectPath, timeout_s: float | None = None) -> None:
        """Do as `ConnectedProject.wait`."""
        await asyncio.to_thread(self.project.wait, *paths, timeout_s=timeout_s)

    async def open(
        self, path: ProjectPath, mode: OpenBinaryMode = "rb", *, parents: bool = False
    ) -> AsyncFile:
        """Open the file *path*, as `ConnectedProject.open` does. Raises OSError."""
        if mode == "rb":
            return AsyncFile(await asyncio.to_thread(self.project.reading, path))
        return AsyncFile(await asyncio.to_thread(self.project.writing, path, mode, parents=parents))

    async def put(self, here: str | Path, path: ProjectPath) -> None:
        """Do as `ConnectedProject.put`."""
        await asyncio.to_thread(self.project.put, here, path)

    async def get(self, path: ProjectPath, here: str | Path) -> None:
        """Do as `ConnectedProject.get`."""
        await asyncio.to_thread(self.project.get, path, here)

    async def make_directory(
        self, path: ProjectPath, *, parents: bool = False, exist_ok: bool = False
    ) -> None:
        """Do as `ConnectedProject.make_directory`."""
        await asyncio.to_thread(
            self.project.make_directory, path, parents=parents, exist_ok=exist_ok
        )

    async def remove(self, path: ProjectPath, *, recursive: bool = False) -> None:
        """Do as `ConnectedProject.remove`."""
        await asyncio.to_thread(self.project.remove, path, recursive=recursive)

    async def move(self, path: ProjectPath, target: ProjectPath) -> None:
        """Do as `ConnectedProject.move`."""
        await asyncio.to_thread(self.project.move, path, target)

    async def copy(self, path: ProjectPath, target: ProjectPath, *, parents: bool = False) -> None:
        """Do as `ConnectedProject.copy`."""
        await asyncio.to_thread(self.project.copy, path, target, parents=parents)

    async def events(
        self, since: int | None = None, *, follow: bool = True
    ) -> AsyncIterator[ProjectEvent | MissedEvents]:
        """Do as `ConnectedProject.events`."""
        async for event in followed(self.project.home, self.project.id, since, follow=follow):
            yield event
