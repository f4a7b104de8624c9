"""Mounts a project as it was, beside the mount of now."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click
import msgspec
import uvloop

from lucidnode.cli import confinement
from lucidnode.cli.allocator import keep_large_buffers
from lucidnode.cli.background import start
from lucidnode.cli.child import log_to_stderr, say_ready
from lucidnode.cli.past_input import opened_past, when
from lucidnode.cli.point_given import PointGiven
from lucidnode.fs.commit.repair.replica_files import HISTORY_DIRECTORY
from lucidnode.fs.mount_spec import PastMountSpec
from lucidnode.fs.past_mount import run
from lucidnode.fs.project_home import project_directory
from lucidnode.node.client.kept import KEEPER_SUFFIX
from lucidnode.node.client.staging import BLOCKS, STAGING
from lucidnode.node.config import load_config


def mount_past(
    home: Path,
    cache: Path,
    project: str,
    point: PointGiven,
    mountpoint: Path,
    passphrase_file: Path | None,
    *,
    allow_other: bool,
) -> str:
    """Mount *project* as it was at *point*; return which state that is, for people.

    Raises NoSuchPoint, ChildFailed, a NodeError or another FsError.
    """

    async def work() -> str:
        async with opened_past(home, passphrase_file, project) as opened:
            seq = (
                opened.snapshot(point.text) if point.is_snapshot else await opened.point(point.text)
            )
            async with opened.at_hand.copied(seq) as replica:
                spec = PastMountSpec(
                    home=str(home),
                    mountpoint=str(mountpoint),
                    membership=opened.membership,
                    project=opened.access.keys().project,
                    replica=str(replica),
                    blocks_dir=str(cache / BLOCKS),
                    staging_dir=str(cache / STAGING),
                    allow_other=allow_other,
                    memory_limit=load_config(home).memory_limit,
                )
                # In here nobody takes the replica for a left one.
                start(
                    home,
                    replica.with_suffix(KEEPER_SUFFIX),
                    ["past-process"],
                    project_directory(home, spec.project) / HISTORY_DIRECTORY / "past-mounts.log",
                    f"mounting version {seq}…",
                    serves=str(mountpoint),
                    given=msgspec.msgpack.encode(spec),
                )
            if seq == 0:
                return "the beginning, when it was empty"
            return f"version {seq}, of {when(await opened.at_hand.wall_ns(seq))}"

    return asyncio.run(work())


@click.command("past-process", hidden=True)
@click.option("--came-back", default="", help="How the one before it ended.")
def past_process_command(came_back: str) -> None:
    """Serve the mount of the past whose keys come on standard input.

    \b
    Example, with a PastMountSpec in MessagePack:
      lucidnode past-process < spec
    """
    log_to_stderr()
    confinement.confine(confinement.of_a_mount(os.environ))
    keep_large_buffers()
    spec = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=PastMountSpec)
    uvloop.run(run(spec, say_ready, came_back))
