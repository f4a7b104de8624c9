"""Which entries under this workstation's signature are a sign of a copied home."""

from __future__ import annotations

import pytest
from disk_fixture import ManualClock

from lucidnode.fs.commit.own_entries import COPY_SEEN_S, OwnEntries
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.journal import (
    ATTEMPT_SIZE,
    FORMAT,
    MIN_UNSIGNED,
    NONCE_SIZE,
    SIGNATURE_SIZE,
    EntryHeader,
)

ME, OTHER = DeviceId("aa" * 16), DeviceId("bb" * 16)
SEQ = Seq(7)
HOUR_NS = 3600 * 10**9


def unsigned(device: DeviceId, attempt: int = 0) -> bytes:
    header = EntryHeader(
        FORMAT, SEQ, ProjectId("cd" * 16), bytes([attempt]) * ATTEMPT_SIZE, bytes(32), 1, device,
        bytes(NONCE_SIZE),
    )  # fmt: skip
    return header.encode().ljust(MIN_UNSIGNED + 64, b"\0")


class Scene:
    """A mount that began at 1000 s, and what it is told."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.alerts = Alerts(self.clock)
        self.own = OwnEntries(ME, self.alerts, self.clock)
        self.later_ns = self.clock.wall_ns() + HOUR_NS

    def sees(self, entry: bytes, made_ns: int) -> bool:
        self.own.seen(SEQ, entry + bytes(SIGNATURE_SIZE), made_ns)
        return self.alerts.is_on("twin")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_others_make_in_our_name_is_told(scene: Scene, expected_warnings: list[str]) -> None:
    expected_warnings.append("Somebody else works as this workstation: journal entry 7")
    scene.own.caught_up()
    assert not scene.sees(unsigned(OTHER), scene.later_ns)
    assert scene.sees(unsigned(ME), scene.later_ns)
    assert "join it anew" in scene.alerts.current()[0].remedy


def test_it_is_over_an_hour_after_the_last_of_them(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("Somebody else works as this workstation")
    scene.own.caught_up()
    assert scene.sees(unsigned(ME, 1), scene.later_ns)
    scene.clock.now += COPY_SEEN_S - 1
    assert scene.sees(unsigned(ME, 2), scene.later_ns)
    scene.clock.now += COPY_SEEN_S - 1
    assert scene.alerts.is_on("twin")
    scene.clock.now += 1
    assert not scene.alerts.is_on("twin")


def test_what_was_made_here_and_given_up_is_ours_if_it_lands_all_the_same(scene: Scene) -> None:
    scene.own.caught_up()
    scene.own.made(unsigned(ME, 1))
    scene.own.made(unsigned(ME, 2))
    assert not scene.sees(unsigned(ME, 1), scene.later_ns)


def test_before_the_journal_was_read_once_and_of_before_this_mount_nothing_is_said(
    scene: Scene,
) -> None:
    assert not scene.sees(unsigned(ME), scene.later_ns)
    scene.own.caught_up()
    assert not scene.sees(unsigned(ME), scene.later_ns - 2 * HOUR_NS)
    assert not scene.sees(b"no entry at all", scene.later_ns)
