"""What counts as the row of a lease."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.fs.leases.lease_row import LeaseRow, decoded_lease
from lucidnode.node.client.ids import DeviceId

ONE, OTHER = DeviceId("ab" * 16), DeviceId("cd" * 16)


@given(st.binary(max_size=80))
def test_nothing_that_a_member_writes_there_is_more_than_a_row_or_nothing(value: bytes) -> None:
    row = decoded_lease(value)
    assert row is None or row.encoded() == value


def test_a_row_grows_by_one_with_each_change_and_is_at_rest_but_for_what_is_named() -> None:
    asked = LeaseRow(holder=ONE, fence=7, wanted=OTHER, busy=True)
    given_away = asked.changed(holder=OTHER, given=True)
    assert given_away == LeaseRow(holder=OTHER, fence=8, given=True)
    assert decoded_lease(given_away.encoded()) == given_away
    assert given_away.changed() == LeaseRow(holder=OTHER, fence=9)
