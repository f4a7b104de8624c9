"""What the dashboard and the command line show of the mounts."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any, cast

from disk_fixture import ManualClock

from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import MAX_FAMILY, Alert, Alerts
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.mounts import Mount, MountTable
from lucidnode.node.peers.status import PeerStatus
from lucidnode.node.prices import LISTS
from lucidnode.node.savings import DayCounts, NodeTotals
from lucidnode.node.status.history import FetchTimes
from lucidnode.node.status.snapshot import StatusSnapshot


class Quiet:
    """An office without peers, an empty cache, and nothing to upload."""

    blocks = bytes = limit = free = pinned_bytes = 0
    oldest_seconds = 0.0
    bytes_per_second = 0.0

    def facts(self) -> Any:
        return self

    def shares(self) -> dict[str, float]:
        return {}

    def __iter__(self) -> Any:
        return iter(())


class NoDays:
    """Nothing was counted yet."""

    async def refresh(self) -> None: ...

    def today(self) -> date:
        return date(2026, 11, 26)

    def here(self) -> dict[date, DayCounts]:
        return {}

    def office(self) -> dict[date, DayCounts]:
        return {}


def facts_of(
    mounts: MountTable, alerts: Alerts | None = None, office: Quiet | None = None
) -> StatusSnapshot:
    quiet = Quiet()
    return StatusSnapshot(
        device="d",
        bucket="file:///b",
        prices=lambda: LISTS["own"],
        block_bytes=lambda: 1 << 20,
        moved=NodeTotals,
        days=NoDays(),
        mounts=mounts,
        office=office or quiet,
        cache=quiet,
        pending_uploads=lambda: quiet,
        fetch_times=lambda: FetchTimes((), ()),
        indexers=dict,
        addresses=dict,
        alerts=alerts or Alerts(ManualClock()),
        now=lambda: 7.0,
        page=lambda: (0, b""),
    )


class Office(Quiet):
    """Two peers are known."""

    def facts(self) -> Any:
        return [PeerStatus(one, "10.0.0.2", "linked", 1, 0.5, None, 0, {}) for one in ("d1", "d2")]


def mount_at(place: str, number: int) -> Mount:
    return Mount(ProjectId(f"{number:032x}"), mount_messages.MountHello(place, number, 0))


async def answering(mount: Mount, name: str, alerts: list[Alert]) -> None:
    question = await mount.outbox.get()
    mount.heard(
        mount_messages.StatusReply(
            cast("mount_messages.StatusQuery", question).number, {"project": name}, alerts, []
        )
    )


async def test_words_of_a_mount_stay_with_it_whatever_is_mounted_meanwhile() -> None:
    mounts = MountTable()
    one, two = mount_at("/one", 1), mount_at("/two", 2)
    for mount in (one, two):
        mounts.add(mount)
    async with asyncio.TaskGroup() as group:
        page = group.create_task(facts_of(mounts).page())
        await answering(one, "first", [])
        mounts.remove(one)
        mounts.add(mount_at("/three", 3))
        await answering(two, "second", [Alert("read-only", "No.", "Repair.", 1, 1)])
    shown = {each["mountpoint"]: each["words"] for each in page.result()["mounts"]}
    assert shown == {"/one": {"project": "first"}, "/two": {"project": "second"}}
    assert [(each["topic"], each["mountpoint"]) for each in page.result()["alerts"]] == [
        ("read-only", "/two")
    ]


async def test_who_asks_for_every_alert_gets_those_that_are_too_many_to_be_shown(
    expected_warnings: list[str],
) -> None:
    expected_warnings += ["is damaged", "There are more than 8"]
    mounts, own = MountTable(), Alerts(ManualClock())
    mount = mount_at("/one", 1)
    mounts.add(mount)
    for number in range(20):
        own.begin(f"block:{number}", f"Block {number} is damaged.")
    facts = facts_of(mounts, own)
    async with asyncio.TaskGroup() as group:
        short = group.create_task(facts.status())
        assert await mount.outbox.get() == mount_messages.StatusQuery(1)
        mount.heard(mount_messages.StatusReply(1, {}, [], []))
        await asyncio.sleep(0)
        every = group.create_task(facts.alerts())
        assert await mount.outbox.get() == mount_messages.StatusQuery(2, every_alert=True)
        mount.heard(
            mount_messages.StatusReply(2, {}, [Alert("read-only", "No.", "Repair.", 1, 1)], [])
        )
    assert len(short.result()["alerts"]) == MAX_FAMILY + 1
    assert [alert["topic"] for alert in every.result()["alerts"]] == [
        *(f"block:{number}" for number in range(20)),
        "read-only",
    ]


async def test_peers_have_the_names_that_a_mount_knows() -> None:
    mounts, mount = MountTable(), mount_at("/one", 1)
    mounts.add(mount)
    facts = facts_of(mounts, office=Office())
    async with asyncio.TaskGroup() as group:
        peers = group.create_task(facts.peers())
        assert await mount.outbox.get() == mount_messages.StatusQuery(1, devices=["d1", "d2"])
        mount.heard(mount_messages.StatusReply(1, {}, [], [], {"d1": "grading (Bo)", "else": "x"}))
    assert [(p["device"], p["name"]) for p in peers.result()["peers"]] == [
        ("d1", "grading (Bo)"),
        ("d2", None),
    ]
    mounts.remove(mount)
    assert [p["name"] for p in (await facts.peers())["peers"]] == [None, None]


async def test_a_mount_that_does_not_answer_is_an_alert_and_keeps_nobody_waiting() -> None:
    mounts = MountTable()
    mounts.add(mount_at("/hangs", 1))
    [alert] = (await asyncio.wait_for(facts_of(mounts).status(), 5))["alerts"]
    assert (alert["topic"], alert["mountpoint"]) == ("mount-silent", "/hangs")
