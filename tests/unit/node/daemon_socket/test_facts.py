"""Commands and a daemon of two releases."""

from __future__ import annotations

from pathlib import Path

import pytest
from socket_fixture import served

from lucidnode.node.client.daemon_socket.facts import facts_in
from lucidnode.node.client.errors import Malformed, Unavailable
from lucidnode.node.daemon_socket.facts import FactRoutes


def test_what_an_earlier_daemon_does_not_tell_is_said_with_the_way_out() -> None:
    facts = facts_in(b'{"uploads": {"bytes": 0}, "mounts": [{"pending": 1}]}')
    assert facts["mounts"][0]["pending"] == 1
    for whole in (facts, facts["uploads"], facts["mounts"][0]):
        with pytest.raises(Unavailable, match=r'another release.*"me".*lucidnode exit'):
            whole["me"]
    assert "me" not in facts
    assert facts.get("me") is None


@pytest.mark.parametrize("answer", [b"", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_malformed(answer: bytes) -> None:
    with pytest.raises(Malformed):
        facts_in(answer)


async def test_a_daemon_of_an_earlier_release_tells_of_no_clock_of_its_store(
    tmp_path: Path,
) -> None:
    async with served(tmp_path / "daemon.sock", FactRoutes({})) as client:
        assert await client.facts.store_ahead_s() is None
