"""A replica for one command, beside that of a mount: what waits there is not sent."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from lucidnode.fs.checkpoints.newcomer import Newcomer, NewcomerClient
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.commit.repair.replica_files import REPLICA_FILE
from lucidnode.fs.project_home import project_directory
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.durable import make_directory


@contextlib.asynccontextmanager
async def own_replica(
    home: Path, client: NewcomerClient, access: ProjectAccess, clock: Clock, purpose: str
) -> AsyncIterator[Replica]:
    """Have one at the newest checkpoint that holds, in a directory named for its *purpose*.

    It is removed at the end; that of a command which was killed, when the next one comes. Raises
    NoSpace, another FsError or a NodeError.
    """
    directory = project_directory(home, access.keys().project)
    for each in (directory.parent, directory):
        make_directory(each)
    with (
        _cleared(directory, purpose),
        tempfile.TemporaryDirectory(prefix=f"{purpose}-", dir=directory) as place,
    ):
        path = Path(place) / REPLICA_FILE
        codec = EntryCodec(
            access.keys,
            access.device,
            access.writer_key,
            secrets.token_bytes,
            access.trusted_key,
        )
        with contextlib.closing(_opened(path, access)) as replica:
            await Newcomer(replica, client, codec, Alerts(clock), clock).load()
        with contextlib.closing(_opened(path, access)) as replica:
            yield replica


@contextlib.contextmanager
def _cleared(directory: Path, purpose: str) -> Iterator[None]:
    """Remove what killed commands have left, if no other runs; none does it in here."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in directory.glob(f"{purpose}-*"):
                shutil.rmtree(left, ignore_errors=True)
        # It may be lost for a moment between the two: nothing of ours is there yet.
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)


def _opened(path: Path, access: ProjectAccess) -> Replica:
    return Replica.open(path, access.keys().replica, access.workstation, access.device)
