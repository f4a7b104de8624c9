"""An office of two VLANs with a firewall between them, set up by the engineers' guide word for word.

Multicast does not reach the other VLAN, and the firewall drops everything until it lets the guide's two
ports through. Then workstations find each other through the bucket; with that switched off, by the
addresses that the guide has one write down. Each way, what one VLAN holds the other reads without
the bucket.
"""

from __future__ import annotations

import os
import re

from lab.command import run
from lab.errors import LabError
from lab.lab import Lab, make, remove
from lab.namespaces import Namespaces
from lab.patience import until
from lab.places import REPOSITORY
from lab.record import Plan
from lab.workstation import Workstation

PACKAGES = ()

_GUIDE = REPOSITORY / "docs/guides/engineers.md"
_BLOCK = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ADDRESS = re.compile(r"192\.168\.7\.\d+")
_MIB = 32
_FOUND_S = 120.0
"""A look at the bucket, a record in it, and a machine that is busy."""


def run_alone(_extent: float) -> str:
    """See the module."""
    name = f"vlans{os.getpid()}"
    try:
        return _Office(make(name, Plan(nodes=4, vlans=2), lambda _: None)).set_up()
    finally:
        remove(name)


class _Office:
    """*a* and *c* are in one VLAN, *b* and *d* in the other."""

    def __init__(self, lab: Lab) -> None:
        assert isinstance(lab.network, Namespaces)
        self._lab, self._network = lab, lab.network
        self._all = list(lab.workstations.values())
        self._a, self._b, *_ = self._all

    def set_up(self) -> str:
        """Follow the guide; return what came of it."""
        self._check_apart()
        ports = _lines("## Ports and firewall")
        self._network.let_through(*(int(line.split()[-1]) for line in ports))
        for station in self._all:
            self._type(station, *ports)
        self._await_links("through the bucket")
        self._read("found", self._a, self._b)
        for station in self._all:
            self._type(station, "lucidnode config set office.rendezvous off")
        until(self._is_apart, within=_FOUND_S, what="links outlive what they were found by")
        *named, shown = _lines("## Two VLANs, or no multicast")
        others = [station.record.address for station in self._all[1::2]]
        told = _ADDRESS.sub(lambda _: others.pop(0), "\n".join(named)).splitlines()
        for station in self._all[0::2]:
            self._type(station, *told)
        self._await_links("by the addresses that it was told")
        self._check_shown(self._type(self._a, shown))
        self._read("named", self._b, self._a)
        return f"{len(ports)} and {len(named) + 1} lines of the guide; {2 * _MIB} MiB read across VLANs, none from the bucket"

    def _check_apart(self) -> None:
        if not self._is_apart():
            raise LabError("workstations of different VLANs are linked through a closed firewall")

    def _is_apart(self) -> bool:
        return all(station.facts("status")["peers"] == 1 for station in self._all)

    def _check_shown(self, shown: str) -> None:
        """Assert that the others are in what `lucidnode peers` shows."""
        for station in self._all[1:]:
            if station.record.address not in shown:
                raise LabError(f"{station.name} is not in the list: {shown}")

    def _await_links(self, how: str) -> None:
        for station in self._all:
            until(
                lambda station=station: station.talks_to(3),  # type: ignore[misc]
                within=_FOUND_S,
                what=f"{station.name} does not find the other VLAN {how}",
            )

    def _read(self, name: str, writer: Workstation, reader: Workstation) -> None:
        """Have *reader* read what *writer* wrote, with nothing of it from the bucket."""
        written, content = writer.mount_point / name, os.urandom(_MIB << 20)
        written.write_bytes(content)
        writer.await_cloud([written])
        seen = reader.mount_point / name
        until(seen.exists, within=60, what=f"{reader.name} does not show {name}")
        before = self._downloaded()
        if seen.read_bytes() != content:
            raise LabError(f"{name} is not what was written")
        if (fetched := self._downloaded() - before) > 0:
            raise LabError(f"the office fetched {fetched} bytes of {name} from the bucket")

    def _downloaded(self) -> int:
        return sum(int(station.facts("savings")["here"]["downloaded"]) for station in self._all)

    def _type(self, station: Workstation, *lines: str) -> str:
        prefix, environment = self._lab.inside(station.name)
        return "".join(run([*prefix, "sh", "-c", line], env=environment) for line in lines)


def _lines(heading: str) -> list[str]:
    """Return what the guide has one type under *heading*, a line each."""
    text = _GUIDE.read_text("utf-8")
    block = _BLOCK.search(text, text.index(heading))
    if block is None:
        raise LabError(f"nothing to type under {heading}")
    return block[1].splitlines()
