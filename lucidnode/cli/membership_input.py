"""The membership of this workstation, for commands that need its keys: of its agent, or of a person.

What can fail without the passphrase fails before it is asked for. What it opens is
fs/membership/passphrase_seal.py.
"""

from __future__ import annotations

from pathlib import Path

import click

from lucidnode import membership
from lucidnode.cli.background import ensure_daemon
from lucidnode.cli.child import ChildFailed
from lucidnode.cli.node_key_at_hand import (
    find_node_key,
    give_to_agent,
    membership_of_agent,
    membership_with,
)
from lucidnode.cli.secrets_input import passphrase
from lucidnode.fs.errors import SealDamaged
from lucidnode.fs.membership.join_token import MAX_TOKEN_BYTES, JoinToken, read
from lucidnode.fs.membership.member_file import Membership
from lucidnode.node.client.errors import NodeError


def unlocked(home: Path, passphrase_file: Path | None) -> tuple[Membership, Path]:
    """Return the membership kept in *home* and the socket of its daemon, which runs now.

    Nobody is asked while the agent holds it, unless there is a *passphrase_file*. Raises NoStudio,
    Refused, WrongPassphrase, ChildFailed, and UsageError as `passphrase` does.
    """
    membership.check_kept(home)
    if passphrase_file is None and (mine := membership_of_agent(home)) is not None:
        return mine, ensure_daemon(home)
    if find_node_key(home):
        ensure_daemon(home)
    return unlocked_with(home, passphrase(passphrase_file), typed=passphrase_file is None)


def token_in(file: Path, wall_ns: int) -> JoinToken:
    """Return the join token in *file*. Raises UsageError, SealDamaged, TicketSpent."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_TOKEN_BYTES + 1)
    except OSError as error:
        raise click.UsageError(f"cannot read the join token from {file}") from error
    try:
        return read(raw, wall_ns)
    except SealDamaged as error:
        raise SealDamaged(f"{file} is no join token ({error}): copy all of it again") from error


def unlocked_with(home: Path, words: str, *, typed: bool) -> tuple[Membership, Path]:
    """Return the same with the passphrase *words*, just *typed* or from a file."""
    mine = membership_with(home, words, typed=typed)
    socket = ensure_daemon(home)
    give_to_agent(home, mine, typed=typed)
    return mine, socket


def stay_unlocked(home: Path, words: str, *, typed: bool) -> None:
    """Have the agent of *home*, a workstation that was just made, hold its keys if *words* were typed.

    So nobody is asked again for what he has typed a moment ago. It is made in any case: where its
    daemon cannot start now, that is said, and the next command asks.
    """
    if not typed:
        return
    try:
        unlocked_with(home, words, typed=True)
    except (ChildFailed, NodeError, OSError) as error:
        click.echo(f"note: its daemon could not be started yet: {error}", err=True)
