"""The keyring of a desktop, by the Secret Service: the one door to secretstorage.

Not the package `keyring`: that chooses among what is installed, also a file in the clear.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import secretstorage

from lucidnode.node.client.supervision import outside

_APPLICATION = "lucidnode"


class KeyringAway(Exception):
    """The keyring cannot be used now; in words for a person."""


def answers() -> bool:
    """Tell whether a keyring can be had in this session. Blocking."""
    try:
        with _connected() as connection:
            return secretstorage.check_service_availability(connection)
    except KeyringAway:
        return False


def keep(home: Path, passphrase: str) -> None:
    """Keep the *passphrase* of *home*, in place of one kept before.

    Blocking: it may ask a person to unlock the keyring. Raises KeyringAway.
    """
    with _connected() as connection:
        collection = secretstorage.get_default_collection(connection)
        if collection.is_locked() and collection.unlock():
            raise KeyringAway("the keyring is locked, and was not unlocked: try again")
        collection.create_item(
            f"Lucidnode: passphrase of {home}", _attributes(home), passphrase.encode(), replace=True
        )


def kept(home: Path) -> str:
    """Return the passphrase of *home*. Asks nobody. Blocking; raises KeyringAway."""
    with _connected() as connection:
        items = list(secretstorage.search_items(connection, _attributes(home)))
        for item in items:
            if not item.is_locked():
                return item.get_secret().decode()
    if items:
        raise KeyringAway("the keyring is locked: it opens when you log in to the desktop")
    raise KeyringAway(
        "the keyring has no passphrase for this workstation: run `lucidnode service install` again"
    )


def forget(home: Path) -> None:
    """Delete the passphrase of *home*. Blocking; raises KeyringAway."""
    with _connected() as connection:
        for item in secretstorage.search_items(connection, _attributes(home)):
            if item.is_locked() and item.unlock():
                raise KeyringAway("the keyring is locked, and was not unlocked: try again")
            item.delete()


def _attributes(home: Path) -> dict[str, str]:
    return {"application": _APPLICATION, "home": str(home)}


@contextlib.contextmanager
def _connected() -> Iterator[Any]:
    """Give a connection to the session's bus. Raises KeyringAway for whatever is amiss with it."""
    with (
        outside(_away, KeyringAway),
        contextlib.closing(secretstorage.dbus_init()) as connection,
    ):
        yield connection


def _away(words: str) -> KeyringAway:
    return KeyringAway(f"no keyring answers in this session ({words})")
