"""What the bucket once showed is read anew: new entries soon, all of them in turn."""

from __future__ import annotations

from lucidnode.node.client.ids import Seq
from lucidnode.node.journal.rereading import NEW_ONES, Rereading


def seqs(*numbers: int) -> list[Seq]:
    return [Seq(number) for number in numbers]


def test_the_newest_entries_are_read_anew_first_and_all_in_the_end() -> None:
    rereading = Rereading()
    known = seqs(*range(1, 11))
    order: list[Seq] = []
    for _ in range(4):
        for seq in rereading.due(known):
            rereading.was_read(seq, is_committed=True)
            order.append(seq)
    assert order[:NEW_ONES] == seqs(10, 9, 8)
    assert set(order) == set(known)


def test_when_nothing_is_new_one_entry_a_round_is_read_and_each_comes_in_turn() -> None:
    rereading = Rereading()
    known = seqs(*range(1, 11))
    for seq in known:
        rereading.was_read(seq, is_committed=True)
    rounds = []
    for _ in known:
        [seq] = rereading.due(known)
        rereading.was_read(seq, is_committed=True)
        rounds.append(seq)
    assert sorted(rounds) == known


def test_what_a_look_did_not_settle_is_looked_at_in_every_round() -> None:
    rereading = Rereading()
    known = seqs(*range(1, 11))
    for seq in known:
        rereading.was_read(seq, is_committed=seq != 4)
    for _ in range(20):
        first, *_ = rereading.due(known)
        assert first == 4
        rereading.was_read(first, is_committed=False)
    rereading.was_read(Seq(4), is_committed=True)
    assert rereading.due(known) == seqs(1)


def test_what_is_no_longer_known_is_not_read() -> None:
    rereading = Rereading()
    rereading.was_read(Seq(1), is_committed=False)
    rereading.was_read(Seq(2), is_committed=True)
    assert rereading.due(seqs(3)) == seqs(3)
