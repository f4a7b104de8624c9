"""Python's file objects over a file of a project: buffered, and text over that."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import TracebackType
from typing import Any

from lucidnode.files_door import FileInfo, ReadSource, WriteSink

BUFFER_BYTES = 1024 * 1024


class _RawReader(io.RawIOBase):
    def __init__(self, source: ReadSource) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        got = self._source.read_at(self._at, len(view))
        view[: len(got)] = got
        self._at += len(got)
        return len(got)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {
            io.SEEK_SET: 0,
            io.SEEK_CUR: self._at,
            io.SEEK_END: self._source.info.size,
        }[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._source.close()


class ReadStream(io.BufferedReader):
    """A file that is open for reading. *info* is what it was when it was opened."""

    def __init__(self, source: ReadSource) -> None:
        super().__init__(_RawReader(source), BUFFER_BYTES)
        self.info: FileInfo = source.info


class _RawWriter(io.RawIOBase):
    def __init__(self, sink: WriteSink) -> None:
        self.sink = sink
        self.publishes: bool | None = True
        """Whether the end is that of a whole content; None leaves it to `WriteStream.commit`."""
        self.soon = False
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self.sink.write(view)
        self._at += len(view)
        return len(view)

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        if not self.closed:
            super().close()
            if self.publishes:
                self.sink.finish(soon=self.soon)
            elif self.publishes is not None:
                self.sink.discard()


class WriteStream(io.BufferedWriter):
    """A content that is being written. `close` makes it that of the file, in one step.

    `discard` leaves the file as it was; so does an exception that leaves its `with`, and a stream that
    nobody closes. With *held*, what was closed waits for `commit` or `discard`.
    """

    def __init__(self, sink: WriteSink, *, soon: bool = False, held: bool = False) -> None:
        self._raw = _RawWriter(sink)
        self._raw.soon = soon
        self._held = held
        if held:
            self._raw.publishes = None
        super().__init__(self._raw, BUFFER_BYTES)

    def close(self) -> None:
        """Have what was written be the content of the file. Raises OSError."""
        if not self.closed:
            try:
                self.flush()
            except BaseException:
                self.discard()
                raise
        super().close()

    def commit(self) -> None:
        """Have a content that was *held*, and is closed, be that of the file. Raises OSError."""
        if self._held:
            self._held = False
            self._raw.sink.finish(soon=self._raw.soon)

    def discard(self) -> None:
        """Leave the file as it was."""
        if not self.closed:
            self._raw.publishes = False
            self._raw.close()
        elif self._held:
            self._raw.sink.discard()
        self._held = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.discard()
        else:
            self.close()

    def __del__(self) -> None:
        self.discard()


class TextStream(io.TextIOWrapper):
    """Text over one of the others; what is written counts as it does there."""

    def __init__(
        self,
        binary: ReadStream | WriteStream,
        encoding: str | None,
        errors: str | None,
        newline: str | None,
    ) -> None:
        super().__init__(binary, encoding or "utf-8", errors, newline)
        self._discard: Callable[[], None] | None = (
            binary.discard if isinstance(binary, WriteStream) else None
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and self._discard is not None:
            self._discard()
        else:
            self.close()

    def __del__(self) -> None:
        if self._discard is not None:
            self._discard()
