"""What readers are expected to want next."""

from __future__ import annotations

from itertools import pairwise
from random import Random  # noqa: TID251  # seeded

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.read.read_ahead import (
    LAST_WINDOW_BYTES,
    MAX_FRAMES,
    MIB,
    Pattern,
    Range,
    Sequences,
)

KIB = 1024
REQUEST = 128 * KIB


def test_one_request_alone_brings_nothing() -> None:
    assert Pattern().observe(0, REQUEST) == []


@given(st.integers(0, 1000), st.sampled_from([4 * KIB, REQUEST, MIB]))
def test_a_forward_reader_never_meets_what_was_not_asked_for(start: int, request: int) -> None:
    pattern = Pattern()
    ahead = start * request
    for step in range(start, start + 600):
        now = step * request
        if step > start + 1:
            assert ahead > now, step
        for span in pattern.observe(now, request):
            assert span.start >= now
            ahead = max(ahead, span.stop)


def test_a_forward_reader_is_given_each_byte_once_in_growing_batches() -> None:
    pattern = Pattern()
    asked: list[Range] = []
    for offset in range(0, 512 * MIB, REQUEST):
        asked += pattern.observe(offset, REQUEST)
    assert all(before.stop <= after.start for before, after in pairwise(asked))
    assert max(span.stop - span.start for span in asked) <= LAST_WINDOW_BYTES
    sizes = [span.stop - span.start for span in asked]
    assert sizes[3] > sizes[0]
    assert len(asked) < 40


def test_requests_that_overtake_each_other_are_still_one_reader() -> None:
    pattern = Pattern()
    asked: list[Range] = []
    for offset in range(0, 64 * MIB, 2 * REQUEST):
        asked += pattern.observe(offset + REQUEST, REQUEST)
        asked += pattern.observe(offset, REQUEST)
    assert asked[-1].stop >= 64 * MIB


@pytest.mark.parametrize("request_bytes", [REQUEST, MIB])
def test_a_reader_whose_requests_are_heard_of_in_any_order_is_given_each_byte_once(
    request_bytes: int,
) -> None:
    pattern = Pattern()
    chance = Random(4711)  # seeded
    places = range(0, 256 * request_bytes, request_bytes)
    # As many at a time as there are threads, each answered whenever its thread comes to it.
    heard = [
        offset
        for first in range(0, 256, 8)
        for offset in chance.sample(places[first : first + 8], 8)
    ]
    asked = [
        span
        for offset in [0, request_bytes, *heard]
        for span in pattern.observe(offset, request_bytes)
    ]
    assert all(before.stop <= after.start for before, after in pairwise(asked))
    assert asked[-1].stop >= 256 * request_bytes


def test_a_backward_reader_is_preceded() -> None:
    pattern = Pattern()
    asked: list[Range] = []
    for offset in range(256 * MIB, 128 * MIB, -REQUEST):
        asked += pattern.observe(offset, REQUEST)
    assert asked
    assert all(before.start >= after.stop for before, after in pairwise(asked))
    assert asked[-1].start < 128 * MIB


def test_a_backward_reader_stops_at_the_start_of_the_file() -> None:
    pattern = Pattern()
    for offset in range(3 * MIB, -1, -REQUEST):
        for span in pattern.observe(offset, REQUEST):
            assert 0 <= span.start < span.stop


def test_even_strides_are_continued() -> None:
    pattern = Pattern()
    stride = 10 * MIB
    asked: set[Range] = set()
    met = 0
    for step in range(60):
        now = Range(step * stride, step * stride + REQUEST)
        met += now in asked
        found = pattern.observe(now.start, REQUEST)
        assert asked.isdisjoint(found)
        asked.update(found)
    assert met >= 55


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=50, unique=True))
def test_a_random_reader_costs_little(offsets: list[int]) -> None:
    pattern = Pattern()
    brought = 0
    for offset in offsets:
        for span in pattern.observe(offset, 4 * KIB):
            assert span.start >= 0
            brought += span.stop - span.start
    assert brought <= len(offsets) * LAST_WINDOW_BYTES


def frames(numbers: range) -> list[bytes]:
    return [b"shot_%04d.exr" % number for number in numbers]


def test_frames_in_order_bring_the_next_frames_once_each() -> None:
    sequences = Sequences()
    asked: list[bytes] = []
    for number, name in enumerate(frames(range(1, 200)), 1):
        if number > 3:
            assert name in asked
        asked += sequences.observe(1, name)
    assert len(asked) == len(set(asked))
    assert len(asked) <= 200 + MAX_FRAMES


def test_frames_may_be_played_backwards_or_skipped() -> None:
    for steps in (range(900, 100, -1), range(100, 900, 2)):
        sequences = Sequences()
        asked: set[bytes] = set()
        met = 0
        for name in frames(steps):
            met += name in asked
            asked.update(sequences.observe(1, name))
        assert met >= len(steps) - 3


def test_a_frame_number_keeps_its_width() -> None:
    sequences = Sequences()
    asked = [name for frame in frames(range(9990, 10000)) for name in sequences.observe(1, frame)]
    assert asked
    assert all(len(name) == len(b"shot_0001.exr") for name in asked)


def test_names_without_numbers_and_repeated_names_bring_nothing() -> None:
    sequences = Sequences()
    for name in [b"edit.prproj", b"edit.prproj", b"", b"\xff\xfe", b"a1.exr", b"a1.exr", b"a1.exr"]:
        assert sequences.observe(1, name) == []


def test_two_directories_are_two_sequences() -> None:
    sequences = Sequences()
    for number, name in enumerate(frames(range(1, 9))):
        assert sequences.observe(number, name) == []
