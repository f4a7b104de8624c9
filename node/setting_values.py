"""How people write the values of settings, and how they are shown: sizes, rates, ports, addresses."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from lucidnode.discovery.candidate import parse_peer
from lucidnode.discovery.errors import BadAddress
from lucidnode.node.bucket.pace import DAY_MINUTES, RateLimit
from lucidnode.node.client.errors import Malformed, Refused
from lucidnode.node.client.webhooks import MAX_WEBHOOKS
from lucidnode.node.config import Encryption, OnSuspend, Part
from lucidnode.node.prices import PROVIDERS
from lucidnode.node.webhooks.book import check_url

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
_MOST_INTERFACES = 32
_INTERFACE = re.compile(r"[^\s/]{1,15}")
"""As the kernel has them."""
_PROGRAM = re.compile(r"[^\s/,]{1,255}")
"""As a file is called, or a pattern of that."""
_MOST_PROGRAMS = 64
_DURATION = re.compile(r"(?P<number>[0-9]{1,6}) ?(?P<unit>min|h|d)", re.ASCII)
_UNIT_S: Final = {"d": 24 * 3600, "h": 3600, "min": 60}
_MOST_S = 365 * 24 * 3600
LEAST_REQUESTS = 100
"""With fewer a round lists nothing and deletes nothing."""
_MOST_DOLLARS = 1000
_SWITCH: Final = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


class BadSetting(Malformed):
    """There is no such setting, or it cannot have that value."""


@dataclass(frozen=True, slots=True)
class Notation:
    """How people write a value. *read* raises BadSetting; *show* returns what *read* reads."""

    read: Callable[[str], Any]
    show: Callable[[Any], str]

    def or_none(self, word: str) -> Notation:
        """Return this one that also has *word*, for None."""
        return Notation(
            lambda text: None if text.strip().lower() == word else self.read(text),
            lambda value: word if value is None else self.show(value),
        )


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


def read_programs(text: str) -> list[str]:
    """Return the names of programs, or patterns, with commas between them; `none` for none."""
    names = [name for name in (part.strip() for part in text.split(",")) if name]
    if [name.lower() for name in names] == ["none"]:
        return []
    for name in names:
        if not _PROGRAM.fullmatch(name):
            raise BadSetting(
                f"{name!r} is no name of a program: write it as in `ps -e`, without a path"
            )
    if not names or len(names) > _MOST_PROGRAMS:
        raise BadSetting(f"1 to {_MOST_PROGRAMS} names, or none")
    return list(dict.fromkeys(names))


def read_directory(text: str) -> str:
    """Return an absolute path."""
    path = Path(text.strip()).expanduser()
    if not text.strip() or "\0" in text:
        raise BadSetting(f"{text!r} is no directory")
    return str(path.absolute())


def read_receivers(text: str) -> list[str]:
    """Return URLs of webhooks; none for `none`."""
    urls = _listed(text)
    if urls == ["none"]:
        return []
    if not urls or len(urls) > MAX_WEBHOOKS:
        raise BadSetting(f"name one to {MAX_WEBHOOKS} addresses, or say none")
    for url in urls:
        try:
            check_url(url, paths=False)
        except Refused as error:
            raise BadSetting(str(error)) from error
    return urls


def read_interfaces(text: str) -> list[str]:
    """Return names of network interfaces; none for all."""
    names = _listed(text)
    if names == ["all"]:
        return []
    if not names or len(names) > _MOST_INTERFACES:
        raise BadSetting(f"name one to {_MOST_INTERFACES} interfaces, or say all")
    for name in names:
        if not _INTERFACE.fullmatch(name) or name == "all":
            raise BadSetting(f"{name!r} is no interface: `ip link` shows their names")
    return names


def read_switch(text: str) -> bool:
    """Return what `on`, `off` and their like mean."""
    value = _SWITCH.get(text.strip().lower())
    if value is None:
        raise BadSetting(f"{text!r} is neither on nor off")
    return value


def read_port(text: str) -> int:
    """Return a port."""
    digits = text.strip()
    if not re.fullmatch(r"[0-9]{1,5}", digits) or not 1 <= int(digits) <= 65535:
        raise BadSetting(f"{text!r} is no port: 1 to 65535")
    return int(digits)


def read_port_for_others(text: str) -> int:
    """Return a port that an ordinary user may listen on."""
    port = read_port(text)
    if port < 1024:
        raise BadSetting(f"{text!r} is a port for the system alone: 1024 or more")
    return port


def read_usual_or_port(text: str) -> int:
    """Return a port, 0 for `auto`; earlier releases called that `any`."""
    return 0 if text.strip().lower() in {"auto", "any"} else read_port(text)


def read_price(text: str) -> float:
    """Return dollars."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _MOST_DOLLARS:
        raise BadSetting(f"{text!r} is no price: dollars for a gigabyte, such as 0.09")
    return value


def read_duration(text: str) -> int:
    """Return the seconds of a time as people write it: `30min`, `8h`, `2d`."""
    found = _DURATION.fullmatch(text.strip().lower())
    length_s = 0 if found is None else int(found["number"]) * _UNIT_S[found["unit"]]
    if not 0 < length_s <= _MOST_S:
        raise BadSetting(f"{text!r} is no time: write it as 30min, 8h or 2d")
    return length_s


def show_duration(length_s: int) -> str:
    """Return *length_s*, seconds, in the largest unit of which it is a whole number."""
    unit = next((unit for unit, one_s in _UNIT_S.items() if not length_s % one_s), "min")
    return f"{length_s // _UNIT_S[unit]} {unit}"


def read_requests(text: str) -> int:
    """Return how many requests a day; 0 for none."""
    digits = text.strip().replace(",", "")
    if digits.lower() == "off":
        return 0
    if not re.fullmatch(r"[0-9]{1,9}", digits) or int(digits) < LEAST_REQUESTS:
        raise BadSetting(f"{text!r} is no number of requests: at least {LEAST_REQUESTS}, or off")
    return int(digits)


def read_peers(text: str) -> list[str]:
    """Return control addresses; none for `none`."""
    peers = _listed(text)
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


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(part for part in re.split(r"[,\s]+", text) if part))


def words(*allowed: str) -> Notation:
    """Return the notation of a value that is one of some words."""

    def read(text: str) -> str:
        word = text.strip().lower()
        if word not in allowed:
            raise BadSetting(f"{text!r} is none of {', '.join(allowed)}")
        return word

    return Notation(read, str)


def names(read: Callable[[str], list[str]], word: str) -> Notation:
    """Return the notation of lists that *read* reads, as *word* if they are empty."""
    return Notation(read, lambda value: ", ".join(value) or word)


def at_least(least: int) -> Notation:
    """Return the notation of sizes that are *least* bytes or more."""

    def read(text: str) -> int:
        size = read_size(text)
        if size < least:
            raise BadSetting(f"{text!r} is too little: at least {show_size(least)}")
        return size

    return Notation(read, show_size)


SIZE: Final = Notation(read_size, show_size)
RATE: Final = Notation(read_rate, show_rate).or_none("unlimited")
SWITCH: Final = Notation(read_switch, lambda value: "on" if value else "off")
DURATION: Final = Notation(read_duration, show_duration)
DIRECTORY: Final = Notation(read_directory, str)
PORT: Final = Notation(read_port, str)
PORT_FOR_OTHERS: Final = Notation(read_port_for_others, str)
USUAL_OR_PORT: Final = Notation(read_usual_or_port, lambda value: str(value) if value else "auto")
PRICE: Final = Notation(read_price, str).or_none("listed")
REQUESTS: Final = Notation(read_requests, lambda value: str(value) if value else "off")
PART: Final = words(*get_args(Part))
ENCRYPTION: Final = words(*get_args(Encryption))
ON_SUSPEND: Final = words(*get_args(OnSuspend))
PROVIDER: Final = words(*PROVIDERS)
PROGRAMS: Final = names(read_programs, "none")
INTERFACES: Final = names(read_interfaces, "all")
PEERS: Final = names(read_peers, "none")
RECEIVERS: Final = names(read_receivers, "none")
