"""The membership of this workstation, for commands that need its keys: asks for the passphrase.

What can fail without the passphrase fails before it is asked for. What it opens is
fs/membership/passphrase_seal.py.
"""

from __future__ import annotations

from pathlib import Path

import click

from lucidnode import membership
from lucidnode.cli.background import ensure_daemon
from lucidnode.cli.secrets_input import passphrase
from lucidnode.fs.errors import SealDamaged
from lucidnode.fs.membership.join_token import MAX_TOKEN_BYTES, JoinToken, read
from lucidnode.fs.membership.member_file import Membership


def unlocked(home: Path, passphrase_file: Path | None) -> tuple[Membership, Path]:
    """Return the membership kept in *home* and the socket of its daemon, which runs now.

    Raises NoStudio, Refused, WrongPassphrase, ChildFailed, and UsageError as `passphrase` does.
    """
    membership.check_kept(home)
    ensure_daemon(home)
    return unlocked_with(home, passphrase(passphrase_file))


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


def unlocked_with(home: Path, words: str) -> tuple[Membership, Path]:
    """Return the same with the passphrase *words*, which were just given."""
    return membership.unlock(home, words), ensure_daemon(home)
