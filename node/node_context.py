"""What all parts of a daemon are built from: settings, identity, clock, and who counts and tells."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from lucidnode.node import descriptors
from lucidnode.node.bucket.network import Network
from lucidnode.node.cache.room import CacheRoom
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Jitter
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed
from lucidnode.node.config import (
    DEVICE_FILE,
    NodeConfig,
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
    room: CacheRoom
    connections: int
    """How many each port may have open."""
    clock: Clock
    jitter: Jitter
    alerts: Alerts
    metrics: Metrics
    mounts: MountTable
    memory: MemoryBudget


async def node_context(
    home: Path, settings: CurrentSettings, clock: Clock, alerts: Alerts
) -> NodeContext:
    """Read what lies in *home*. Raises Refused, OSError."""
    config = settings.config
    return NodeContext(
        home=home,
        settings=settings,
        config=config,
        identity=await asyncio.to_thread(DeviceIdentity.load, home / DEVICE_FILE),
        network=_network(config, alerts),
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
