"""Has a replica made that stands on an earlier entry, by a process of its own: that may take long.

The process holds the past open until the replica is in use: until then others take it for a left one.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.errors import NoSuchPoint
from lucidnode.fs.history.past_at_hand import past_at_hand
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.project_home import project_directory
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.ids import ProjectId, Seq

_COMMAND = "copy-process"

_LENGTH_BYTES = 4


class PastCopySpec(msgspec.Struct, frozen=True):
    """Which state of which project: that which entry *seq* left."""

    home: str
    membership: Membership
    project: ProjectId
    seq: Seq


@contextlib.asynccontextmanager
async def past_copy(spec: PastCopySpec) -> AsyncIterator[Path]:
    """Have the file of a replica that nobody takes for a left one in this block; raises NoSuchPoint."""
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-P", "-m", "lucidnode", "--home", spec.home, _COMMAND],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        packed = msgspec.msgpack.encode(spec)
        with contextlib.suppress(ConnectionError):  # it has ended, and says why
            process.stdin.write(len(packed).to_bytes(_LENGTH_BYTES) + packed)
            await process.stdin.drain()
        told = (await process.stdout.readline()).decode().strip()
        if not told:
            words = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
            raise NoSuchPoint(words[-1] if words else "what makes it was ended")
        yield Path(told)
    finally:
        process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def given_spec(source: BinaryIO) -> PastCopySpec:
    """Read what `past_copy` has written."""
    length = int.from_bytes(source.read(_LENGTH_BYTES))
    return msgspec.msgpack.decode(source.read(length), type=PastCopySpec)


def _quietly() -> contextlib.AbstractContextManager[Callable[[Seq], None]]:
    return contextlib.nullcontext(lambda _seq: None)


async def make_copy(spec: PastCopySpec, clock: Clock, made: Callable[[Path], None]) -> None:
    """Make the replica and tell *made*, which returns once it is in use.

    Raises NoSuchPoint, another FsError, a NodeError or OSError.
    """
    async with DaemonClient(Path(spec.home) / SOCKET_FILE) as client:
        access = await ProjectAccess.open(client.roster, spec.membership, spec.project)
        directory = project_directory(Path(spec.home), spec.project)
        async with past_at_hand(directory, client, access, clock, _quietly) as at_hand:
            await at_hand.open_for(spec.seq)
            if at_hand.is_open and at_hand.past.head().seq < spec.seq:
                raise NoSuchPoint(f"version {spec.seq} does not exist: delete its snapshot")
            async with at_hand.copied(spec.seq) as path:
                made(path)
