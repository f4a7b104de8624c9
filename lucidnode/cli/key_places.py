"""Where the node key of a home is besides under the passphrase, so that nobody has to be asked for it.

`keyring` is opened by the login to a desktop. `systemd` seals for this machine, with its TPM if there
is one: only root can have it opened, or a unit whose manager hands it over (`LoadCredential=`). `tpm`
seals for the TPM alone: whoever may use that. `file` is for machines that nobody attends.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path

from lucidnode.cli import secret_service, systemd_creds
from lucidnode.node.client.durable import sync_directory
from lucidnode.node.client.errors import Refused, Unavailable
from lucidnode.node.config import DEVICE_FILE
from lucidnode.node.sealed_file import NODE_KEY_BYTES, opened
from lucidnode.node_key import KeptNodeKey, KeyPlace

CREDENTIAL = "lucidnode.node-key"
"""Its name among the credentials of a unit."""

IN_WORDS: dict[KeyPlace, str] = {
    "passphrase": "under the passphrase alone",
    "keyring": "in the keyring",
    "systemd": "sealed by systemd for this machine",
    "tpm": "sealed for the TPM of this machine",
    "file": "in a file that only its user can read",
}

_WITH_KEY = {"systemd": "auto", "tpm": "tpm2"}


def keep(home: Path, key: bytes, place: KeyPlace, file: Path | None) -> KeptNodeKey:
    """Keep the node key *key* of *home* in the *place*, and return where; *file* is for `file`.

    Blocking. Raises Unavailable, Refused, each a sentence, and OSError.
    """
    text = base64.b64encode(key).decode()
    if place == "keyring":
        try:
            secret_service.keep(home, secret_service.NODE_KEY, text)
        except secret_service.KeyringAway as error:
            raise Unavailable(str(error)) from error
    elif place == "file":
        assert file is not None, "a file has a name"
        _write_new(file.absolute(), text)
        return KeptNodeKey(place, path=str(file.absolute()))
    elif place != "passphrase":
        sealed = systemd_creds.encrypt(CREDENTIAL, text.encode(), _WITH_KEY[place])
        return KeptNodeKey(place, sealed=sealed.decode())
    return KeptNodeKey(place)


def read(home: Path, where: KeptNodeKey | None, environment: Mapping[str, str]) -> bytes | None:
    """Return the node key of *home*, which is kept *where*; None if that is nowhere. Asks nobody.

    A manager that hands one over in the *environment* goes first. Blocking. Raises Unavailable, a
    sentence: also for a key that opens nothing here.
    """
    given = Path(environment.get("CREDENTIALS_DIRECTORY") or "/", CREDENTIAL)
    is_given = given.exists()
    if not is_given and (where is None or where.place == "passphrase"):
        return None
    what = "that systemd hands over" if is_given or where is None else IN_WORDS[where.place]
    try:
        text = given.read_text("ascii") if is_given or where is None else _text_of(home, where)
        key = base64.b64decode(text.strip(), validate=True)
    except (secret_service.KeyringAway, OSError, ValueError) as error:
        raise Unavailable(f"the key {what} cannot be had: {error}") from error
    if len(key) != NODE_KEY_BYTES or not _opens(home, key):
        raise Unavailable(f"the key {what} is not that of {home}")
    return key


def forget(home: Path, where: KeptNodeKey) -> None:
    """Have the node key of *home* kept no more *where* it is. Raises Unavailable, OSError."""
    if where.place == "keyring":
        try:
            secret_service.forget(home, secret_service.NODE_KEY)
        except secret_service.KeyringAway as error:
            raise Unavailable(str(error)) from error
    elif where.place == "file":
        Path(where.path).unlink(missing_ok=True)


def _text_of(home: Path, where: KeptNodeKey) -> str:
    match where.place:
        case "keyring":
            return secret_service.kept(home, secret_service.NODE_KEY)
        case "file":
            return _of_file(Path(where.path))
        case "systemd" | "tpm":
            return systemd_creds.decrypt(CREDENTIAL, where.sealed.encode()).decode()
        case "passphrase":
            raise ValueError("it is kept nowhere")


def _of_file(path: Path) -> str:
    with path.open(encoding="ascii") as stream:
        if os.fstat(stream.fileno()).st_mode & 0o077:
            raise ValueError(f"others can read {path}: run `chmod 600 {path}`")
        return stream.read(4096)


def _opens(home: Path, key: bytes) -> bool:
    try:
        opened(key, DEVICE_FILE, (home / DEVICE_FILE).read_bytes())
    except (Refused, OSError):
        return False
    return True


def _write_new(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Refused(f"{path} exists already: name a new file") from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        sync_directory(path.parent)
    except OSError:
        path.unlink(missing_ok=True)
        raise
