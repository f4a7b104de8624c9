"""Of two daemons with one device key, the one that began later commits nothing while the other is met."""

from __future__ import annotations

from committer_fixture import VirtualClock

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.peers.own_instance import OwnInstance


async def test_the_one_that_began_later_gives_way_for_as_long_as_it_is_said(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("uses this workstation's device key")
    clock, yielded = VirtualClock(), list[str]()
    alerts = Alerts(clock)
    first = OwnInstance(yielded.append, Alerts(clock), clock)
    await clock.pass_by(1.0)
    later = OwnInstance(yielded.append, alerts, clock)
    assert not later.why_forbidden()
    later.meet(first.id, "192.168.7.20", 60.0)
    assert yielded == ["192.168.7.20"]
    assert later.why_forbidden()
    assert [each.topic for each in alerts.current()] == ["identity"]
    await clock.pass_by(60.0)
    assert not later.why_forbidden()
    assert not alerts.current()


async def test_the_one_that_began_first_says_so_and_goes_on(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("uses this workstation's device key")
    clock, yielded = VirtualClock(), list[str]()
    alerts = Alerts(clock)
    first = OwnInstance(yielded.append, alerts, clock)
    await clock.pass_by(1.0)
    first.meet(OwnInstance(yielded.append, Alerts(clock), clock).id, "192.168.7.21", 60.0)
    assert not yielded
    assert not first.why_forbidden()
    assert "read-only there" in alerts.current()[0].cause
