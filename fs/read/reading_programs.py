"""Which program reads a file: the daemon holds back those that look into every file unasked.

Asked only when a block has to be fetched, for which some file of /proc is nothing: who reads what is
on this disk, or just opens a file, pays nothing for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from cachetools import LRUCache

from lucidnode.node.client.clock import Clock
from lucidnode.node.client.wire import MAX_PROGRAM_NAME

KNOWN_S: Final = 5.0
"""Seconds for which a process is taken for the program that it was: another may have its number, or it
may have become another."""

_MOST_PROCESSES = 256
_COMMAND_LINE_BYTES = 4096
"""Of it; the first two words are looked at."""

_RUNNERS: Final = ("python", "perl", "kioworker", "kioslave")
"""How programs are called that are known by what they run: `kioworker …/thumbnail.so`."""


@dataclass(slots=True)
class ReadingProgram:
    """A program by its *name*; *is_held* once the daemon has said so."""

    name: str
    is_held: bool = False


class ReadingPrograms:
    """Knows processes by their numbers. *command_line* returns the words of one, none if it is gone."""

    def __init__(self, clock: Clock, command_line: Callable[[int], list[bytes]]) -> None:
        self._clock = clock
        self._command_line = command_line
        self._known: LRUCache[int, tuple[ReadingProgram | None, float]] = LRUCache(_MOST_PROCESSES)

    def of(self, pid: int) -> ReadingProgram | None:
        """Return the program that the process or thread *pid* runs; None if that cannot be seen."""
        if not pid:
            return None
        now = self._clock.boot()
        program, until = self._known.get(pid, (None, 0.0))
        if until <= now:
            name = name_of(self._command_line(pid))
            program = ReadingProgram(name) if name else None
            self._known[pid] = program, now + KNOWN_S
        return program


def name_of(words: list[bytes]) -> str:
    """Return what the program is called whose command line are *words*; "" if it has none."""
    names = [PurePosixPath(word.decode(errors="replace")).name for word in words[:2]]
    if len(names) == 2 and names[0].startswith(_RUNNERS) and not names[1].startswith("-"):
        names.pop(0)
    return names[0][:MAX_PROGRAM_NAME] if names else ""


def command_line(pid: int) -> list[bytes]:
    """Return the first words of the command line of process or thread *pid*; none if it is gone.

    Everybody may read it, of threads as well, whose own names say what they do and not what runs.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return os.read(descriptor, _COMMAND_LINE_BYTES).split(b"\0")[:2]
    except OSError:
        return []
    finally:
        os.close(descriptor)
