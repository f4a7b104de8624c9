"""What counts as the row of a write lease."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.leases.lease_row import NOBODY
from lucidnode.fs.leases.write_lease import WriteLease, decoded_write_lease
from lucidnode.node.client.ids import DeviceId


@given(st.binary(max_size=120))
def test_nothing_that_a_member_writes_there_is_more_than_a_row_or_nothing(value: bytes) -> None:
    row = decoded_write_lease(value)
    assert row is None or row.encoded() == value


def test_a_row_grows_by_one_with_each_change_and_says_who_until_it_is_broken() -> None:
    first = WriteLease(holder=DeviceId("ab" * 16), fence=1, taken=False, since_ns=5)
    rows = [first, first.with_taken(taken=True), first.with_taken(taken=True).renewed()]
    rows.append(rows[-1].broken())
    assert [row.fence for row in rows] == [1, 2, 3, 4]
    assert [row.taken for row in rows] == [False, True, True, False]
    assert rows[-1].holder == NOBODY
    assert [decoded_write_lease(row.encoded()) for row in rows] == rows
