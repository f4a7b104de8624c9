"""What a change in the log of members means for a mount that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from epoch_office import Office

from lucidnode.fs.commit.rights_follower import RightsFollower


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    for seat in made.seats:
        seat.node.close()


@pytest.mark.parametrize("for_reading", [True, False])
async def test_who_mounted_as_a_viewer_and_may_write_now_is_told_how(
    office: Office, expected_warnings: list[str], *, for_reading: bool
) -> None:
    expected_warnings += ["viewer", *(["You may write in this project now"] if for_reading else [])]
    office.change_role("bo", "viewer")
    bo = office.seat("bo")
    rights = RightsFollower(bo.access, bo.committer, bo.alerts, for_reading=for_reading)
    following = asyncio.ensure_future(rights.run())

    async def told() -> bool:
        rights.look()
        for _ in range(20):
            await asyncio.sleep(0)
        return "You may write in this project now" in bo.causes()

    assert not await told()
    office.change_role("bo", "editor")
    assert await told() == for_reading
    office.change_role("bo", "viewer")
    assert not await told()
    following.cancel()
