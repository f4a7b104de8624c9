"""The membership of this workstation, for commands that need its keys: asks for the passphrase.

What can fail without the passphrase fails before it is asked for. What it opens is
fs/membership/passphrase_seal.py.
"""

from __future__ import annotations

from pathlib import Path

from lucidnode import membership
from lucidnode.cli.background import ensure_daemon
from lucidnode.cli.secrets_input import passphrase
from lucidnode.fs.membership.member_file import Membership


def unlocked(home: Path, passphrase_file: Path | None) -> tuple[Membership, Path]:
    """Return the membership kept in *home* and the socket of its daemon, which runs now.

    Raises NoStudio, Refused, WrongPassphrase, ChildFailed, and UsageError as `passphrase` does.
    """
    membership.check_kept(home)
    ensure_daemon(home)
    return unlocked_with(home, passphrase(passphrase_file))


def unlocked_with(home: Path, words: str) -> tuple[Membership, Path]:
    """Return the same with the passphrase *words*, which were just given."""
    return membership.unlock(home, words), ensure_daemon(home)
