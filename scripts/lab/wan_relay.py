"""The long way to the cloud: carries packets between two TUN devices, each after a delay.

    python -m lab.wan_relay SWITCH_NAMESPACE CLOUD_NAMESPACE DEVICE DELAY_MS

DELAY_MS is the delay of one direction. Packets keep their order. Both devices run with virtio
headers and segmentation offload, so what crosses is up to 64 KiB at a time and one relay in
Python carries gigabits; TCP on both sides sees the latency, not the relay.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque
from pathlib import Path

from lab.namespaces import enter

# linux/if_tun.h
_TUNSETIFF = 0x4004_54CA
_TUNSETOFFLOAD = 0x4004_54D0
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_CHECKSUM_AND_TSO = 0x01 | 0x02 | 0x04

_LARGEST = 65_535 + 64
"""Bytes of one read: an IP packet and its virtio header."""

_BURST = 64
"""Packets taken from one side before the other gets its turn."""

_IN_FLIGHT = 64 * 1024 * 1024
"""Bytes under way in one direction; more is dropped, as on a real line. 5 Gbit/s for 100 ms."""


class Lane:
    """One direction: packets read from *source* reach *sink* after *delay* seconds."""

    def __init__(self, source: int, sink: int, delay: float) -> None:
        self.source = source
        self._sink = sink
        self._delay = delay
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._bytes = 0

    def take_in(self, now: float) -> None:
        """Read what waits at the source."""
        for _ in range(_BURST):
            try:
                packet = os.read(self.source, _LARGEST)
            except BlockingIOError:
                return
            if self._bytes + len(packet) <= _IN_FLIGHT:
                self._under_way.append((now + self._delay, packet))
                self._bytes += len(packet)

    def hand_out(self, now: float) -> float | None:
        """Deliver what is due; returns the seconds until the next packet is, or None."""
        while self._under_way:
            due, packet = self._under_way[0]
            if due > now:
                return due - now
            self._under_way.popleft()
            self._bytes -= len(packet)
            try:
                os.write(self._sink, packet)
            except OSError:
                # The far side is full, down, or calls the packet malformed. Lines lose packets.
                continue
        return None


def attach(namespace: Path, device: str) -> int:
    """Return the open TUN *device* of *namespace*. Leaves this thread in that namespace."""
    enter(namespace)
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    flags = _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", device.encode(), flags))
    fcntl.ioctl(tun, _TUNSETOFFLOAD, _CHECKSUM_AND_TSO)
    return tun


def relay(office: int, cloud: int, delay: float) -> None:
    """Carry packets both ways until a device goes away."""
    lanes = {office: Lane(office, cloud, delay), cloud: Lane(cloud, office, delay)}
    poll = select.epoll()
    for tun in lanes:
        poll.register(tun, select.EPOLLIN)
    wait: float | None = None
    while True:
        ready = poll.poll(wait)
        now = time.monotonic()
        for tun, _ in ready:
            lanes[tun].take_in(now)
        dues = [due for lane in lanes.values() if (due := lane.hand_out(now)) is not None]
        wait = min(dues, default=None)


def main(office: str, cloud: str, device: str, delay_ms: str) -> None:
    """Run as a process of its own."""
    ends = [attach(Path("/run/netns", namespace), device) for namespace in (office, cloud)]
    relay(ends[0], ends[1], float(delay_ms) / 1000)


if __name__ == "__main__":
    main(*sys.argv[1:])
