"""The command, hidden, of the process that does one round of a collection for a mount."""

from __future__ import annotations

import asyncio
import os
import sys

import click
import msgspec

from lucidnode.cli import confinement
from lucidnode.fs.collection.collector import collect
from lucidnode.fs.collection.round_spec import CollectSpec
from lucidnode.node.client.clock import SystemClock

_NICENESS = 10


@click.command("collect-process", hidden=True)
def collect_process_command() -> None:
    """Do the round whose keys come on standard input: secrets are never arguments.

    It says how that ended as JSON.

    \b
    Example, with a CollectSpec in MessagePack:
      lucidnode collect-process < spec
    """
    confinement.confine(confinement.of_a_mount(os.environ))
    os.nice(_NICENESS)
    spec = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=CollectSpec)
    told = asyncio.run(collect(spec, SystemClock(), lambda _words: None))
    sys.stdout.buffer.write(msgspec.json.encode(told))
