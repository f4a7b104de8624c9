"""Whether this workstation should do only what its own programs ask for now: battery, metered link.

The battery is read from the kernel (`/sys/class/power_supply`), the link asked of NetworkManager over
D-Bus by `busctl`, which every system with systemd has. Where neither says anything, it is not so.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NoReturn

from lucidnode.node.client.clock import Clock

POWER_SUPPLIES = Path("/sys/class/power_supply")

LOOK_S = 15.0
"""Seconds between looks: somebody pulls a cable and walks away."""

_ASK_S = 5.0

_METERED = {"u 1", "u 3"}
"""NMMetered: yes, and yes as far as one can guess."""

ASK_NETWORK_MANAGER: Sequence[str] = (
    "busctl",
    "get-property",
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.NetworkManager",
    "Metered",
)


def on_battery(supplies: Path = POWER_SUPPLIES) -> bool:
    """Tell whether a battery of this machine is what it runs on. Blocking, a few small reads."""
    discharging = False
    with contextlib.suppress(OSError):
        for supply in sorted(supplies.iterdir()):
            kind = _read(supply / "type")
            if kind in {"Mains", "USB"} and _read(supply / "online") == "1":
                return False
            if kind == "Battery" and _read(supply / "scope") != "Device":  # a mouse has one, too
                discharging = discharging or _read(supply / "status") == "Discharging"
    return discharging


async def on_metered_link(command: Sequence[str] = ASK_NETWORK_MANAGER) -> bool:
    """Tell whether NetworkManager takes the connection for a metered one; False if nobody says."""
    program = shutil.which(command[0])
    if program is None:
        return False
    process = await asyncio.create_subprocess_exec(
        program,
        *command[1:],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_ASK_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    return said[:16].decode("ascii", "replace").strip() in _METERED


class Quiet:
    """`reason` says why it should be quiet now, in words; empty if it need not."""

    def __init__(
        self,
        heeds_battery: Callable[[], bool],
        heeds_link: Callable[[], bool],
        clock: Clock,
        battery: Callable[[], bool] = on_battery,
        link: Callable[[], Awaitable[bool]] = on_metered_link,
    ) -> None:
        self._heeds_battery = heeds_battery
        self._heeds_link = heeds_link
        self._clock = clock
        self._battery = battery
        self._link = link
        self.reason = ""

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            self.reason = await self.look()
            await self._clock.sleep(LOOK_S)

    async def look(self) -> str:
        """Return the reason as it is now."""
        if self._heeds_battery() and await asyncio.to_thread(self._battery):
            return "this workstation runs on its battery"
        if self._heeds_link() and await self._link():
            return "its connection is paid for by volume"
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
