"""What an owner sets for every workstation of the studio: read from, and written to, the log of members."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from lucidnode.fs.membership.entries import settings_entry
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.membership import append_entry, read_roster
from lucidnode.node.config import lan_key_of, load_config
from lucidnode.node.studio_settings import opened, sealed


async def read_settings(home: Path, socket: Path, mine: Membership) -> dict[str, str]:
    """Return the studio's settings by name, as people write them. Raises Unavailable."""
    view = await read_roster(socket, mine)
    return opened(view.roster.settings, view.roster.studio, _lan_key(home))


async def change_settings(
    home: Path, socket: Path, mine: Membership, change: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    """Replace the studio's settings by what *change* makes of them. Raises NotAllowed, Unavailable."""
    lan_key = _lan_key(home)

    def made(view: RosterView) -> bytes:
        studio = view.roster.studio
        texts = change(opened(view.roster.settings, studio, lan_key))
        return settings_entry(view, sealed(texts, studio, lan_key, secrets.token_bytes))

    await append_entry(socket, mine, made)


def _lan_key(home: Path) -> bytes:
    return lan_key_of(home, load_config(home))
