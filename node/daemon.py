"""The node daemon: the composition root of the ciphertext plane.

Everything is built here, in the order in which it depends on each other, and closed in reverse.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from lucidnode.node import register
from lucidnode.node.blocks import BlocksForMounts
from lucidnode.node.bucket.address import parse_address
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.keys import block_key
from lucidnode.node.bucket.probe import probe
from lucidnode.node.bucket.stack import open_bucket
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.cache.staging import Staging
from lucidnode.node.client import wire
from lucidnode.node.client.clock import Clock, SystemClock
from lucidnode.node.client.errors import NodeError, Refused, Unavailable
from lucidnode.node.client.ids import BlockId, ProjectId, Seq
from lucidnode.node.client.roster import Roster
from lucidnode.node.config import (
    BUCKET_FILE,
    DEVICE_FILE,
    LOCK_FILE,
    SOCKET_FILE,
    NodeConfig,
    cache_directory,
    load_config,
)
from lucidnode.node.dashboard.facts import Facts
from lucidnode.node.dashboard.server import DashboardServer
from lucidnode.node.fetch import BlockSource
from lucidnode.node.identity import DeviceIdentity, verify
from lucidnode.node.journal_service import JournalService
from lucidnode.node.metrics import Metrics
from lucidnode.node.mounts import Mounts
from lucidnode.node.roster_service import RosterService
from lucidnode.node.socket_server import SocketServer
from lucidnode.node.uploads import Uploads
from lucidnode.node.webhooks import Webhooks

log = logging.getLogger(__name__)

ROSTER_FILE = "roster.bin"

_COMMIT_SECONDS = 60.0
"""How long one commit is tried before its outcome counts as unknown and the mount asks again."""

_FIRST_LOOK_SECONDS = 10.0
_TROUBLES_KEPT = 5


@dataclass(frozen=True, slots=True)
class DaemonOptions:
    """What the command line adds to the settings of this start."""

    peers: Sequence[str] = ()
    mdns: bool = True
    control_port: int | None = None

    def applied(self, config: NodeConfig) -> NodeConfig:
        """Return *config* for this run."""
        return msgspec.structs.replace(
            config,
            peers=[*config.peers, *self.peers],
            mdns=config.mdns and self.mdns,
            control_port=self.control_port or config.control_port,
        )


class Troubles:
    """The last things that a person should hear of, for the dashboard and the mounts."""

    def __init__(self, mounts: Mounts) -> None:
        self._mounts = mounts
        self._last: deque[str] = deque(maxlen=_TROUBLES_KEPT)

    def tell(self, message: str) -> None:
        """Note *message*; the same thing again changes nothing."""
        log.warning("%s", message)
        if message not in self._last:
            self._last.append(message)
            self._mounts.tell_all(wire.Trouble(message))

    def last(self) -> list[str]:
        """Return them, oldest first."""
        return list(self._last)


async def run_daemon(home: Path, options: DaemonOptions, ready: Callable[[], None]) -> None:
    """Run the daemon of *home* until SIGTERM, SIGINT or `lucidnode exit`; *ready* once it serves.

    Raises Refused, Unavailable and the like with a sentence when it cannot start.
    """
    config = options.applied(load_config(home))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with _locked(home):
        async with _serving(home, config, stop):
            ready()
            await stop.wait()
            log.info("stopping")


@contextlib.asynccontextmanager
async def _serving(home: Path, config: NodeConfig, stop: asyncio.Event) -> AsyncIterator[None]:
    clock = SystemClock()
    jitter = secrets.SystemRandom().random
    metrics = Metrics()
    mounts = Mounts()
    troubles = Troubles(mounts)
    identity = await asyncio.to_thread(DeviceIdentity.load, home / DEVICE_FILE)
    credentials = await asyncio.to_thread(_credentials, home)
    address = parse_address(config.bucket_url, config.endpoint_url, config.region)
    bucket = open_bucket(address, credentials, clock, jitter, metrics.bucket_request)
    commit = partial(_commit, bucket, clock, jitter)
    directory = cache_directory(home, config)

    async with contextlib.AsyncExitStack() as stack:
        # First in, last out: what is entered later uses what was entered before.
        cache = await stack.enter_async_context(
            DiskCache.open(
                directory, config.cache_limit, config.min_free, clock, troubles.tell
            )
        )
        staging = await stack.enter_async_context(Staging.open(directory, cache, clock))
