"""A switch and workstations on it, as network namespaces: a bridge, and a veth pair for each.

Needs root. Nothing of it touches the host's own interfaces; leaving the context removes all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any


def ip(*words: str) -> None:
    """Run the command of this name."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Switch:
    """The switch; `plug` adds a workstation."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stations: list[Station] = []
        ip("netns", "add", name)
        ip("-n", name, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        ip("-n", name, "link", "set", "br0", "up")

    def plug(self, *, ipv4: bool = True, ipv6: bool = True) -> Station:
        """Add a workstation with an IPv4 address on the LAN, an IPv6 link-local one, or both."""
        station = Station(self, len(self.stations) + 1, ipv6=ipv6)
        self.stations.append(station)
        if ipv4:
            station.address(f"10.77.0.{station.number}/24")
        return station

    def remove(self) -> None:
        """Take everything down."""
        for name in [*(s.name for s in self.stations), self.name]:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


class Station:
    """A workstation's network."""

    def __init__(self, switch: Switch, number: int, *, ipv6: bool) -> None:
        self.switch = switch
        self.number = number
        self.name = f"{switch.name}-{number}"
        self.port = f"port{number}"
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")
        peer = ["peer", "name", "eth0", "netns", self.name]
        ip("-n", switch.name, "link", "add", self.port, "type", "veth", *peer)
        # Duplicate address detection would keep IPv6 waiting for two seconds.
        knob = "accept_dad" if ipv6 else "disable_ipv6"
        self.run("sh", "-c", f"echo {int(not ipv6)} > /proc/sys/net/ipv6/conf/eth0/{knob}")
        ip("-n", self.name, "link", "set", "eth0", "up")
        self.connect()

    def run(self, *command: str) -> None:
        """Run a command on the workstation."""
        subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.name}", *command], check=True, capture_output=True
        )

    def output(self, *command: str) -> str:
        """Run a command on the workstation; returns what it prints."""
        inside = ["nsenter", f"--net=/run/netns/{self.name}", *command]
        return subprocess.run(inside, check=True, capture_output=True, text=True).stdout

    def address(self, address: str) -> None:
        """Give the workstation this address only (besides IPv6 link-local)."""
        ip("-n", self.name, "-4", "addr", "flush", "dev", "eth0")
        ip("-n", self.name, "addr", "add", address, "dev", "eth0")

    def connect(self) -> None:
        """Plug the cable in."""
        ip("-n", self.switch.name, "link", "set", self.port, "master", "br0", "up")

    def cut(self) -> None:
        """Let everything sent to and from it vanish, without a word to either end."""
        ip("-n", self.switch.name, "link", "set", self.port, "nomaster")

    def block_mdns(self) -> None:
        """Drop mDNS, as access points that isolate their clients do."""
        rules = "table inet mdns { chain in { type filter hook input priority 0; udp dport 5353 drop; }; }"
        self.run("nft", rules)

    @contextlib.asynccontextmanager
    async def daemon(self, *arguments: str | Path) -> AsyncIterator[Program]:
        """Run tests/office_node.py on the workstation."""
        process = await asyncio.create_subprocess_exec(
            "nsenter",
            f"--net=/run/netns/{self.name}",
            sys.executable,
            str(Path(__file__).parent / "office_node.py"),
            *map(str, arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        try:
            yield Program(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


class Program:
    """A daemon under test: JSON lines in and out."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ask(self, **question: object) -> dict[str, Any]:
        """Send one question, return the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        line = await self.process.stdout.readline()
        assert line, "the daemon ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def until(self, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until *holds* is true of its state; return that state."""
        async with asyncio.timeout(45):  # within what a test may take
            while not holds(state := await self.ask(do="state")):
                await asyncio.sleep(0.05)
        return state

    async def announced(self) -> dict[str, Any]:
        """Wait until mDNS works there."""
        return await self.until(lambda state: state["mdns"].startswith("announced"))

    async def linked(self, count: int) -> dict[str, Any]:
        """Wait until it has *count* peers to ask."""
        return await self.until(lambda state: len(state["usable"]) == count)

    async def found(self, count: int) -> dict[str, Any]:
        """Wait until mDNS tells of *count* nodes."""
        return await self.until(lambda state: len(state["found"]) == count)


@contextlib.contextmanager
def switch() -> Iterator[Switch]:
    """Build a switch for one test."""
    made = Switch(f"lucid-test-{os.getpid()}")
    try:
        yield made
    finally:
        made.remove()
