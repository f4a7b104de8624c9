"""The process that shows a project as it was: read-only, beside the mount of now.

It has a replica of its own that never moves, reads blocks as every mount does, and is none to the
daemon: nothing is committed, followed or told here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.commit.repair.replica_files import remove
from lucidnode.fs.file_layer import DISK_THREADS, Ground, cache_disk
from lucidnode.fs.files.stamps import Stamps
from lucidnode.fs.kernel.mountpoint import check, clear
from lucidnode.fs.kernel.session import FuseSession
from lucidnode.fs.kernel.spans import Spans
from lucidnode.fs.mount_spec import PastMountSpec
from lucidnode.fs.past_state import past_state
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.kept import KEEPER_SUFFIX, SERVER_SUFFIX, hold
from lucidnode.node.client.supervision import supervised


async def run(spec: PastMountSpec, ready: Callable[[], None], came_back: str = "") -> None:
    """Mount, call *ready*, and serve until unmounted or told to end by SIGTERM or SIGINT.

    *came_back* says how the process before this one ended, if that was not in order. Returning, it
    has unmounted, and the replica is removed. Raises a MountError, another FsError or a NodeError.
    """
    os.chdir("/")  # no working directory inside the mount
    mountpoint = Path(spec.mountpoint)
    if not came_back:
        mountpoint = check(mountpoint, [Path(spec.home)])
    async with _session(spec, mountpoint, came_back=bool(came_back)) as session:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, session.stop)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.serve())
            await asyncio.to_thread(mountpoint.stat)
            ready()
    replica = Path(spec.replica)
    remove(replica)
    for suffix in (KEEPER_SUFFIX, SERVER_SUFFIX):
        replica.with_suffix(suffix).unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def _session(
    spec: PastMountSpec, mountpoint: Path, *, came_back: bool
) -> AsyncIterator[FuseSession]:
    clock = Stamps(SystemClock())
    async with contextlib.AsyncExitStack() as stack:
        alerts = Alerts(clock)
        client = await stack.enter_async_context(DaemonClient(Path(spec.home) / SOCKET_FILE))
        access = await ProjectAccess.open(client.roster, spec.membership, spec.project)
        replica = stack.enter_context(
            contextlib.closing(
                Replica.open(Path(spec.replica), access.keys().replica, access.workstation)
            )
        )
        stack.callback(
            os.close, hold(Path(spec.replica).with_suffix(SERVER_SUFFIX), spec.mountpoint)
        )
        disk = stack.enter_context(ThreadPoolExecutor(DISK_THREADS, "disk"))
        tasks = await stack.enter_async_context(supervised(alerts, clock))
        looks = stack.enter_context(cache_disk(Path(spec.blocks_dir), alerts, clock))
        ground = Ground(
            replica=replica,
            keys=access.keys(),
            block_size=access.block_size,
            blocks_dir=Path(spec.blocks_dir),
            staging_dir=Path(spec.staging_dir),
            staging_limit=0,
            min_free=0,
            memory_limit=spec.memory_limit,
            blocks=client.blocks,
            disk=disk,
            looks=looks,
            alerts=alerts,
            clock=clock,
            tasks=tasks,
        )
        files = stack.enter_context(past_state(ground, access))
        spans = Spans(time.perf_counter, clock.wall_ns, replica.tree.shown_path)
        clear(mountpoint, may_hold_names=came_back)
        session = FuseSession(
            files,
            spans,
            mountpoint,
            allow_other=spec.allow_other,
            channel=False,
            authority=None,
            on_answered=None,
        )
        try:
            yield session
        finally:
            session.close()
