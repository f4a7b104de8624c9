"""What a node announces of itself over mDNS, format 1. Pure.

A TXT record of five keys, all ASCII:

    v    "1"
    d    32 hex digits: the device id XOR the first 16 bytes of HMAC(lan key, "device" 0x00 instance)
    c    control port, decimal
    w    weight on the ring, decimal
    tag  32 hex digits: the first 16 bytes of HMAC(lan key, "advert" 0x00 instance 0x00 v d c w)

HMAC is HMAC-SHA256; the fields under `tag` are joined by 0x00. The instance name is random for
each start, so to one without the studio's LAN key every announcement looks new: neither studio nor
device can be followed from one network to the next. The tag keeps strangers' announcements from
costing more than this check; it proves nothing, as a member may lie and an outsider may repeat it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lucidnode.discovery.ring import MAX_WEIGHT

VERSION = "1"

_HEX32 = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"[1-9][0-9]{0,4}")
_KEYS = frozenset({b"v", b"d", b"c", b"w", b"tag"})
_LONGEST = 32


@dataclass(frozen=True, slots=True)
class Advert:
    """An announcement: a device id of 32 hex digits, where its control channel is, its weight."""

    device: str
    control_port: int
    weight: int


def encode(advert: Advert, lan_key: bytes, instance: str) -> dict[str, str]:
    """Return the TXT record of *advert* under the instance name *instance*."""
    fields = {
        "v": VERSION,
        "d": _blinded(advert.device, lan_key, instance),
        "c": str(advert.control_port),
        "w": str(advert.weight),
    }
    return {**fields, "tag": _tag(fields, lan_key, instance)}


def parse(txt: Mapping[bytes, bytes | None], lan_key: bytes, instance: str) -> Advert | None:
    """Return what a TXT record announces, or None if it is foreign, of another version or broken."""
    if txt.keys() != _KEYS:
        return None
    fields: dict[str, str] = {}
    for key, value in txt.items():
        if value is None or len(value) > _LONGEST or not value.isascii():
            return None
        fields[key.decode()] = value.decode()
    tag = fields.pop("tag")
    if not hmac.compare_digest(tag, _tag(fields, lan_key, instance)):
        return None
    if (
        fields["v"] != VERSION
        or not _HEX32.fullmatch(fields["d"])
        or not _NUMBER.fullmatch(fields["c"])
        or not _NUMBER.fullmatch(fields["w"])
    ):
        return None
    port, weight = int(fields["c"]), int(fields["w"])
    if port > 65535 or weight > MAX_WEIGHT:
        return None
    return Advert(_blinded(fields["d"], lan_key, instance), port, weight)


def _tag(fields: Mapping[str, str], lan_key: bytes, instance: str) -> str:
    parts = ["advert", instance, *(fields[key] for key in ("v", "d", "c", "w"))]
    return hmac.digest(lan_key, "\0".join(parts).encode(), "sha256")[:16].hex()


def _blinded(device: str, lan_key: bytes, instance: str) -> str:
    """Blind a device id, or undo it: XOR with the same mask is its own inverse."""
    mask = hmac.digest(lan_key, b"device\0" + instance.encode(), "sha256")[:16]
    return bytes(a ^ b for a, b in zip(bytes.fromhex(device), mask, strict=True)).hex()
