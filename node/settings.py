"""What people may set on a workstation: every setting by its name, with what it means.

Each is a field of `NodeConfig`; the default there is the default here. People write values as in
`50GiB`, `on`, `192.168.7.20:7450, nas:7450`; `node.json` holds them as numbers and lists.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

import msgspec

from lucidnode.discovery.candidate import parse_peer
from lucidnode.discovery.errors import BadAddress
from lucidnode.node.bucket.pace import DAY_MINUTES, RateLimit
from lucidnode.node.cache.room import WORKING_ROOM_BYTES
from lucidnode.node.client.errors import Malformed
from lucidnode.node.config import NodeConfig

LEAST_CACHE_BYTES: Final = WORKING_ROOM_BYTES
"""Holds what a mount works with, and little else."""

_UNITS: Final = {
    "": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate(("", "k", "M", "G", "T"))},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)},
}
_SIZE = re.compile(r"(?P<number>\d{1,15}(\.\d{1,6})?) ?(?P<unit>[A-Za-z]{0,3})", re.ASCII)
_RATE = re.compile(
    r"(?P<number>\d{1,9}(\.\d{1,6})?) ?(?P<unit>[A-Za-z]{1,4})/s"
    r"( (?P<begins>\d{1,2}:\d\d) ?(-|–|to) ?(?P<ends>\d{1,2}:\d\d))?",  # noqa: RUF001  # people write it
    re.ASCII,
)
_BITS: Final = {f"{prefix}bit": 1000**power for power, prefix in enumerate(("", "k", "M", "G"))}
_LEAST_RATE = 250_000
"""2 Mbit/s. A block takes four seconds with it, and a program that reads waits for 45 at most."""
_MOST_BYTES = 2**60
_MOST_PEERS = 256
_LEAST_REQUESTS = 100
"""With fewer a round lists nothing and deletes nothing."""
_MOST_DOLLARS = 1000
_SWITCH: Final = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}

SETTINGS_CHANGED: Final = "settings/changed"
"""What a daemon is told then (node/orders.py)."""

AT_ONCE: Final = "at once"
NEXT_MOUNT: Final = "for projects mounted from now on"
NEXT_START: Final = "when the daemon starts next"


class BadSetting(Malformed):
    """There is no such setting, or it cannot have that value."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. *read* turns what a person wrote into its value, or raises BadSetting."""

    name: str
    field: str
    """Of `NodeConfig`."""
    meaning: str
    takes: str
    """What may be written, in words."""
    effect: str
    """When a change counts: AT_ONCE, NEXT_MOUNT or NEXT_START."""
    read: Callable[[str], Any]
    show: Callable[[Any], str]

    @property
    def default(self) -> Any:
        """Return its value where nothing was set."""
        return _DEFAULTS[self.field]

    def of(self, config: NodeConfig) -> Any:
        """Return its value in *config*."""
        return getattr(config, self.field)

    def changed(self, config: NodeConfig, value: Any) -> NodeConfig:
        """Return *config* with *value* for this setting."""
        return msgspec.structs.replace(config, **{self.field: value})

    def is_set_in(self, config: NodeConfig) -> bool:
        """Tell whether it was set on this workstation."""
        return self.field in config.own or self.of(config) != self.default

    def set_in(self, config: NodeConfig, value: Any) -> NodeConfig:
        """Return *config* in which it was set to *value* on this workstation, whatever others set."""
        others = [field for field in config.own if field != self.field]
        own = [*others, self.field] if value == self.default else others
        return msgspec.structs.replace(self.changed(config, value), own=own)

    def unset_in(self, config: NodeConfig) -> NodeConfig:
        """Return *config* in which it was not set on this workstation."""
        others = [field for field in config.own if field != self.field]
        return msgspec.structs.replace(self.changed(config, self.default), own=others)


def setting(name: str) -> Setting:
    """Return the setting called *name*. Raises BadSetting, with what may have been meant."""
    found = SETTINGS.get(name)
    if found is None:
        meant = get_close_matches(name, SETTINGS, n=1)
        hint = f"did you mean {meant[0]}?" if meant else "`lucidnode config list` names them all"
        raise BadSetting(f"there is no setting {name}: {hint}")
    return found


def read_size(text: str) -> int:
    """Return the bytes of a size as people write it: `50GiB`, `1.5 TB`, `1073741824`."""
    found = _SIZE.fullmatch(text.strip())
    unit = None if found is None else _UNITS.get(_as_written(found["unit"]))
    if found is None or unit is None:
        raise BadSetting(f"{text!r} is no size: write it as 50GiB or 50GB")
    size = int(float(found["number"]) * unit)
    if size > _MOST_BYTES:
        raise BadSetting(f"{text!r} is more than any disk holds")
    return size


def show_size(size: int) -> str:
    """Return *size* in the largest unit of which it is a whole number, as `read_size` reads it."""
    whole = [unit for unit, count in _UNITS.items() if unit and size and not size % count]
    unit = max(whole, key=_UNITS.__getitem__, default="B")
    return f"{size // _UNITS[unit]} {unit}"


def _as_written(unit: str) -> str:
    """Return *unit* in the letters of `_UNITS`: people write gb, G and GIB for two things."""
    folded = {known.lower(): known for known in _UNITS}
    short = unit.lower()
    return folded.get(short, folded.get(f"{short}ib", unit) if len(short) == 1 else unit)


def read_rate(text: str) -> RateLimit:
    """Return the rate that people write as `20MB/s`, `100 Mbit/s` or `20MB/s 08:00-19:00`."""
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise BadSetting(
            f"{text!r} is no rate: write it as 20MB/s, 100Mbit/s or 20MB/s 08:00-19:00"
        )
    bits = {known.lower(): count for known, count in _BITS.items()}.get(found["unit"].lower())
    if bits is None:
        rate = read_size(f"{found['number']} {found['unit']}")
    else:
        rate = int(float(found["number"]) * bits) // 8
    if rate < _LEAST_RATE:
        raise BadSetting(f"{text!r} is too little: at least {show_size(_LEAST_RATE)}/s")
    if found["begins"] is None:
        return RateLimit(rate)
    begins, ends = _minute(found["begins"]), _minute(found["ends"])
    if begins == ends:
        raise BadSetting(f"{text!r} has no end: leave the hours out if it holds always")
    return RateLimit(rate, begins, ends)


def show_rate(limit: RateLimit) -> str:
    """Return *limit* as `read_rate` reads it."""
    rate = f"{show_size(limit.rate)}/s"
    if limit.begins == limit.ends:
        return rate
    begins, ends = (f"{minute // 60:02}:{minute % 60:02}" for minute in (limit.begins, limit.ends))
    return f"{rate} {begins}-{ends}"


def _minute(text: str) -> int:
    hour, minute = map(int, text.split(":"))
    if minute > 59 or hour * 60 + minute > DAY_MINUTES:
        raise BadSetting(f"{text} is no time of the day")
    return (hour * 60 + minute) % DAY_MINUTES


def _at_least(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        size = read_size(text)
        if size < least:
            raise BadSetting(f"{text!r} is too little: at least {show_size(least)}")
        return size

    return read


def _or_none(word: str, read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text.strip().lower() == word else read(text)


def _show_or(word: str, show: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: word if value is None else show(value)


def _switch(text: str) -> bool:
    value = _SWITCH.get(text.strip().lower())
    if value is None:
        raise BadSetting(f"{text!r} is neither on nor off")
    return value


def _port(text: str) -> int:
    digits = text.strip()
    if not re.fullmatch(r"[0-9]{1,5}", digits) or not 1 <= int(digits) <= 65535:
        raise BadSetting(f"{text!r} is no port: 1 to 65535")
    return int(digits)


def _any_or_port(text: str) -> int:
    return 0 if text.strip().lower() == "any" else _port(text)


def _price(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _MOST_DOLLARS:
        raise BadSetting(f"{text!r} is no price: dollars for a gigabyte, such as 0.09")
    return value


def _requests(text: str) -> int:
    digits = text.strip().replace(",", "")
    if digits.lower() == "off":
        return 0
    if not re.fullmatch(r"[0-9]{1,9}", digits) or int(digits) < _LEAST_REQUESTS:
        raise BadSetting(f"{text!r} is no number of requests: at least {_LEAST_REQUESTS}, or off")
    return int(digits)


def _peers(text: str) -> list[str]:
    peers = list(dict.fromkeys(part for part in re.split(r"[,\s]+", text) if part))
    if peers == ["none"]:
        return []
    if len(peers) > _MOST_PEERS:
        raise BadSetting(f"too many addresses: at most {_MOST_PEERS}")
    for peer in peers:
        try:
            parse_peer(peer)
        except BadAddress as error:
            raise BadSetting(str(error)) from error
    return peers


_A_SIZE = "a size, such as 50GiB or 500GB"
_A_RATE = "a rate, such as 20MB/s or 100Mbit/s, with hours if it is not for all day (20MB/s 08:00-19:00), or unlimited"

SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        found.name: found
        for found in (
            Setting(
                "cache.limit",
                "cache_limit",
                "The most that the block cache holds; on a disk with less room it holds less. The "
                "share of the office's blocks that this workstation keeps follows at the next start.",
                f"{_A_SIZE}; at least {show_size(LEAST_CACHE_BYTES)}",
                AT_ONCE,
                _at_least(LEAST_CACHE_BYTES),
                show_size,
            ),
            Setting(
                "cache.leave-free",
                "min_free",
                "What the cache leaves free on its disk for others: it shrinks, and then writing "
                "stops, rather than leave less.",
                f"{_A_SIZE}, or auto: by the size of the disk",
                AT_ONCE,
                _or_none("auto", read_size),
                _show_or("auto", show_size),
            ),
            Setting(
                "uploads.room",
                "staging_limit",
                "How much may wait on this disk for its upload before programs that write are told "
                "that the disk is full.",
                f"{_A_SIZE}; at least {show_size(LEAST_CACHE_BYTES)}",
                NEXT_MOUNT,
                _at_least(LEAST_CACHE_BYTES),
                show_size,
            ),
            Setting(
                "uploads.rate",
                "upload_limit",
                "What blocks on their way to the bucket may take of the line. Small saves go first, and "
                "what is not a block never waits.",
                _A_RATE,
                AT_ONCE,
                _or_none("unlimited", read_rate),
                _show_or("unlimited", show_rate),
            ),
            Setting(
                "downloads.rate",
                "download_limit",
                "What blocks from the bucket may take of the line; those from the office are not held back. "
                "Programs that read wait for it as well.",
                _A_RATE,
                AT_ONCE,
                _or_none("unlimited", read_rate),
                _show_or("unlimited", show_rate),
            ),
            Setting(
                "office.multicast",
                "mdns",
                "Whether this workstation announces itself on the LAN and looks for others there.",
                "on or off",
                NEXT_START,
                _switch,
                lambda value: "on" if value else "off",
            ),
            Setting(
                "office.rendezvous",
                "rendezvous",
                "Whether workstations of one place find each other through the bucket as well, across "
                "VLANs for instance: each leaves its addresses there, sealed for the studio.",
                "on or off",
                NEXT_START,
                _switch,
                lambda value: "on" if value else "off",
            ),
            Setting(
                "office.peers",
                "peers",
                "Workstations that multicast cannot reach, in another VLAN for instance.",
                "addresses HOST:PORT with commas between them, or none",
                AT_ONCE,
                _peers,
                lambda value: ", ".join(value) or "none",
            ),
            Setting(
                "ports.control",
                "control_port",
                "The port on which other workstations reach this one; a firewall must let it in.",
                "a port, or any",
                NEXT_START,
                _any_or_port,
                lambda value: str(value) if value else "any",
            ),
            Setting(
                "ports.bodies",
                "body_port",
                "The port over which other workstations fetch blocks; a firewall must let it in.",
                "a port, or any",
                NEXT_START,
                _any_or_port,
                lambda value: str(value) if value else "any",
            ),
            Setting(
                "ports.dashboard",
                "dashboard_port",
                "The port of the dashboard, which listens on this workstation alone.",
                "a port, or auto: the usual one, or another if a program has that",
                NEXT_START,
                _or_none("auto", _port),
                _show_or("auto", str),
            ),
            Setting(
                "collection.requests-per-day",
                "collection_requests",
                "How many requests a day this workstation makes for a project to free what nothing in "
                "it needs any more, if it is its turn: lists, deletes and writes; ten reads count as one.",
                f"a number, {_LEAST_REQUESTS} at least, or off: it is left to others",
                NEXT_MOUNT,
                _requests,
                lambda value: str(value) if value else "off",
            ),
            Setting(
                "savings.price-per-gb",
                "price_per_gb",
                "What a gigabyte (10^9 bytes) out of the bucket costs, in dollars, for the savings.",
                "a price, such as 0.09",
                AT_ONCE,
                _price,
                str,
            ),
        )
    }
)

_DEFAULTS: Final[Mapping[str, Any]] = {
    field.name: field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    for field in msgspec.structs.fields(NodeConfig)
    if not field.required
}
