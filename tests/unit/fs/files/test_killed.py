"""Programs that wait for us: what they are told."""

from __future__ import annotations

import errno

import pytest

from lucidnode.fs.errors import ReadOnly
from lucidnode.fs.files.killed import unless_killed
from lucidnode.node.client.clock import SystemClock


async def test_who_waits_is_told_the_error_itself_and_not_that_of_a_group() -> None:
    async def refused() -> None:
        raise ReadOnly("the history has forked")

    with pytest.raises(ReadOnly) as told:
        await unless_killed(0, refused(), SystemClock())
    assert told.value.errno == errno.EROFS
