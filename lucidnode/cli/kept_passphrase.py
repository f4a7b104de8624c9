"""Where the passphrase of a home is kept for its service, and how it is read at a start."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import click

from lucidnode.cli import secret_service
from lucidnode.cli.secrets_input import passphrase
from lucidnode.cli.service_loop import PassphraseAway
from lucidnode.cli.service_unit import CREDENTIAL

Place = Literal["keyring", "credential", "file"]

IN_WORDS: dict[Place, str] = {
    "keyring": "in the keyring",
    "credential": "sealed by systemd for this machine",
    "file": "in a file that only its user can read",
}


class KeptPassphrase:
    """Reads the passphrase of *home* from the *place* where it is kept; *file* is for `file`."""

    def __init__(
        self, home: Path, place: Place, file: Path | None, environment: Mapping[str, str]
    ) -> None:
        self._home = home
        self._place = place
        self._file = file
        self._credentials = environment.get("CREDENTIALS_DIRECTORY")

    async def read(self) -> str:
        """Return it. Asks nobody. Raises PassphraseAway."""
        if self._place == "keyring":
            try:
                return await asyncio.to_thread(
                    secret_service.kept, self._home, secret_service.PASSPHRASE
                )
            except secret_service.KeyringAway as error:
                raise PassphraseAway(str(error)) from error
        return await asyncio.to_thread(self._of_file)

    def _of_file(self) -> str:
        if self._place == "credential":
            return self._of_systemd()
        try:
            return passphrase(self._file)
        except click.UsageError as error:
            raise PassphraseAway(error.format_message()) from error

    def _of_systemd(self) -> str:
        try:
            # Not by `passphrase`: a list of access makes its mode look wider than it is.
            text = (Path(self._credentials or "/") / CREDENTIAL).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PassphraseAway(
                f"systemd has handed over no passphrase ({error}): run `lucidnode service install` "
                "again"
            ) from error
        return text.rstrip("\n")


def session_bus(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of *environment* leads to the keyring."""
    name = "DBUS_SESSION_BUS_ADDRESS"
    if name in environment:
        return {name: environment[name]}
    bus = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}") / "bus"
    return {name: f"unix:path={bus}"} if bus.exists() else {}
