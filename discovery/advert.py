"""What a node announces of itself over mDNS, format 2. Pure.

A TXT record of six keys, all ASCII:

    v    "2"
    d    32 hex digits: the device id XOR the first 16 bytes of HMAC(lan key, "device" 0x00 instance)
    c    control port, decimal
    w    weight on the ring, decimal
    a    for each address announced, at most 14, 16 hex digits: the first 8 bytes of
         HMAC(lan key, "address" 0x00 instance 0x00 address), the address as Python writes it, no zone
    tag  32 hex digits: the first 16 bytes of HMAC(lan key, "advert" 0x00 instance 0x00 v d c w a)

HMAC is HMAC-SHA256; the fields under `tag` are joined by 0x00. The instance name is random for
each start, so to one without the studio's LAN key every announcement looks new: neither studio nor
device can be followed from one network to the next. The tag keeps strangers' announcements from
costing more than this check; it proves nothing, as a member may lie and an outsider may repeat it.
`a` keeps a stranger from sending us elsewhere by an address record of his own under a name that he
overheard. (Format 1 had no `a`; nodes of either ignore the other's announcements.)
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lucidnode.discovery.ring import MAX_WEIGHT

VERSION = "2"

MAX_HOSTS = 14
"""Addresses announced: a TXT value with its key is at most 255 bytes."""

_HEX32 = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"[1-9][0-9]{0,4}")
_TAGS = re.compile(r"([0-9a-f]{16})+")
_SIGNED = ("v", "d", "c", "w", "a")
_KEYS = frozenset({b"v", b"d", b"c", b"w", b"a", b"tag"})
_LONGEST = {b"a": 16 * MAX_HOSTS}


@dataclass(frozen=True, slots=True)
class Advert:
    """An announcement: a device id of 32 hex digits, where its control channel is, its weight."""

    device: str
    control_port: int
    weight: int


def encode(advert: Advert, lan_key: bytes, instance: str, hosts: Sequence[str]) -> dict[str, str]:
    """Return the TXT record of *advert*, reachable at *hosts*, under the instance name *instance*.

    Of *hosts*, at least one, the first MAX_HOSTS are vouched for.
    """
    fields = {
        "v": VERSION,
        "d": _blinded(advert.device, lan_key, instance),
        "c": str(advert.control_port),
        "w": str(advert.weight),
        "a": "".join(_address_tag(host, lan_key, instance) for host in hosts[:MAX_HOSTS]),
    }
    return {**fields, "tag": _tag(fields, lan_key, instance)}


def parse(txt: Mapping[bytes, bytes | None], lan_key: bytes, instance: str) -> Advert | None:
    """Return what a TXT record announces, or None if it is foreign, of another version or broken."""
    if txt.keys() != _KEYS:
        return None
    fields: dict[str, str] = {}
    for key, value in txt.items():
        if value is None or len(value) > _LONGEST.get(key, 32) or not value.isascii():
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
        or not _TAGS.fullmatch(fields["a"])
    ):
        return None
    port, weight = int(fields["c"]), int(fields["w"])
    if port > 65535 or weight > MAX_WEIGHT:
        return None
    return Advert(_blinded(fields["d"], lan_key, instance), port, weight)


def is_of_another_release(txt: Mapping[bytes, bytes | None]) -> bool:
    """Tell whether *txt* is in the format of an earlier or a later release: of which studio does not show."""
    version = txt.get(b"v") or b""
    return (
        _NUMBER.fullmatch(version.decode("ascii", "replace")) is not None
        and version != VERSION.encode()
    )


def names(txt: Mapping[bytes, bytes | None], host: str, lan_key: bytes, instance: str) -> bool:
    """Return whether an announcement that `parse` took was made for the address *host*."""
    tags = (txt[b"a"] or b"").decode()
    wanted = _address_tag(host, lan_key, instance)
    return wanted in {tags[at : at + 16] for at in range(0, len(tags), 16)}


def _address_tag(host: str, lan_key: bytes, instance: str) -> str:
    address = host.partition("%")[0]  # each end has a zone of its own
    return hmac.digest(lan_key, f"address\0{instance}\0{address}".encode(), "sha256")[:8].hex()


def _tag(fields: Mapping[str, str], lan_key: bytes, instance: str) -> str:
    parts = ["advert", instance, *(fields[key] for key in _SIGNED)]
    return hmac.digest(lan_key, "\0".join(parts).encode(), "sha256")[:16].hex()


def _blinded(device: str, lan_key: bytes, instance: str) -> str:
    """Blind a device id, or undo it: XOR with the same mask is its own inverse."""
    mask = hmac.digest(lan_key, b"device\0" + instance.encode(), "sha256")[:16]
    return bytes(a ^ b for a, b in zip(bytes.fromhex(device), mask, strict=True)).hex()
