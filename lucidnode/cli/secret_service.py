"""The keyring of a desktop, by the Secret Service: the one door to secretstorage.

Not the package `keyring`: that chooses among what is installed, also a file in the clear.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import secretstorage

from lucidnode.node.client.supervision import outside

_T = TypeVar("_T")

_ANSWER_S = 10.0

PASSPHRASE, NODE_KEY = "passphrase", "node key"
"""What is kept of a home."""

_APPLICATIONS = {PASSPHRASE: "lucidnode", NODE_KEY: "lucidnode node key"}
"""Searching goes by the attributes that are named: these keep the two apart."""

_AGAIN = {PASSPHRASE: "service install", NODE_KEY: "keys hold keyring"}


class KeyringAway(Exception):
    """The keyring cannot be used now; in words for a person."""


def answers() -> bool:
    """Tell whether a keyring can be had in this session. Blocking."""
    try:
        with _connected() as connection:
            return secretstorage.check_service_availability(connection)
    except KeyringAway:
        return False


def is_open() -> bool:
    """Tell whether there is a keyring that keeps and gives without a question to anybody.

    Blocking, for some seconds at most.
    """

    def ask() -> bool:
        with _connected() as connection:
            if not secretstorage.check_service_availability(connection):
                return False
            collection = secretstorage.collection.get_collection_by_alias(connection, "default")
            return not collection.is_locked()

    try:
        return _within(ask)
    except KeyringAway:
        return False


def keep(home: Path, what: str, secret: str) -> None:
    """Keep the *secret* that is the *what* of *home*, in place of one kept before.

    Blocking: it may ask a person to unlock the keyring. Raises KeyringAway.
    """
    with _connected() as connection:
        collection = secretstorage.get_default_collection(connection)
        if collection.is_locked() and collection.unlock():
            raise KeyringAway("the keyring is locked, and was not unlocked: try again")
        collection.create_item(
            f"Lucidnode: {what} of {home}", _attributes(home, what), secret.encode(), replace=True
        )


def kept(home: Path, what: str) -> str:
    """Return the *what* of *home*. Asks nobody. Blocking, for some seconds; raises KeyringAway."""

    def look() -> tuple[str | None, bool]:
        with _connected() as connection:
            items = list(secretstorage.search_items(connection, _attributes(home, what)))
            for item in items:
                if not item.is_locked():
                    return item.get_secret().decode(), True
            return None, bool(items)

    found, is_there = _within(look)
    if found is not None:
        return found
    if is_there:
        raise KeyringAway("the keyring is locked: it opens when you log in to the desktop")
    raise KeyringAway(
        f"the keyring has no {what} for this workstation: run `lucidnode {_AGAIN[what]}` again"
    )


def forget(home: Path, what: str) -> None:
    """Delete the *what* of *home*. Blocking; raises KeyringAway."""
    with _connected() as connection:
        for item in secretstorage.search_items(connection, _attributes(home, what)):
            if item.is_locked() and item.unlock():
                raise KeyringAway("the keyring is locked, and was not unlocked: try again")
            item.delete()


def _attributes(home: Path, what: str) -> dict[str, str]:
    return {"application": _APPLICATIONS[what], "home": str(home)}


def _within(ask: Callable[[], _T]) -> _T:
    """Return what *ask* does, in a thread that nobody waits for in the end: no call here has a limit.

    Raises KeyringAway.
    """
    done: Future[_T] = Future()

    def work() -> None:
        try:
            done.set_result(ask())
        except BaseException as error:  # noqa: BLE001  # raised below, where somebody waits
            done.set_exception(error)

    threading.Thread(target=work, name="keyring", daemon=True).start()
    try:
        return done.result(_ANSWER_S)
    except TimeoutError:
        raise KeyringAway("the keyring does not answer") from None


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
