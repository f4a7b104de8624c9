"""All older entries that are kept come round, a thousand names and one body at a time."""

from __future__ import annotations

from lucidnode.node.client.ids import Seq
from lucidnode.node.journal.older_entries import DOUBTFUL, NAMES, ROUNDS, OlderEntries


def seqs(*numbers: int) -> list[Seq]:
    return [Seq(number) for number in numbers]


def test_one_round_of_some_looks_at_them() -> None:
    older = OlderEntries()
    due = [older.is_due() for _ in range(5 * ROUNDS)]
    assert due.count(True) == 5
    assert due[ROUNDS - 1 :: ROUNDS] == [True] * 5


def test_all_are_read_in_turn_whatever_comes_and_goes() -> None:
    older = OlderEntries()
    assert [older.read_next(seqs(3, 5, 9)) for _ in range(4)] == seqs(3, 5, 9, 3)
    assert [older.read_next(seqs(5, 9, 12)) for _ in range(4)] == seqs(5, 9, 12, 5)


def test_a_listing_covers_what_it_reached_and_the_next_goes_on_behind() -> None:
    older, kept = OlderEntries(), {Seq(number): 100 + number for number in range(1, 2501)}
    found: list[Seq] = []
    for expected in (1, 1001, 1301, 2301, 1):
        listed = older.to_list(sorted(kept))
        assert listed[0] == expected
        assert len(listed) <= NAMES
        if expected == 1001:
            listed = listed[:300]  # the page held other names as well
        shown = {seq: kept[seq] for seq in listed if seq not in (7, 2301)}
        found += older.doubtful(listed, kept, shown)
    assert found == seqs(7, 2301, 7)


def test_of_many_that_are_gone_some_are_looked_at_in_each_round() -> None:
    older, kept = OlderEntries(), {Seq(number): 100 for number in range(1, 31)}
    found: list[Seq] = []
    while len(found) < len(kept):
        some = older.doubtful(older.to_list(sorted(kept)), kept, {})
        assert len(some) <= DOUBTFUL
        found += some
    assert found == sorted(kept)


def test_what_is_listed_with_another_size_is_doubtful() -> None:
    older, kept = OlderEntries(), {Seq(1): 100, Seq(2): 100}
    assert older.doubtful(older.to_list(sorted(kept)), kept, {Seq(1): 100, Seq(2): 99}) == seqs(2)
