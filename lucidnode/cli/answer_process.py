"""The command, hidden, of the process that answers who asks to join, for a daemon without a mount."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click
import msgspec

from lucidnode.cli import confinement
from lucidnode.cli.node_key_at_hand import membership_of_agent
from lucidnode.fs.errors import MembershipError
from lucidnode.fs.membership.answering import Answering
from lucidnode.fs.membership.member_file import Membership
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import Refused
from lucidnode.node.roster.answers_unmounted import GivenAnswers, ToldAnswer


@click.command("answer-process", hidden=True)
@click.pass_obj
def answer_process_command(home: Path) -> None:
    """Answer what waits with the keys that the agent holds, and say as JSON what came of it.

    \b
    Example:
      lucidnode answer-process
    """
    confinement.confine(confinement.of_a_mount(os.environ))
    mine = membership_of_agent(home, unasked=True)
    given = GivenAnswers(is_locked=True) if mine is None else asyncio.run(_answered(home, mine))
    sys.stdout.buffer.write(msgspec.json.encode(given))


async def _answered(home: Path, mine: Membership) -> GivenAnswers:
    async with DaemonClient(home / SOCKET_FILE) as client:
        try:
            found = await Answering(client.invitations, client.roster, mine, SystemClock()).answer()
        except (Refused, MembershipError):
            found = []  # left to other owners, or we are no member any more
    return GivenAnswers(
        told=[ToldAnswer(one.topic, *one.told()) for one in found],
        to_confirm=[one.ident for one in found if not one.let_in],
    )
