"""How blocks came is remembered, and each that comes is counted once."""

from __future__ import annotations

from disk_fixture import ManualClock, make_block

from lucidnode.node.blocks.arrivals import Arrivals
from lucidnode.node.blocks.fetch import PassedOver
from lucidnode.node.client.ids import DeviceId


def test_a_block_that_several_asked_for_at_once_is_counted_once() -> None:
    clock, counted = ManualClock(), list[tuple[str, int]]()
    arrivals = Arrivals(clock, lambda source, size: counted.append((source, size)))
    block, other = make_block()[0], make_block()[0]
    first, second = arrivals.begin(), arrivals.begin()
    clock.now += 2
    arrivals.note(block, "bucket", 10, first)
    arrivals.note(block, "bucket", 10, second)
    arrivals.note(other, "peer", 7, second)
    assert counted == [("bucket", 10), ("peer", 7)]
    clock.now += 1
    arrivals.note(block, "peer", 10, arrivals.begin())  # it was evicted, and came again
    assert counted[2:] == [("peer", 10)]


def test_the_last_arrival_is_remembered_with_how_long_it_took() -> None:
    clock = ManualClock()
    arrivals = Arrivals(clock, lambda _source, _size: None)
    block, stranger = make_block()[0], make_block()[0]
    began = arrivals.begin()
    clock.now += 0.25
    past = [PassedOver(DeviceId("d" * 32), "away")]
    arrivals.note(block, "peer", 10, began, past)
    found = arrivals.of(block)
    assert found is not None
    assert (found.came_from, found.took_s, found.past) == ("peer", 0.25, past)
    assert arrivals.of(stranger) is None
