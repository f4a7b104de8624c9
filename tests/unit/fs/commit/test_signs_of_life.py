"""From when on leases count: what is sent, committed, read and looked at, by one boot clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from committer_fixture import Bucket, Desk, VirtualClock
from disk_fixture import ManualClock

from lucidnode.fs.commit.signs_of_life import LEASE_MARGIN_S, LEASE_TTL_S, SignsOfLife
from lucidnode.node.client.ids import DeviceId

OTHER = DeviceId("bb" * 16)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def life(clock: ManualClock) -> SignsOfLife:
    return SignsOfLife(clock, None)


def test_our_time_begins_when_an_entry_is_first_sent_and_once_it_is_committed(
    life: SignsOfLife, clock: ManualClock
) -> None:
    assert life.ours_for() <= 0
    life.sending(b"entry")
    clock.now += 4
    life.sending(b"entry")
    assert life.ours_for() <= 0
    clock.now += 3
    life.committed(b"another's")
    assert life.ours_for() <= 0
    life.committed(b"entry")
    assert life.ours_for() == LEASE_TTL_S - LEASE_MARGIN_S - 7
    clock.now += LEASE_TTL_S
    assert life.ours_for() < 0


def test_what_an_earlier_life_sent_renews_nothing(tmp_path: Path) -> None:
    """Others may have read it long before this life sends it again."""
    desk = Desk(tmp_path, "a", Bucket(), VirtualClock())
    desk.node.create(b"f")
    batch = desk.node.replica.pending.next_batch(None)
    assert batch is not None
    desk.node.replica.pending.set_in_flight(batch, b"sent before the crash")
    desk.crash()
    life = desk.committer.life
    life.sending(b"sent before the crash")
    life.committed(b"sent before the crash")
    assert life.ours_for() <= 0
    life.sending(b"sent by this life")
    life.committed(b"sent by this life")
    assert life.ours_for() > 0
    desk.node.close()


def test_silence_counts_up_to_the_moment_in_which_the_log_was_seen_to_its_end(
    life: SignsOfLife, clock: ManualClock
) -> None:
    began_at = clock.boot()
    clock.now += 10 * LEASE_TTL_S
    assert not life.is_silent(OTHER), "its entries may be in the log, unread"
    life.saw_end(began_at + LEASE_TTL_S - 1)
    assert not life.is_silent(OTHER)
    life.saw_end(began_at + LEASE_TTL_S)
    assert life.is_silent(OTHER)


def test_a_bucket_is_away_once_looks_have_failed_for_long(
    life: SignsOfLife, clock: ManualClock
) -> None:
    life.saw_end(clock.boot())
    life.looked()
    for _ in range(8):
        clock.now += 5
        life.looked()
    assert life.away_for() == 35
    clock.now += 8 * 3600  # the machine sleeps
    assert life.away_for() == 35
    life.looked()
    assert life.away_for() == 0
    clock.now += 5
    life.looked()
    assert life.away_for() == 5
    life.saw_end(clock.boot())
    life.looked()
    assert life.away_for() == 0
