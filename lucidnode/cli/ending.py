"""Ending all processes of a home at once: what is not uploaded waits on this disk."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

from lucidnode.cli.background import daemon_process, end_daemon_keeper
from lucidnode.cli.keeper import end_keeper
from lucidnode.cli.other_process import OtherProcess
from lucidnode.fs.hand_over import AT_ONCE
from lucidnode.node.client.kept import MOUNT_SERVER_FILE, holder, mount_keepers, mount_servers

_END_S = 60.0


async def end_all(home: Path, status: dict[str, Any] | None) -> bool:
    """End all mounts of *home*, of which *status* tells, then the daemon; tell whether all have ended.

    Also those that the daemon does not know: of the past, or while it is started anew. Nobody waits
    for uploads.
    """
    # Not by name, so that one which begins to end meanwhile is not another's.
    with contextlib.ExitStack() as held:
        servers = {lock: holder(lock)[0] for lock in mount_servers(home)}
        sending = {mount["pid"] for mount in (status["mounts"] if status else ())}
        sending |= {pid for lock, pid in servers.items() if lock.name == MOUNT_SERVER_FILE}
        served = {
            pid: held.enter_context(OtherProcess(pid))
            for pid in sending.union(servers.values())
            if pid is not None
        }
        for pid, process in served.items():
            if pid in sending:
                process.tell(AT_ONCE)
        async with asyncio.TaskGroup() as ending:
            for lock in mount_keepers(home):
                _ = ending.create_task(asyncio.to_thread(end_keeper, lock))
        for process in served.values():
            process.tell(signal.SIGTERM)  # one without a keeper
        async with asyncio.TaskGroup() as ending:
            ended = [
                ending.create_task(asyncio.to_thread(process.ends_within, _END_S))
                for process in served.values()
            ]
    has_ended = all(each.result() for each in ended)
    await asyncio.to_thread(end_daemon_keeper, home)
    daemon = daemon_process(home)
    if daemon is not None:
        with daemon:
            daemon.tell(signal.SIGTERM)
            has_ended &= await asyncio.to_thread(daemon.ends_within, _END_S)
    return has_ended
