"""What tcpdump saw of a network: the bytes of every TCP stream, put together again."""

from __future__ import annotations

import contextlib
import re
import signal
import struct
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_GLOBAL_HEADER = struct.Struct("<IHHiIII")
_RECORD_HEADER = struct.Struct("<IIII")
_ETHERNET = 1
_MAGIC = 0xA1B2C3D4
_TCP = 6


class Stream(NamedTuple):
    """One direction of one TCP connection."""

    source: str
    source_port: int
    target: str
    target_port: int


@dataclass(frozen=True, slots=True)
class Capture:
    """A whole capture file, and the streams in it: a text cut by packet borders is whole there."""

    raw: bytes
    streams: dict[Stream, bytes]


@contextlib.contextmanager
def capturing(inside: Sequence[str], interface: str, file: Path) -> Iterator[None]:
    """Write what passes *interface* into *file*; *inside* is the prefix of commands there.

    Raises AssertionError when the kernel could not keep up and dropped packets.
    """
    argv = [*inside, "tcpdump", "-Z", "root", "-i", interface, "-B", "65536", "-w", str(file)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as tcpdump:
        try:
            assert tcpdump.stderr is not None
            said = tcpdump.stderr.readline()
            while said and "listening on" not in said:
                said = tcpdump.stderr.readline()
            assert said, "tcpdump did not start"
            yield
        finally:
            tcpdump.send_signal(signal.SIGINT)
            _, summary = tcpdump.communicate(timeout=60)
    dropped = re.search(r"(\d+) packets dropped by kernel", summary)
    assert dropped is not None, summary
    assert dropped[1] == "0", summary


def read_capture(file: Path) -> Capture:
    """Read a capture file of Ethernet frames, as pcap-savefile(5) describes it."""
    raw = file.read_bytes()
    magic, *_, link = _GLOBAL_HEADER.unpack_from(raw)
    assert (magic, link) == (_MAGIC, _ETHERNET)
    segments: dict[Stream, list[tuple[int, bytes]]] = defaultdict(list)
    at = _GLOBAL_HEADER.size
    while at < len(raw):
        _, _, kept, length = _RECORD_HEADER.unpack_from(raw, at)
        assert kept == length, "a packet was cut short"
        at += _RECORD_HEADER.size
        found = _segment(raw[at : at + kept])
        if found is not None:
            stream, seq, payload = found
            segments[stream].append((seq, payload))
        at += kept
    return Capture(raw, {stream: _joined(parts) for stream, parts in segments.items()})


def _segment(frame: bytes) -> tuple[Stream, int, bytes] | None:
    """Return stream, sequence number and payload of a TCP packet over IPv4, else None."""
    if frame[12:14] != b"\x08\x00" or frame[23] != _TCP:
        return None
    packet = frame[14:]
    packet = packet[: int.from_bytes(packet[2:4])]
    segment = packet[4 * (packet[0] & 0x0F) :]
    source_port, target_port, seq = struct.unpack_from(">HHI", segment)
    payload = segment[4 * (segment[12] >> 4) :]
    stream = Stream(_dotted(packet[12:16]), source_port, _dotted(packet[16:20]), target_port)
    return (stream, seq, payload) if payload else None


def _joined(parts: list[tuple[int, bytes]]) -> bytes:
    """Put *parts* into the order of their sequence numbers; what was sent twice counts once."""
    first = parts[0][0]
    # Distances from the first one seen: the numbers wrap around.
    placed = sorted(((seq - first + 2**31) % 2**32 - 2**31, payload) for seq, payload in parts)
    joined = bytearray()
    end = placed[0][0]
    for start, payload in placed:
        new = payload[max(0, end - start) :]
        joined += new
        end = max(end, start + len(payload))
    return bytes(joined)


def _dotted(address: bytes) -> str:
    return ".".join(map(str, address))
