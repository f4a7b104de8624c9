"""Alerts begin once, say since when and how often, and end when it is over."""

from __future__ import annotations

import pytest
from disk_fixture import ManualClock

from lucidnode.node.client.alerts import MAX_ALERTS, MAX_TEXT, Alerts


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


def test_who_listens_hears_of_begin_change_and_end_and_not_of_repeats(
    alerts: Alerts, expected_warnings: list[str]
) -> None:
    expected_warnings += ["It is full.", "It is gone."]
    heard: list[int] = []
    alerts.on_change(lambda: heard.append(len(alerts.current())))
    alerts.begin("disk", "It is full.")
    alerts.begin("disk", "It is full.")
    alerts.begin("disk", "It is gone.")
    alerts.end("disk")
    assert heard == [1, 1, 0]


def test_words_from_outside_forge_no_line_and_take_no_memory(
    alerts: Alerts, expected_warnings: list[str]
) -> None:
    expected_warnings += ["forged", "It is damaged."]
    alerts.begin("peer", "x\n2026 WARNING forged\x1b[2J" + "y" * 10_000)
    for number in range(2 * MAX_ALERTS):
        alerts.begin(f"block:{number}", "It is damaged.")
    found = alerts.current()
    assert len(found) == MAX_ALERTS
    assert len(found[0].cause) == MAX_TEXT
    assert found[0].cause.isprintable()
