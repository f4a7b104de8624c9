"""The office and the cloud as network namespaces of this machine.

    a ── lan0 ┐
    b ── lan0 ┼─ br0 (switch) ── wan0 ══ relay: latency ══ wan0 (cloud)
    c ── lan0 ┘                    └─ tbf: rate, both ways ─┘

Every device is created inside the namespaces: none ever exists on the host. The switch namespace
is bridge and router at once. wan0 are two TUN devices between which a relay carries packets.

With several VLANs each has a bridge and a subnet of its own (br0, br1, …), workstations are dealt to
them in turn, and between them is a firewall: multicast is not routed, and nothing else passes but
what `let_through` names.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lab.command import run
from lab.network import CLOUD, SWITCH

T = TypeVar("T")

_CLONE_NEWNET = 0x4000_0000
"""sched.h; Python has os.setns only from 3.12."""

_HANDLES = Path("/run/netns")
_LAN = "10.77"
_OFFICE_END = "10.78.0.1"
_CLOUD_END = "10.78.0.2"
WAN = "wan0"
BRIDGE = "br0"
_FIREWALL = """
table inet office {{
  chain between {{
    type filter hook forward priority 0; policy accept;
    ct state established,related accept
    {within}
    iifname "br*" oifname "br*" tcp dport {{ {ports} }} accept
    iifname "br*" oifname "br*" drop
  }}
}}
"""


class Namespaces:
    """Network of one lab. Root only. Two labs use the same addresses and never meet."""

    def __init__(self, lab: str, *, wan_mbit: float | None, vlans: int = 1) -> None:
        self._lab = lab
        self._wan_mbit = wan_mbit
        self._vlans = vlans

    def build(self, nodes: list[str]) -> None:
        for place in [SWITCH, CLOUD, *nodes]:
            run(["ip", "netns", "add", self.namespace(place)])
            # Duplicate address detection would hold back link-local addresses for a second.
            self._write(place, "net/ipv6/conf/default/accept_dad", "0")
            self._ip(place, "link", "set", "lo", "up")
        for vlan in range(self._vlans):
            bridge = f"br{vlan}"
            # Without a querier a snooping bridge may drop multicast, and mDNS with it.
            self._ip(SWITCH, "link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
            self._ip(SWITCH, "addr", "add", f"{_LAN}.{vlan}.1/24", "dev", bridge)
            self._ip(SWITCH, "link", "set", bridge, "up")
        self._write(SWITCH, "net/ipv4/ip_forward", "1")
        for number, node in enumerate(nodes):
            self._plug_in(node, number % self._vlans, 11 + number)
        if self._vlans > 1:
            self.let_through()
        self._lay_wan()

    def let_through(self, *ports: int) -> None:
        """Have the firewall between VLANs let connections to these TCP ports through, and nothing else."""
        # Where the machine has br_netfilter, what stays in one VLAN is asked about as well.
        bridges = [f"br{vlan}" for vlan in range(self._vlans)]
        within = "\n".join(f'iifname "{each}" oifname "{each}" accept' for each in bridges)
        rules = _FIREWALL.format(within=within, ports=", ".join(map(str, ports or (0,))))
        run([*self.entering(SWITCH), "nft", "flush", "ruleset"])
        run([*self.entering(SWITCH), "nft", rules])

    def entering(self, place: str) -> list[str]:
        # nsenter and not `ip netns exec`: that would also unshare mounts, and hide ours.
        return ["nsenter", f"--net={self._handle(place)}", "--"]

    def within(self, place: str, call: Callable[[], T]) -> T:
        """Run *call* on a thread that has moved into *place*; this thread stays where it is."""
        done: list[T] = []
        failed: list[BaseException] = []

        def visit() -> None:
            try:
                enter(self._handle(place))
                done.append(call())
            except BaseException as error:  # noqa: BLE001  # handed over, raised below
                failed.append(error)

        visitor = threading.Thread(target=visit, name=f"in {place}")
        visitor.start()
        visitor.join()
        if failed:
            raise failed[0]
        return done[0]

    def address(self, place: str) -> str:
        if place == CLOUD:
            return _CLOUD_END
        if place == SWITCH:
            return f"{_LAN}.0.1"
        return self._ip(place, "-br", "-4", "addr", "show", "dev", "lan0").split()[2].split("/")[0]

    def namespace(self, place: str) -> str:
        return f"lucidnode-{self._lab}-{place}"

    def cut(self, node: str) -> None:
        self._ip(SWITCH, "link", "set", f"port-{node}", "down")

    def heal(self, node: str) -> None:
        self._ip(SWITCH, "link", "set", f"port-{node}", "up")

    def holds(self, pid: int) -> bool:
        try:
            here = Path(f"/proc/{pid}/ns/net").stat()
        except OSError:
            return False
        return any((here.st_dev, here.st_ino) == self._identity(each) for each in self._existing())

    def exists(self) -> bool:
        return bool(self._existing())

    def destroy(self) -> None:
        for handle in self._existing():
            run(["ip", "netns", "del", handle.name])

    # -- parts -------------------------------------------------------------------------------

    def _plug_in(self, node: str, vlan: int, host: int) -> None:
        port = f"port-{node}"
        peer = ["type", "veth", "peer", "name", "lan0", "netns", self.namespace(node)]
        self._ip(SWITCH, "link", "add", port, *peer)
        self._ip(SWITCH, "link", "set", port, "master", f"br{vlan}", "up")
        self._ip(node, "addr", "add", f"{_LAN}.{vlan}.{host}/24", "dev", "lan0")
        self._ip(node, "link", "set", "lan0", "up")
        self._ip(node, "route", "add", "default", "via", f"{_LAN}.{vlan}.1")

    def _lay_wan(self) -> None:
        for place, own, other in [
            (SWITCH, _OFFICE_END, _CLOUD_END),
            (CLOUD, _CLOUD_END, _OFFICE_END),
        ]:
            self._ip(place, "tuntap", "add", "dev", WAN, "mode", "tun", "vnet_hdr")
            self._ip(place, "addr", "add", own, "peer", other, "dev", WAN)
            self._ip(place, "link", "set", WAN, "up")
            if self._wan_mbit is not None:
                # A bucket of 10 ms carries the timer's grain; a queue of 50 ms is what a decent
                # router has. tbf cuts 64 KiB segments itself.
                burst = max(16_000, round(self._wan_mbit * 1e6 / 8 * 0.010))
                rate = ["rate", f"{self._wan_mbit}mbit", "burst", str(burst), "latency", "50ms"]
                shaper = ["qdisc", "add", "dev", WAN, "root", "tbf", *rate]
                run(["tc", "-n", self.namespace(place), *shaper])
        self._ip(CLOUD, "route", "add", f"{_LAN}.0.0/16", "via", _OFFICE_END, "dev", WAN)

    def _ip(self, place: str, *words: str) -> str:
        return run(["ip", "-n", self.namespace(place), *words])

    def _write(self, place: str, setting: str, value: str) -> None:
        # /proc/sys/net is the view of the thread that opens it.
        self.within(place, lambda: Path("/proc/sys", setting).write_text(value))

    def _handle(self, place: str) -> Path:
        return _HANDLES / self.namespace(place)

    def _existing(self) -> list[Path]:
        return sorted(_HANDLES.glob(f"lucidnode-{self._lab}-*"))

    @staticmethod
    def _identity(handle: Path) -> tuple[int, int]:
        known = handle.stat()
        return known.st_dev, known.st_ino


def enter(handle: Path) -> None:
    """Move the calling thread into the network namespace at *handle*. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    with handle.open("rb") as namespace:
        if libc.setns(namespace.fileno(), _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(handle))
