"""The command, hidden, of the process that makes the replica of a snapshot for a mount."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from lucidnode.cli import confinement
from lucidnode.fs.history.past_copy import given_spec, make_copy
from lucidnode.node.client.clock import SystemClock


@click.command("copy-process", hidden=True)
def copy_process_command() -> None:
    """Make the replica whose project and keys come on standard input: secrets are never arguments.

    It says where that is, and stays until its input ends.

    \b
    Example, with a PastCopySpec in MessagePack behind its length in four bytes:
      lucidnode copy-process < spec
    """
    confinement.confine(confinement.of_a_mount(os.environ))
    spec = given_spec(sys.stdin.buffer)

    def made(replica: Path) -> None:
        sys.stdout.write(f"{replica}\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()

    asyncio.run(make_copy(spec, SystemClock(), made))
