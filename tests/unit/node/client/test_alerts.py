"""Alerts begin once, say since when and how often, and end when it is over."""

from __future__ import annotations

import pytest
from disk_fixture import ManualClock

from lucidnode.node.client.alerts import MAX_ALERTS, MAX_FAMILY, MAX_KEPT_FAMILY, MAX_TEXT, Alerts


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def alerts(clock: ManualClock) -> Alerts:
    return Alerts(clock)


def test_an_alert_begins_once_however_often_it_is_reported(
    alerts: Alerts, expected_warnings: list[str]
) -> None:
    expected_warnings += ["It refuses. Renew the credentials."]
    alerts.begin("bucket", "It refuses.", "Renew the credentials.")
    alerts.begin("bucket", "It refuses.", "Renew the credentials.")
    [alert] = alerts.current()
    assert (alert.cause, alert.remedy, alert.count) == (
        "It refuses.",
        "Renew the credentials.",
        2,
    )
    assert alerts.begun == 1


def test_an_alert_ends_when_it_is_over(alerts: Alerts, expected_warnings: list[str]) -> None:
    expected_warnings += ["It refuses."]
    alerts.begin("bucket", "It refuses.")
    alerts.end("bucket")
    alerts.end("bucket")
    assert alerts.current() == []


async def test_what_happened_once_ends_by_itself(
    alerts: Alerts, clock: ManualClock, expected_warnings: list[str]
) -> None:
    expected_warnings += ["An entry was skipped."]
    alerts.begin("skipped:7", "An entry was skipped.", lasts_s=60)
    clock.now += 59
    assert alerts.is_on("skipped:7")
    clock.now += 1
    assert alerts.current() == []


def test_words_from_outside_forge_no_line_and_take_no_memory(
    alerts: Alerts, expected_warnings: list[str]
) -> None:
    expected_warnings += ["forged", "It is damaged."]
    alerts.begin("peer", "x\n2026 WARNING forged\x1b[2J" + "y" * 10_000)
    for number in range(2 * MAX_ALERTS):
        alerts.begin(f"block-{number}", "It is damaged.")
    found = alerts.current()
    assert len(found) == MAX_ALERTS
    assert len(found[0].cause) == MAX_TEXT
    assert found[0].cause.isprintable()


def test_a_flood_of_one_kind_hides_no_other(
    alerts: Alerts, expected_warnings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_warnings += ["holds garbage", "There are more than 8", "It is full."]
    for number in range(1000):
        alerts.begin(f"slot:{number}", f"Slot {number} holds garbage.", "Look.")
    alerts.begin("disk", "It is full.")
    topics = [alert.topic for alert in alerts.current()]
    assert topics == [*(f"slot:{number}" for number in range(MAX_FAMILY)), "disk", "slot+"]
    more = alerts.current()[-1]
    assert more.cause.startswith(
        f"There are {MAX_KEPT_FAMILY - MAX_FAMILY} more alerts of one kind"
    )
    assert "others, which are not kept" in more.cause
    assert "`lucidnode status --alerts`" in more.remedy
    assert len(caplog.records) == MAX_FAMILY + 2
    for number in range(1000):
        alerts.end(f"slot:{number}")
    assert [alert.topic for alert in alerts.current()] == ["disk"]


def test_whatever_is_known_of_one_kind_can_be_listed_and_moves_up(
    alerts: Alerts, expected_warnings: list[str]
) -> None:
    expected_warnings += ["is damaged", "There are more than 8"]
    for number in range(20):
        alerts.begin(f"block:{number}", f"Block {number} is damaged.")
    assert [alert.topic for alert in alerts.every()] == [f"block:{n}" for n in range(20)]
    assert alerts.is_on("block:19")
    alerts.end("block:0")
    assert alerts.current()[MAX_FAMILY - 1].topic == "block:8"
    assert alerts.current()[-1].cause == "There are 11 more alerts of one kind (block)."
    for number in range(1, 12):
        alerts.end(f"block:{number}")
    assert alerts.current() == alerts.every()
    assert len(alerts.every()) == MAX_FAMILY
