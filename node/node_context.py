"""What all parts of a daemon are built from: settings, identity, clock, and who counts and tells."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from lucidnode.node import descriptors
from lucidnode.node.bucket.network import Network
from lucidnode.node.cache.mark import CacheMark, take
from lucidnode.node.cache.room import CacheRoom
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Jitter
from lucidnode.node.client.clock import Clock, SystemClock
from lucidnode.node.client.errors import Malformed, NodeError
from lucidnode.node.config import (
    DEVICE_FILE,
    NodeConfig,
    cache_directory,
    change_config,
    load_config,
)
from lucidnode.node.current_settings import CurrentSettings
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.mounts import MountTable
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.status.metrics import Metrics

log = logging.getLogger(__name__)

PORTS = 4
"""Ports that others can open connections to: control, bodies, dashboard, and that for colleagues."""


@dataclass(frozen=True, slots=True)
class NodeContext:
    """Made once, by `node_context`."""

    home: Path
    settings: CurrentSettings
    config: NodeConfig
    """The settings and the room for the cache as they were at the start."""
    identity: DeviceIdentity
    network: Network
    cache_mark: CacheMark
    room: CacheRoom
    connections: int
    """How many each port may have open."""
    clock: Clock
    jitter: Jitter
    alerts: Alerts
    metrics: Metrics
    mounts: MountTable
    memory: MemoryBudget


async def node_context(home: Path, settings: CurrentSettings) -> NodeContext:
    """Read what lies in *home* and look at its disks. Raises Refused, NoStudio, OSError."""
    clock = SystemClock()
    alerts = Alerts(clock)
    config = settings.config
    return NodeContext(
        home=home,
        settings=settings,
        config=config,
        identity=await asyncio.to_thread(DeviceIdentity.load, home / DEVICE_FILE),
        network=_network(config, alerts),
        cache_mark=await asyncio.to_thread(_cache_mark, home),
        room=settings.room,
        connections=descriptors.share(descriptors.raised(), PORTS),
        clock=clock,
        jitter=secrets.SystemRandom().random,
        alerts=alerts,
        metrics=Metrics(),
        mounts=MountTable(),
        memory=MemoryBudget(config.memory_limit),
    )


def _network(config: NodeConfig, alerts: Alerts) -> Network:
    """Return the way to the store; a proxy that cannot be used keeps nobody from cached files."""
    try:
        return Network.of(os.environ, config.authorities)
    except Malformed as error:
        alerts.begin("proxy", str(error), "Change it, and start the daemon again; it is left out.")
        return Network.of({}, config.authorities)


def _cache_mark(home: Path) -> CacheMark:
    """Return what the cache directory must carry; the first start makes it and remembers it."""
    config = load_config(home)  # as it is on disk, without what is for this run alone
    directory = cache_directory(home, config)
    if config.cache_id is not None:
        return CacheMark(directory, config.cache_id)
    try:
        taken = take(directory)
        change_config(home, partial(msgspec.structs.replace, cache_id=taken))
    except (OSError, NodeError) as error:
        log.warning("the cache directory %s is not marked yet: %s", directory, error)
        return CacheMark(directory, None)
    return CacheMark(directory, taken)
