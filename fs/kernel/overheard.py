"""What a tool that shares our standard error says there."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

_MAX_BYTES = 64 * 1024


class Overheard:
    """Keeps what is written to descriptor 2 while it lasts, and passes it on in the end.

    libfuse starts fusermount3 itself, and gives us only that it failed.
    """

    def __enter__(self) -> Self:
        self._kept = os.memfd_create("overheard", os.MFD_CLOEXEC)
        self._real = os.dup(2)
        os.dup2(self._kept, 2)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.dup2(self._real, 2)
        os.close(self._real)
        said = os.pread(self._kept, _MAX_BYTES, 0)
        os.close(self._kept)
        self._lines = said.decode(errors="replace").splitlines()
        while said:
            said = said[os.write(2, said) :]

    def said_by(self, tool: str) -> str:
        """Return the last line that *tool* began with its name, or an empty string."""
        mark = f"{tool}: "
        return next((one.removeprefix(mark) for one in self._lines[::-1] if mark in one[:80]), "")
