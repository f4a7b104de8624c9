"""What a node decides is told in its debug log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from disk_fixture import ManualClock
from replica_fixture import Blocks, Journal, Node

from lucidnode.node.client.breaker import FAULTS_IN_A_ROW, Breaker


@pytest.fixture(autouse=True)
def decisions(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "lucidnode")


def test_a_disk_that_is_left_alone_and_used_again_is_told(caplog: pytest.LogCaptureFixture) -> None:
    breaker = Breaker(ManualClock())
    for _ in range(FAULTS_IN_A_ROW):
        breaker.failed()
    assert "breaker: open after 3 faults, probed in 1 s" in caplog.text
    breaker.succeeded()
    assert "breaker: closed" in caplog.text


def test_what_another_entry_means_for_our_work_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocks, journal = Blocks(), Journal()
    one, other = Node(tmp_path / "a.db", "a", blocks), Node(tmp_path / "b.db", "b", blocks)
    folders = one.mkdir(b"one"), one.mkdir(b"other")
    journal.settle(one, other)
    one.create(b"file", folders[0])
    other.create(b"file", folders[1])
    assert journal.commit(one) is None
    journal.pull(other)
    assert "fast-forward: " in caplog.text
    assert "rebase: " not in caplog.text
    one.create(b"same", folders[0])
    other.create(b"same", folders[0])
    assert journal.commit(one) is None
    journal.pull(other)
    assert "rebase: " in caplog.text
    assert "2 operations of ours stand, 0 are new, 1 conflicts" in caplog.text
    one.close()
    other.close()
