"""The rows of an entry are counted as they will be in it: what changes back is none of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.replica.sqlite.rows import NetCount, Row, RowChange, encode, net

_TARGETS = st.one_of(st.none(), st.integers(1, 3))


@given(st.lists(st.tuples(st.integers(1, 4), _TARGETS)), st.integers(1, 5))
def test_the_count_is_that_of_the_net_changes(steps: list[tuple[int, int | None]], at: int) -> None:
    there: dict[int, int] = {1: 1, 2: 2}
    changes: list[RowChange] = []
    for name, target in steps:
        old: Row | None = (7, b"%d" % name, there[name]) if name in there else None
        new: Row | None = None if target is None else (7, b"%d" % name, target)
        if old is None and new is None:
            continue
        changes.append(("name", old, new))
        there.pop(name, None)
        if target is not None:
            there[name] = target
    count = NetCount()
    for counted, upto in ((changes[:at], at), (changes[at:], len(changes))):
        count.add(counted)
        assert count.rows == len(net(changes[:upto]))
        assert count.size == sum(len(encode([change])) - 1 for change in net(changes[:upto]))
