"""A real daemon and a real mount with very many blocks and files: how long until they serve, and their memory.

In a lab of one workstation, whose index and replica are filled while nothing runs.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from lab.lab import make, remove
from lab.process import Process
from lab.record import Plan
from lab.scale_ground import fill_index, fill_replica
from lab.workstation import Workstation
from lucidnode import node_key
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.commit.repair.replica_files import REPLICA_FILE
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.project_home import project_directory
from lucidnode.membership import unlock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.ids import ProjectId, parse_project_id

_LAB = "scale"
_MIB = 1024 * 1024
_BLOCK_BYTES = 4096
"""So small that a million of them are below any limit of the cache."""


def started(files: int, in_one: int, blocks: int) -> dict[str, float]:
    """Start both on *files* files, *in_one* in a directory, and *blocks* blocks; walk the tree once."""
    remove(_LAB)
    try:
        lab = make(_LAB, Plan(1, None, 0.0, namespaces=os.geteuid() == 0), lambda _: None)
        (station,) = lab.workstations.values()
        (directory,) = (station.home / "projects").iterdir()
        project = parse_project_id(directory.name)
        key = project_keys(station, project).replica
        replica = project_directory(station.home, project) / REPLICA_FILE
        station.stop()
        empty = _both(station)
        station.stop()
        fill_replica(replica, key, files, in_one)
        fill_index(station.home / "cache" / "index.db", blocks, _BLOCK_BYTES)
        found = {"files": files, "blocks": blocks, **_both(station), **_walked(station)}
        return {**found, **{f"empty_{name}": value for name, value in empty.items()}}
    finally:
        remove(_LAB)


def project_keys(station: Workstation, project: ProjectId) -> ProjectKeys:
    """Return the keys of *project*, of which *station* is a member. Its daemon runs."""
    words = Path(station.environment()["LUCIDNODE_PASSPHRASE"]).read_text().strip()
    return asyncio.run(_keys(station, project, words))


async def _keys(station: Workstation, project: ProjectId, words: str) -> ProjectKeys:
    async with DaemonClient(station.socket) as client:
        mine = unlock(station.home, words)
        node_key.hold_kept(station.home, mine.keys)  # of the founder's device key, for who needs it
        access = await ProjectAccess.open(client.roster, mine, project)
    return access.keys()


def _both(station: Workstation) -> dict[str, float]:
    return {
        **_timed("daemon", station.start_daemon, lambda: station.record.daemon),
        **_timed("mount", station.start_mount, lambda: station.record.mount),
    }


def _timed(
    what: str, start: Callable[[], None], process: Callable[[], Process | None]
) -> dict[str, float]:
    began = time.monotonic()
    start()
    taken = time.monotonic() - began
    running = process()
    assert running is not None
    return {f"{what}_start_s": taken, **_use(what, running)}


def family_of(process: Process) -> list[psutil.Process]:
    """Return *process* and its children: it may be a shell's or a keeper's."""
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def cpu_s(process: Process) -> float:
    """Return the seconds of processor that *process* and its children have used."""
    return float(sum(sum(each.cpu_times()[:2]) for each in family_of(process)))


def _use(what: str, process: Process) -> dict[str, float]:
    family = family_of(process)
    return {
        f"{what}_cpu_s": cpu_s(process),
        f"{what}_memory_mib": max(each.memory_info().rss for each in family) / _MIB,
    }


def _walked(station: Workstation) -> dict[str, float]:
    began, names = time.monotonic(), 0
    for directory in os.scandir(station.mount_point):
        if directory.is_dir():
            for entry in os.scandir(directory):
                entry.stat()
                names += 1
    assert station.record.mount is not None
    return {
        "walked_names": names,
        "walk_s": time.monotonic() - began,
        **_use("walked_mount", station.record.mount),
    }
