"""When a workstation should do only what its own programs ask for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from disk_fixture import FastClock

from lucidnode.node.quiet import Quiet, on_battery, on_metered_link


def supply(folder: Path, name: str, **facts: str) -> None:
    (folder / name).mkdir()
    for fact, value in facts.items():
        (folder / name / fact).write_text(value + "\n")


@pytest.mark.parametrize(
    ("supplies", "told"),
    [
        ({}, False),
        ({"BAT0": {"type": "Battery", "status": "Discharging"}}, True),
        ({"BAT0": {"type": "Battery", "status": "Charging"}}, False),
        (
            {
                "AC": {"type": "Mains", "online": "1"},
                "BAT0": {"type": "Battery", "status": "Discharging"},
            },
            False,
        ),
        (
            {
                "AC": {"type": "Mains", "online": "0"},
                "BAT0": {"type": "Battery", "status": "Discharging"},
            },
            True,
        ),
        ({"mouse": {"type": "Battery", "status": "Discharging", "scope": "Device"}}, False),
        ({"odd": {}}, False),
    ],
)
def test_a_workstation_knows_whether_it_runs_on_its_battery(
    tmp_path: Path, supplies: dict[str, dict[str, str]], told: bool
) -> None:
    for name, facts in supplies.items():
        supply(tmp_path, name, **facts)
    assert on_battery(tmp_path) is told
    assert on_battery(tmp_path / "missing") is False


@pytest.mark.parametrize(
    ("said", "metered"), [("u 1", True), ("u 3", True), ("u 2", False), ("u 4", False), ("", False)]
)
async def test_a_link_is_metered_if_networkmanager_says_so(said: str, metered: bool) -> None:
    assert await on_metered_link([sys.executable, "-c", f"print({said!r})"]) is metered
    assert await on_metered_link(["/no/such/busctl"]) is False


async def test_it_is_quiet_for_what_is_heeded_and_only_while_that_is_so() -> None:
    battery, metered, heeded = True, True, {"battery": False, "link": False}
    clock = FastClock()

    async def link() -> bool:
        return metered

    quiet = Quiet(lambda: heeded["battery"], lambda: heeded["link"], clock, lambda: battery, link)
    assert await quiet.look() == ""
    heeded["link"] = True
    assert "volume" in await quiet.look()
    heeded["battery"] = True
    assert "battery" in await quiet.look()
    battery = metered = False
    assert await quiet.look() == ""
