"""What a member of the studio wrote into a project reaches every mount, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from lucidnode.fs.format.project_facts import (
    collected_in,
    collection_turn_in,
    condemned_in,
    list_name,
    retention_in,
)
from lucidnode.fs.leases.lease_row import decoded_lease
from lucidnode.fs.leases.write_lease import decoded_write_lease
from lucidnode.fs.replica.quota import decoded_quota
from lucidnode.fs.snapshots.schedule import decoded_schedule
from lucidnode.fs.snapshots.snapshot_row import decoded_snapshot
from lucidnode.node.client.ids import Seq

READERS: list[tuple[Callable[[bytes], object], str]] = [
    (retention_in, "days"),
    (collected_in, "seq"),
    (collection_turn_in, "device"),
    (partial(condemned_in, list_name(Seq(1), 0)), "ids"),
    (decoded_lease, "holder"),
    (decoded_write_lease, "holder"),
    (decoded_quota, "soft"),
    (decoded_schedule, "hours"),
    (partial(decoded_snapshot, b"user.lucid.snapshot.x"), "seq"),
]

NO_TEXT = b"\xa2\xff\xfe"
ENDLESS = b"\x91" * 60_000


@pytest.mark.parametrize(("read", "field"), READERS)
def test_what_is_no_row_is_none(read: Callable[[bytes], object], field: str) -> None:
    name = msgspec.msgpack.encode(field)
    for row in (b"\x81" + name + NO_TEXT, b"\x81" + name + ENDLESS, b"\x81" + NO_TEXT * 2, ENDLESS):
        assert not read(row)
