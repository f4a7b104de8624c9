"""How much of a disk a cache uses: one rule, which lets small disks take part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.cache.room import WORKING_ROOM_BYTES, CacheRoom

MIB, GIB = 2**20, 2**30
sizes = st.integers(0, 2**50)


def test_a_big_disk_gives_what_was_asked_and_keeps_five_gibibytes() -> None:
    assert CacheRoom.of(100 * GIB, None, 1000 * GIB) == CacheRoom(100 * GIB, 5 * GIB)


def test_a_disk_of_a_hundred_megabytes_is_a_cache_without_any_option() -> None:
    room = CacheRoom.of(100 * GIB, None, 100 * MIB)
    assert room == CacheRoom(95 * MIB, 5 * MIB)
    assert room.wanted == 69 * MIB


def test_who_takes_a_small_cache_needs_little_room_on_a_big_disk() -> None:
    assert CacheRoom.of(64 * MIB, None, 1000 * GIB).wanted == 128 * MIB


@given(sizes, st.none() | sizes, sizes)
def test_the_limit_fits_on_the_disk_and_is_never_more_than_was_asked(
    limit: int, left_alone: int | None, disk: int
) -> None:
    room = CacheRoom.of(limit, left_alone, disk)
    assert room.limit <= limit
    assert room.limit <= max(disk - room.left_alone, WORKING_ROOM_BYTES)
    assert left_alone is None or room.left_alone == left_alone
    assert room.wanted >= WORKING_ROOM_BYTES
