"""Looks for what is wrong around a workstation, and says what mends it. Touches both planes.

What a running daemon knows to be amiss it says itself, in alerts; here is what only a look from
outside can tell: what the kernel offers, how fast disk and bucket are, and why no colleague is found.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from lucidnode.direct_bucket import opened_engine
from lucidnode.discovery.candidate import parse_peer
from lucidnode.discovery.interfaces import Interface, dialable, interfaces
from lucidnode.discovery.listening import Announced, announcements
from lucidnode.disk_trial import PIECE_BYTES, DiskTrial, try_disk
from lucidnode.fs.channel.device import built
from lucidnode.node.bucket.bucket import Engine
from lucidnode.node.bucket.keys import STUDIO
from lucidnode.node.bucket.refusal import difference
from lucidnode.node.cache.room import CacheRoom
from lucidnode.node.client.alerts import BUCKET
from lucidnode.node.client.disk_words import said_by
from lucidnode.node.client.errors import Locked, NodeError, Unavailable
from lucidnode.node.config import NodeConfig, cache_directory, lan_key_of

_SLOW_DISK_S = 1.0
"""For writing and syncing that much: a memory stick, or a disk that others keep busy."""

_ASKED = 3
_SLOW_BUCKET_S = 2.0

_SKEW_S = 60.0

_LISTEN_S = 4.0
_CONNECT_S = 2.0
_MOST_PLACES = 16

_ANSWERS = "look into `lucidnode log` here and there: another version, or no member of this studio"

Verdict = Literal["well", "note", "amiss"]


class Finding(msgspec.Struct, frozen=True):
    """What one look came to: a *note* is no fault, but something to know."""

    what: str
    verdict: Verdict
    found: str
    remedy: str = ""


async def examine(
    home: Path, config: NodeConfig, status: dict[str, Any] | None, peers: dict[str, Any] | None
) -> list[Finding]:
    """Return all findings on the workstation in *home*, what is most basic first.

    *status* and *peers* are what its daemon says, None if none runs.
    """
    async with asyncio.TaskGroup() as looks:
        # All at once: none waits for a disk that hangs, or for a bucket that is away.
        of_disk = looks.create_task(asyncio.to_thread(disk, cache_directory(home, config), config))
        of_bucket = looks.create_task(bucket(home, config))
        of_office = looks.create_task(office(home, config, status, peers))
    findings = [kernel(), channel(), daemon(status), of_disk.result()]
    findings += [*of_bucket.result(), *of_office.result()]
    told = {alert["topic"] for alert in status["alerts"]} if status else set()
    findings += [_of_alert(alert) for alert in (status["alerts"] if status else ())]
    # The daemon's own words know more than a look from outside.
    return [one for one in findings if not (one.what == BUCKET and BUCKET in told)]


def kernel() -> Finding:
    """Whether this user can mount at all."""
    device = Path("/dev/fuse")
    if not device.exists():
        return Finding(
            "FUSE",
            "amiss",
            "there is no /dev/fuse",
            "run `modprobe fuse` as root; a container needs --device /dev/fuse",
        )
    if not os.access(device, os.R_OK | os.W_OK):
        return Finding(
            "FUSE",
            "amiss",
            "this user may not open /dev/fuse",
            "have an administrator allow it (mode 0666 is usual)",
        )
    if os.geteuid() and shutil.which("fusermount3") is None:
        return Finding(
            "FUSE", "amiss", "fusermount3 is missing", "install the package fuse3 (Debian, Fedora)"
        )
    return Finding("FUSE", "well", "this user can mount")


def channel() -> Finding:
    """Whether reads can be answered without Python."""
    if built():
        return Finding(
            "kernel channel", "well", "compiled: cached reads do not pass through Python"
        )
    return Finding(
        "kernel channel",
        "note",
        "not compiled: everything works, cached reads are slower",
        "install a C compiler and install Lucidnode again, or use a wheel",
    )


def daemon(status: dict[str, Any] | None) -> Finding:
    """Whether the daemon runs."""
    if status is None:
        return Finding("daemon", "note", "none runs now", "`lucidnode mount` starts it")
    mounted = ", ".join(mount["mountpoint"] for mount in status["mounts"]) or "nothing"
    return Finding("daemon", "well", f"runs; mounted: {mounted}")


def disk(
    directory: Path, config: NodeConfig, trial: Callable[[Path], DiskTrial] = try_disk
) -> Finding:
    """Whether the cache's disk takes what is written, how fast, and what room it has. Blocking.

    For some seconds at most, also where the disk hangs.
    """
    what = f"cache in {directory}"
    try:
        tried = trial(directory)
    except TimeoutError as hanging:
        return Finding(
            what,
            "amiss",
            f"its disk hangs: {said_by(hanging)}",
            "look at that disk, or at the network that it is behind; if it stays away: `lucidnode umount` "
            "for each mount, `lucidnode exit`, and `lucidnode cache adopt DIRECTORY` on another",
        )
    except OSError as error:
        return Finding(
            what,
            "amiss",
            f"cannot be written: {said_by(error)}",
            "mount the disk so that this user can write there, or `lucidnode cache adopt` another",
        )
    size, seconds = tried.size, tried.seconds
    room = CacheRoom.of(config.cache_limit, config.min_free, size.size)
    free = f"{size.free / 10**9:.1f} GB free"
    if size.free <= room.left_alone:
        return Finding(
            what,
            "amiss",
            f"{free}, and {room.left_alone / 10**9:.1f} GB are left to others: writing stops",
            "make room there, or `lucidnode config set cache.leave-free` with less",
        )
    rate = f"{PIECE_BYTES / 10**6 / seconds:.0f} MB/s with a sync"
    if seconds > _SLOW_DISK_S:
        return Finding(
            what,
            "amiss",
            f"slow: {rate}; {free}",
            "see what else uses it, or move the cache to an SSD: `lucidnode cache adopt`",
        )
    return Finding(what, "well", f"{rate}; {free}")


async def bucket(home: Path, config: NodeConfig) -> list[Finding]:
    """Whether the store answers, how fast, and what it says of this machine's clock."""
    try:
        engine = await opened_engine(home, config)
        seconds = [await _asked_s(engine) for _ in range(_ASKED)]
    except Locked as error:
        return [Finding("bucket", "note", f"not asked: {error}")]
    except Unavailable as error:
        return [Finding("bucket", "amiss", error.cause or str(error), error.remedy)]
    except NodeError as error:
        return [Finding("bucket", "amiss", str(error))]
    median_s = statistics.median(seconds)
    found = f"{config.bucket_url} answers in {median_s * 1000:.0f} ms"
    if median_s > _SLOW_BUCKET_S:
        findings = [
            Finding(
                "bucket", "amiss", f"slow: {found}", "look at the uplink, and at the store's load"
            )
        ]
    else:
        findings = [Finding("bucket", "well", found)]
    skew_s = engine.skew_s
    if skew_s is not None:
        findings.append(clock(skew_s))
    return findings


async def _asked_s(engine: Engine) -> float:
    began = time.perf_counter()
    await engine.get(STUDIO)
    return time.perf_counter() - began


def clock(skew_s: float) -> Finding:
    """Judge a clock that is *skew_s* seconds behind the store's."""
    if abs(skew_s) <= _SKEW_S:
        return Finding("clock", "well", f"within {_SKEW_S:.0f} s of the store's")
    return Finding(
        "clock",
        "amiss",
        f"it is {difference(skew_s)}",
        "set it, and have it kept right (NTP): a store refuses from 15 minutes on",
    )


async def office(
    home: Path, config: NodeConfig, status: dict[str, Any] | None, peers: dict[str, Any] | None
) -> list[Finding]:
    """Why colleagues are not found, if they are not."""
    here = interfaces()
    if not here:
        return [
            Finding(
                "network",
                "amiss",
                "no network interface is up",
                "plug in the cable, or join the Wi-Fi",
            )
        ]
    linked = [one for one in (peers["peers"] if peers else ()) if one["state"] == "linked"]
    if linked:
        return [Finding("office", "well", f"connected with {len(linked)} other workstation(s)")]
    named = [await _named(config.peers)] if config.peers else []
    if not config.mdns:
        return named or [
            Finding(
                "office",
                "note",
                "not connected with anybody; multicast is switched off here",
                "`lucidnode config set office.multicast on`, or name workstations: "
                "`lucidnode config set office.peers HOST:PORT`",
            )
        ]
    try:
        heard = await announcements(lan_key_of(home, config), _LISTEN_S)
    except Locked as error:
        return [*named, Finding("office", "note", f"not listened for: {error}")]
    except OSError as error:
        return [
            *named,
            Finding(
                "office",
                "amiss",
                f"multicast does not work here: {error}",
                "look whether a firewall forbids UDP port 5353 on this machine",
            ),
        ]
    own = status["device"] if status else None
    others = {device: place for device, place in heard.places.items() if device != own}
    reached = await _reached(others.values(), here)
    return [*named, alone(own, heard, others, reached)]


async def _named(peers: Sequence[str]) -> Finding:
    """Why none of *peers*, HOST:PORT as they were set, is connected."""
    tried = {peer: parse_peer(peer) for peer in peers[:_MOST_PLACES]}
    async with asyncio.TaskGroup() as group:
        answers = {
            peer: group.create_task(_takes_connections(place.hosts[0], place.port))
            for peer, place in tried.items()
        }
    deaf = [peer for peer, task in answers.items() if not task.result()]
    if answering := [peer for peer in tried if peer not in deaf]:
        found = f"{answering[0]} answers, and is not connected"
        return Finding("named workstations", "amiss", found, _ANSWERS)
    return Finding(
        "named workstations",
        "amiss",
        f"{', '.join(deaf[:3])} of office.peers take no connection from here",
        "are they on, with a project mounted, and is that the port of `lucidnode config explain "
        "ports.control` there? If so, let it through at the firewall or router between",
    )


def alone(
    own: str | None,
    heard: Announced,
    others: dict[str, tuple[tuple[str, ...], int]],
    reached: Sequence[str],
) -> Finding:
    """Why a workstation that is *own* is connected with nobody, from what it *heard*.

    Of the *others* announced, those at the places *reached* take connections.
    """
    if others and not reached:
        places = ", ".join(
            f"{hosts[0]}:{port}" for hosts, port in list(others.values())[:3] if hosts
        )
        return Finding(
            "office",
            "amiss",
            f"{len(others)} other workstation(s) announce themselves ({places}) and take no connection",
            "let that TCP port in at the firewall of the other machine; on Wi-Fi switch client "
            "isolation off. `lucidnode config set ports.control` makes it a fixed one",
        )
    if others:
        return Finding(
            "office",
            "amiss",
            f"{reached[0]} answers, and is not connected",
            _ANSWERS,
        )
    if own is not None and own not in heard.places:
        return Finding(
            "office",
            "amiss",
            "not even our own announcement is heard: multicast is blocked on this machine",
            "let UDP port 5353 in and out at this machine's firewall",
        )
    if heard.foreign:
        return Finding(
            "office",
            "note",
            f"{heard.foreign} other workstation(s) announce themselves as another release of Lucidnode does",
            "if they are of this studio, bring all workstations to one release: until then they exchange "
            "no blocks, and share files through the bucket",
        )
    return Finding(
        "office",
        "note",
        "nobody else announces himself on this network",
        "is another workstation on, with a project mounted? If it is: it sits in another network, or "
        "the switch or access point drops multicast. Name it: `lucidnode config set office.peers "
        "HOST:PORT`",
    )


async def _reached(
    places: Iterable[tuple[tuple[str, ...], int]], here: Sequence[Interface]
) -> list[str]:
    """Return which of *places* take a connection; only addresses on a link of ours are tried."""
    tried = [(host, port) for hosts, port in places for host in hosts if dialable(host, here)][
        :_MOST_PLACES
    ]
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(_takes_connections(*place)) for place in tried]
    return [
        f"{host}:{port}" for (host, port), task in zip(tried, answers, strict=True) if task.result()
    ]


async def _takes_connections(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _of_alert(alert: dict[str, Any]) -> Finding:
    return Finding(alert["mountpoint"] or "daemon", "amiss", alert["cause"], alert["remedy"])
