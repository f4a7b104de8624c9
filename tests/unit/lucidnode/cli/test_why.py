"""`lucidnode why` says who was passed over, and why."""

from __future__ import annotations

from lucidnode.cli.why import where_from, where_now
from lucidnode.node.client.file_blocks import BlockPlace

ADA, BO = "a" * 32, "b" * 32
NAMES = {ADA: "studio-a (ada)"}


def test_who_was_passed_over_stands_behind_where_a_block_came_from() -> None:
    came = BlockPlace("cache", "bucket", 0.3, 1, [BO], came_past=[(ADA, "resting"), (BO, "away")])
    assert where_from(came, NAMES) == (
        "the cloud (studio-a (ada) did not answer in time, bbbbbbbb is away)"
    )
    assert where_from(BlockPlace("cache", "peer", 0.1, 1, []), NAMES) == "a colleague"
    assert where_from(BlockPlace("cache", "", 0.0, 0, []), NAMES) == ""


def test_who_is_passed_over_now_stands_behind_who_is_asked_next() -> None:
    away = BlockPlace("away", "", 0.0, 0, [BO], passed_over=[(ADA, "slow")])
    assert where_now(away, NAMES) == (
        "away; asked next: bbbbbbbb, then the cloud (studio-a (ada) was much slower than the cloud)"
    )
    here = BlockPlace("cache", "", 0.0, 0, [BO], passed_over=[(ADA, "slow")])
    assert where_now(here, NAMES) == "on this disk"
