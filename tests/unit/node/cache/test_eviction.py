"""The pure parts of the cache: order of eviction, books, breaker."""

from __future__ import annotations

import tracemalloc
from collections import OrderedDict
from collections.abc import Iterator

import pytest
from disk_fixture import ManualClock, make_block
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.cache.accounting import GUESTS_SHARE, CacheAccounting
from lucidnode.node.cache.change import CacheChange, Insertion, Whose
from lucidnode.node.cache.eviction import (
    ALLOCATION,
    HeldBlocks,
    LeastRecentlyUsed,
    NewPolicy,
    disk_bytes,
)
from lucidnode.node.client.breaker import FIRST_PAUSE_S, MAX_PAUSE_S, Breaker
from lucidnode.node.client.ids import BlockId

LIMIT = 10 * ALLOCATION

block_ids = st.integers(0, 11).map(lambda n: BlockId(bytes([n]) * 32))
sizes = st.integers(0, 4 * ALLOCATION)


class FirstIn(LeastRecentlyUsed):
    """A policy that no use changes: what came first goes first."""

    def use(self, block: BlockId) -> None:
        assert block in self


class Backwards(FirstIn):
    """The worst there is: what came last goes first."""

    def __iter__(self) -> Iterator[BlockId]:
        return reversed(list(super().__iter__()))


policies = st.sampled_from([LeastRecentlyUsed, FirstIn, Backwards])
steps = st.sampled_from(["use", "remove", "restore"])


@given(st.integers(0, 1 << 40))
def test_a_file_takes_whole_allocation_units(size: int) -> None:
    assert disk_bytes(size) % ALLOCATION == 0
    assert 0 <= disk_bytes(size) - size < ALLOCATION


@given(st.lists(st.tuples(steps, block_ids)))
def test_the_least_recently_used_goes_first(taken: list[tuple[str, BlockId]]) -> None:
    policy = LeastRecentlyUsed(OrderedDict())
    model: list[BlockId] = []
    for step, block in taken:
        known = block in model
        if known:
            model.remove(block)
        if step == "use":
            model.append(block)
            policy.use(block) if known else policy.add(block, 1)
        elif known:
            policy.remove(block)
        elif step == "restore":
            model.insert(0, block)
            policy.restore(block, 1)
        assert list(policy) == model


@given(policies, st.lists(st.tuples(steps, block_ids, sizes)), st.sets(block_ids))
def test_what_goes_is_the_shortest_run_in_the_order_of_the_policy(
    policy: NewPolicy, taken: list[tuple[str, BlockId, int]], without: set[BlockId]
) -> None:
    held = HeldBlocks(policy)
    model: dict[BlockId, int] = {}
    for step, block, size in taken:
        if block not in model and step != "remove":
            model[block] = size
            (held.add if step == "use" else held.restore)(block, size)
        elif block in model and step == "use":
            held.use(block)
        elif block in model and step == "remove":
            assert held.remove(block) == model.pop(block)
    assert len(held) == len(model)
    assert held.bytes == sum(map(disk_bytes, model.values()))
    may_go = [block for block in held if block not in without]
    freeable = sum(disk_bytes(model[block]) for block in may_go)
    for wanted in range(0, held.bytes + 2 * ALLOCATION, ALLOCATION):
        run = held.first_to_go(wanted, without)
        freed = sum(disk_bytes(held.size(block)) for block in run)
        assert run == may_go[: len(run)]
        assert held.first_to_go(wanted, without, at_most=2) == run[:2]
        assert freed >= min(wanted, freeable)
        if run:
            assert freed - disk_bytes(held.size(run[-1])) < wanted


@given(policies, st.data())
def test_the_books_never_pass_the_limit_however_changes_overlap(
    policy: NewPolicy, data: st.DataObject
) -> None:
    books = CacheAccounting(OrderedDict(), LIMIT, policy)
    under_way: list[tuple[dict[BlockId, int], Insertion]] = []
    for _ in range(data.draw(st.integers(0, 40))):
        if data.draw(st.booleans()) and under_way:
            leaving, insertion = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
            stuck = data.draw(st.booleans())
            change = CacheChange(removed=[] if stuck else list(leaving), kept=not stuck)
            books.end(leaving, insertion, change, bad=False)
            assert (insertion.block in books) == change.kept
            assert all((block in books) == stuck for block in leaving)
        else:
            insertion = Insertion(data.draw(block_ids), data.draw(sizes), b"")
            if insertion.block in books:
                books.use(insertion.block, insertion.whose)
                continue
            evictees = books.evictees(insertion, reclaim_bytes=0)
            if evictees is None:
                continue
            under_way.append((books.begin(evictees, insertion), insertion))
            moving = {block for leaving, _ in under_way for block in leaving}
            assert not any(block in books for block in moving)
            assert books.bytes <= LIMIT


def test_a_block_under_way_is_not_begun_a_second_time() -> None:
    block, ciphertext = make_block()
    books = CacheAccounting(OrderedDict(), LIMIT, LeastRecentlyUsed)
    insertion = Insertion(block, len(ciphertext), ciphertext)
    assert books.evictees(insertion, reclaim_bytes=0) == []
    leaving = books.begin([], insertion)
    assert books.evictees(insertion, reclaim_bytes=0) is None
    books.end(leaving, insertion, CacheChange(kept=True), bad=False)
    assert block in books
    leaving = books.begin([block], None)
    assert books.evictees(insertion, reclaim_bytes=0) is None
    books.end(leaving, None, CacheChange(removed=[block]), bad=False)
    assert books.evictees(insertion, reclaim_bytes=0) == []


def test_a_bad_block_that_cannot_be_deleted_is_not_held_again() -> None:
    block, ciphertext = make_block()
    books = CacheAccounting(OrderedDict([(block, len(ciphertext))]), LIMIT, LeastRecentlyUsed)
    leaving = books.begin([block], None)
    books.end(leaving, None, CacheChange(), bad=True)
    assert block not in books


def test_a_block_larger_than_the_cache_displaces_nothing() -> None:
    block, ciphertext = make_block()
    books = CacheAccounting(OrderedDict([(block, len(ciphertext))]), LIMIT, LeastRecentlyUsed)
    giant = Insertion(BlockId(bytes(32)), LIMIT + 1, b"")
    assert books.evictees(giant, reclaim_bytes=0) is None


def test_one_bad_sector_does_not_switch_a_cache_off_but_a_failing_disk_does() -> None:
    breaker = Breaker(ManualClock())
    assert not breaker.failed()
    breaker.succeeded()
    assert [breaker.failed() for _ in range(3)] == [False, False, True]
    assert breaker.open


def test_a_grave_fault_switches_off_at_once_and_is_told_once() -> None:
    breaker = Breaker(ManualClock())
    assert breaker.failed(grave=True)
    assert breaker.open
    assert not breaker.failed(grave=True)


def test_probes_of_a_failing_disk_grow_rarer_up_to_a_bound() -> None:
    clock = ManualClock()
    breaker = Breaker(clock)
    breaker.failed(grave=True)
    pauses = []
    for _ in range(12):
        asked = clock.now
        while not breaker.due:
            clock.now += 0.5
        pauses.append(clock.now - asked)
        breaker.failed()
        breaker.failed()  # a late end of older work is no probe
    assert pauses[0] == FIRST_PAUSE_S
    assert pauses == sorted(pauses)
    assert pauses[-1] == MAX_PAUSE_S
    breaker.succeeded()
    assert not breaker.open


whose = st.sampled_from(["ours", "read for a peer", "offered by a peer"])


large = st.integers(1, 3).map(lambda units: units * ALLOCATION)


@given(
    policies,
    st.lists(st.tuples(block_ids, large, whose, st.booleans()), min_size=20, max_size=60),
)
def test_what_peers_make_us_keep_never_costs_more_than_its_share_of_what_is_ours(
    policy: NewPolicy, arrivals: list[tuple[BlockId, int, Whose, bool]]
) -> None:
    books = CacheAccounting(OrderedDict(), LIMIT, policy)
    ours: set[BlockId] = set()
    for block, size, claim, used in arrivals:
        insertion = Insertion(block, size, b"", claim)
        if block not in books:
            evictees = books.evictees(insertion, reclaim_bytes=0)
            if evictees is None:
                continue
            assert len(set(evictees)) == len(evictees)
            if claim == "offered by a peer":
                assert not ours & set(evictees)
            elif claim == "read for a peer" and ours & set(evictees):
                guests = books.guest_bytes - sum(
                    disk_bytes(books.size(each)) for each in evictees if each not in ours
                )
                assert guests <= LIMIT * GUESTS_SHARE
            leaving = books.begin(evictees, insertion)
            ours -= set(evictees)
            books.end(leaving, insertion, CacheChange(removed=list(leaving), kept=True), bad=False)
        else:
            books.use(block, claim)
        if claim == "ours":
            ours.add(block)
        if used:
            books.use(block, "ours")
            ours.add(block)
        assert books.bytes <= LIMIT


def test_a_held_block_takes_less_than_160_bytes() -> None:
    count = 20_000
    tracemalloc.start()
    try:
        held = HeldBlocks(LeastRecentlyUsed)
        for number in range(count):
            # Numbers of their own, as rows of a database bring them.
            held.add(BlockId(number.to_bytes(32)), int(str(1 << 20)))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / count < 160


@pytest.mark.parametrize(("limit_blocks", "go"), [(63, 1), (64, 2), (640, 11)])
def test_a_full_cache_lets_some_go_ahead_of_need_but_a_small_one_none(
    limit_blocks: int, go: int
) -> None:
    found = OrderedDict((BlockId(n.to_bytes(32)), ALLOCATION) for n in range(limit_blocks))
    oldest = list(found)[:go]
    books = CacheAccounting(found, limit_blocks * ALLOCATION, LeastRecentlyUsed)
    block, ciphertext = make_block()
    assert books.evictees(Insertion(block, len(ciphertext), ciphertext), 0) == oldest
    assert books.evictees(Insertion(block, 0, b""), 0) == []


@given(policies, st.data())
def test_what_is_pinned_stays_and_fills_no_more_than_its_share(
    policy: NewPolicy, data: st.DataObject
) -> None:
    pinned: set[BlockId] = set()
    found = data.draw(st.dictionaries(block_ids, sizes))
    books = CacheAccounting(OrderedDict(found), LIMIT, policy, pinned)
    for _ in range(data.draw(st.integers(0, 40))):
        match data.draw(st.sampled_from(["pin", "unpin", "come", "go", "resize"])):
            case "pin" | "unpin" as step:
                blocks = data.draw(st.lists(block_ids))
                (pinned.update if step == "pin" else pinned.difference_update)(blocks)
                books.repin(blocks)
            case "come":
                insertion = Insertion(data.draw(block_ids), data.draw(sizes), b"")
                evictees = None if insertion.block in books else books.evictees(insertion, 0)
                if evictees is not None:
                    assert not any(books.is_kept(block) for block in evictees)
                    leaving = books.begin(evictees, insertion)
                    books.end(leaving, insertion, CacheChange(list(leaving), kept=True), bad=False)
            case "go":
                assert not any(books.is_kept(block) for block in books.first_to_go(books.bytes))
            case _:
                books.resize(data.draw(st.integers(0, LIMIT)))
        everything = [BlockId(bytes([number]) * 32) for number in range(12)]
        kept = [block for block in everything if books.is_kept(block)]
        assert pinned.issuperset(kept)
        assert books.kept_bytes == sum(disk_bytes(books.size(block)) for block in kept)
        assert books.kept_bytes <= books.kept_room
        assert len(books) == sum(block in books for block in everything)


def test_what_is_above_the_share_of_pins_is_pinned_when_there_is_room() -> None:
    blocks = [make_block()[0] for _ in range(10)]
    pinned = set(blocks)
    books = CacheAccounting(OrderedDict.fromkeys(blocks, ALLOCATION), LIMIT, FirstIn, pinned)
    assert [books.is_kept(block) for block in blocks] == [True] * 8 + [False] * 2
    pinned.remove(blocks[0])
    books.repin([blocks[0], *blocks])
    assert [books.is_kept(block) for block in blocks] == [False] + [True] * 8 + [False]
    assert books.first_to_go(LIMIT) == [blocks[9], blocks[0]]


def test_a_guest_that_is_pinned_is_ours() -> None:
    pinned: set[BlockId] = set()
    books = CacheAccounting(OrderedDict(), LIMIT, LeastRecentlyUsed, pinned)
    block, ciphertext = make_block()
    insertion = Insertion(block, len(ciphertext), ciphertext, "offered by a peer")
    books.end(books.begin([], insertion), insertion, CacheChange(kept=True), bad=False)
    assert books.guest_bytes == ALLOCATION
    pinned.add(block)
    books.repin([block])
    assert books.guest_bytes == 0
    assert books.is_kept(block)


def test_what_is_far_above_a_lowered_limit_goes_without_anybody_waiting_for_all_of_it() -> None:
    mib = 1024 * 1024
    held = OrderedDict((make_block()[0], mib) for _ in range(100))
    books = CacheAccounting(held, 100 * mib, LeastRecentlyUsed)
    books.resize(10 * mib)
    assert books.excess == 90 * mib
    arrival = Insertion(make_block()[0], mib, b"")
    assert books.evictees(arrival, 0) is None
    batch = books.first_to_go(books.excess, 70)
    assert len(batch) == 70
    books.end(books.begin(batch, None), None, CacheChange(removed=batch), bad=False)
    evictees = books.evictees(arrival, 0)
    assert evictees is not None
    assert len(evictees) >= 21
