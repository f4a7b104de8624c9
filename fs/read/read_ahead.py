"""What a reader will want next, learnt from what it asked for. Pure.

Two habits are known: one through a file (`Pattern`: forwards, backwards, or in even strides) and
one from file to file (`Sequences`: the numbered frames of an image sequence). Both start small and
double while they are right, so a reader that stops early wastes little.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cachetools import LRUCache

MIB = 1024 * 1024

SLACK_BYTES = MIB
"""Bytes by which one request may miss the one before it and still be of one reader, who is not known yet."""

OVERTAKING = 12
"""Requests of a known reader, up to the kernel's longest, by which one of them may be early or late: the kernel
sends several at a time, and as many threads answer them in whatever order they come to it."""

MAX_REQUEST_BYTES = MIB
"""The longest that the kernel sends. What is heard of together may be longer."""

FIRST_WINDOW_BYTES = 2 * MIB
LAST_WINDOW_BYTES = 64 * MIB
"""At 10 Gbit/s some 50 ms of reading; at 100 Mbit/s, 5 s."""

FIRST_STRIDES = 2
MAX_STRIDES = 16

FIRST_FRAMES = 2
MAX_FRAMES = 48
"""Two seconds of film."""

MAX_FRAME_STEP = 10
MAX_KNOWN_SEQUENCES = 1024


class Range(NamedTuple):
    """Bytes [start, stop) of a file."""

    start: int
    stop: int


class Pattern:
    """The habit of one open file's reader."""

    __slots__ = (
        "_delta",
        "_direction",
        "_front",
        "_horizon",
        "_last",
        "_repeats",
        "_strides",
        "_strides_left",
        "_window",
    )

    def __init__(self) -> None:
        self._last: Range | None = None
        self._direction = 0
        """1 forwards, -1 backwards, 0 not known."""
        self._front = 0
        """The furthest byte in that direction that was requested."""
        self._horizon = 0
        """The furthest byte in that direction that was returned or requested."""
        self._window = FIRST_WINDOW_BYTES
        self._delta = 0
        self._repeats = 0
        self._strides = FIRST_STRIDES
        self._strides_left = 0
        """Strides that lie ahead and were returned already."""

    @property
    def begun(self) -> bool:
        """Whether anything was asked for."""
        return self._last is not None

    def observe(self, offset: int, length: int) -> list[Range]:
        """Note a request; return what to bring near now and was not returned before.

        Ranges may pass the end of the file; they never start before 0.
        """
        now = Range(offset, offset + length)
        last, self._last = self._last, now
        if last is None:
            return []
        if not self._goes_on(now):
            self._direction = _direction(last, now)
            self._front = self._horizon = now.stop if self._direction > 0 else now.start
            self._window = FIRST_WINDOW_BYTES
        if self._direction > 0:
            return self._forwards(now)
        if self._direction < 0:
            return self._backwards(now)
        return self._strided(last, now)

    def _goes_on(self, now: Range) -> bool:
        request = min(now.stop - now.start, MAX_REQUEST_BYTES)
        slack = max(SLACK_BYTES, OVERTAKING * request)
        if self._direction > 0:
            return abs(now.start - self._front) <= slack
        return self._direction < 0 and abs(self._front - now.stop) <= slack

    def _forwards(self, now: Range) -> list[Range]:
        self._front = max(self._front, now.stop)
        # Asked for when half of the window is left, so that requests come in batches.
        if self._horizon - self._front > self._window // 2:
            return []
        wanted = Range(max(self._horizon, self._front), self._front + self._window)
        self._horizon = wanted.stop
        self._window = min(self._window * 2, LAST_WINDOW_BYTES)
        return [wanted]

    def _backwards(self, now: Range) -> list[Range]:
        self._front = min(self._front, now.start)
        if self._front - self._horizon > self._window // 2:
            return []
        wanted = Range(max(self._front - self._window, 0), min(self._horizon, self._front))
        self._horizon = wanted.start
        self._window = min(self._window * 2, LAST_WINDOW_BYTES)
        return [wanted] if wanted.start < wanted.stop else []

    def _strided(self, last: Range, now: Range) -> list[Range]:
        delta = now.start - last.start
        if delta != self._delta:
            self._delta, self._repeats, self._strides = delta, 1, FIRST_STRIDES
            return []
        self._repeats += 1
        if self._repeats < 3:
            return []
        self._strides_left = 0 if self._repeats == 3 else max(self._strides_left - 1, 0)
        if self._strides_left > self._strides // 2:
            return []
        first, self._strides_left = self._strides_left + 1, self._strides
        self._strides = min(self._strides * 2, MAX_STRIDES)
        starts = (now.start + delta * step for step in range(first, self._strides_left + 1))
        return [Range(start, start + now.stop - now.start) for start in starts if start >= 0]


def _direction(last: Range, now: Range) -> int:
    if now.start >= last.start and now.start - last.stop <= SLACK_BYTES:
        return 1
    if now.start < last.start and last.start - now.stop <= SLACK_BYTES:
        return -1
    return 0


_FRAME = re.compile(rb"(.*?)([0-9]+)([^0-9]*)", re.DOTALL)


class _Walk:
    """Where a reader is in one numbered sequence."""

    __slots__ = ("ahead", "horizon", "last", "step")

    def __init__(self, number: int) -> None:
        self.last = number
        self.step = 0
        self.horizon = number
        self.ahead = FIRST_FRAMES


class Sequences:
    """The habits of readers that open one numbered file after the other."""

    def __init__(self) -> None:
        self._walks: LRUCache[tuple[int, bytes, int, bytes], _Walk] = LRUCache(MAX_KNOWN_SEQUENCES)

    def observe(self, parent: int, name: bytes) -> list[bytes]:
        """Note that *name* in *parent* was opened; return the names to bring near now.

        Such names need not exist. Only the last number in a name counts; 007 and 7 are different
        sequences, for software writes its frames with a fixed width.
        """
        match = _FRAME.fullmatch(name)
        if match is None or len(match[2]) > 18:
            return []
        stem, digits, rest = match.groups()
        number = int(digits)
        key = (parent, stem, len(digits), rest)
        walk = self._walks.get(key)
        if walk is None:
            walk = self._walks[key] = _Walk(number)
        return [
            stem + str(frame).zfill(len(digits)).encode() + rest
            for frame in _next_frames(walk, number)
            if 0 <= frame < 10 ** len(digits)
        ]


def _next_frames(walk: _Walk, number: int) -> range:
    step, walk.last = number - walk.last, number
    if step == 0:
        return range(0)
    if step != walk.step:
        walk.step, walk.horizon, walk.ahead = step, number, FIRST_FRAMES
        return range(0)
    left = (walk.horizon - number) // step
    if abs(step) > MAX_FRAME_STEP or left > walk.ahead // 2:
        return range(0)
    first = number + step * (max(left, 0) + 1)
    walk.horizon = number + step * walk.ahead
    walk.ahead = min(walk.ahead * 2, MAX_FRAMES)
    return range(first, walk.horizon + (1 if step > 0 else -1), step)
