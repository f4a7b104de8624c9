"""The command, hidden, of the process that serves one mount."""

from __future__ import annotations

import os
import sys

import click
import msgspec
import uvloop

from lucidnode.cli import confinement
from lucidnode.cli.allocator import keep_large_buffers
from lucidnode.cli.child import log_to_stderr, say_back, say_loading, say_ready
from lucidnode.cli.held_device import mount_keeper
from lucidnode.fs.mount import run
from lucidnode.fs.mount_spec import MountSpec


@click.command("mount-process", hidden=True)
@click.option("--came-back", default="", help="How the one before it ended.")
def mount_process_command(came_back: str) -> None:
    """Serve the mount whose keys come on standard input: secrets are never arguments.

    \b
    Example, with a MountSpec in MessagePack:
      lucidnode mount-process < spec
    """
    log_to_stderr()
    keeper = mount_keeper()
    confinement.confine(confinement.of_a_mount(os.environ))
    keep_large_buffers()
    spec = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=MountSpec)
    uvloop.run(run(spec, say_back if came_back else say_ready, came_back, keeper, say_loading))
