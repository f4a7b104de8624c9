"""A hostile member: whatever it writes to the log of members, all readers agree and none fails."""

from __future__ import annotations

from collections import Counter

from lab.soak_roster import run_seed

SEEDS = 2


def test_a_hostile_member_ends_no_reader_and_splits_none() -> None:
    happened: Counter[str] = Counter()
    for seed in range(SEEDS):
        happened += run_seed(seed)
    wanted = {
        "a later format",
        "counted",
        "foreign",
        "ticket: SealDamaged",
        "ticket: WrongPassphrase",
        "ticket: opened",
        "void, authentic",
        "void, not authentic",
    }
    assert not wanted - set(happened), "something never happened"
