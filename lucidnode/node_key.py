"""The node key of a workstation: 32 random bytes that seal its other secrets. Touches both planes.

`node.key` in the home is JSON, {"format": 1, "sealed": base64, "kept": {...} or null}:

    offset  bytes
         0     32  nonce, random
        32         AEGIS-256 of the node key, with the magic LNN1 as associated data

under a key made of the member's box secret. So the passphrase, which opens the member's keys, opens
the node key with the same work, and another passphrase changes nothing here. `kept` says where the
node key is held besides, so that a daemon can start unasked (docs/format.md, "Node key").
"""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import Literal

import msgspec
from blake3 import blake3

from lucidnode.fs.errors import Forged
from lucidnode.fs.format.sodium import (
    AEGIS_NONCE_SIZE,
    aegis256_open,
    aegis256_seal,
    random_bytes,
)
from lucidnode.fs.membership.member import MemberKeys
from lucidnode.node import sealed_file
from lucidnode.node.client.durable import set_aside, write_durably
from lucidnode.node.client.errors import Malformed, Refused
from lucidnode.node.client.json_text import json_in
from lucidnode.node.config import (
    BUCKET_FILE,
    DEVICE_FILE,
    NODE_FILE,
    NodeConfig,
    NoStudio,
    change_config,
    kept_lan_key,
    load_config,
)
from lucidnode.node.sealed_file import NODE_KEY_BYTES, NODE_KEY_FILE
from lucidnode.node.webhooks.book import BOOK_FILE, SECRET_FILE

SEALED_FILES = (DEVICE_FILE, BUCKET_FILE, BOOK_FILE, SECRET_FILE)
"""What is sealed as a file of its own; of node.json it is the LAN key alone."""

_MAGIC = b"LNN1"
_CONTEXT = "lucidnode 2026 format 1 node key seal"


KeyPlace = Literal["passphrase", "keyring", "systemd", "tpm", "file"]


class KeptNodeKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the node key is besides under the passphrase, so that nobody has to be asked for it."""

    place: KeyPlace
    """`passphrase` is nowhere else, because a person chose so."""
    path: str = ""
    """Of the file that holds it, absolute, for `file`."""
    sealed: str = ""
    """What `systemd-creds` made of it, for `systemd` and `tpm`."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    sealed: str
    kept: KeptNodeKey | None = None


# -- the file --------------------------------------------------------------------------------------


def seal(keys: MemberKeys, key: bytes, nonce: bytes | None = None) -> bytes:
    """Return the node key *key* sealed for the member with *keys*; *nonce* is for vectors."""
    nonce = nonce or random_bytes(AEGIS_NONCE_SIZE)
    return nonce + aegis256_seal(_key_of(keys), nonce, key, _MAGIC)


def unseal(keys: MemberKeys, body: bytes) -> bytes:
    """Return the node key. Raises Forged."""
    nonce, rest = body[:AEGIS_NONCE_SIZE], body[AEGIS_NONCE_SIZE:]
    if len(nonce) < AEGIS_NONCE_SIZE:
        raise Forged("cut short")
    key = aegis256_open(_key_of(keys), nonce, rest, _MAGIC)
    if len(key) != NODE_KEY_BYTES:
        raise Forged("no node key")
    return key


def open_kept(home: Path, keys: MemberKeys) -> bytes:
    """Return the node key of *home*. Raises FileNotFoundError if it has none, Refused for a damaged one."""
    file = _read(home)
    try:
        return unseal(keys, base64.b64decode(file.sealed, validate=True))
    except (Forged, ValueError) as error:
        raise Refused(
            f"{home / NODE_KEY_FILE} is damaged, or another member's: restore it from a backup, or "
            "import the keys of this workstation anew"
        ) from error


def keep(home: Path, keys: MemberKeys, key: bytes) -> None:
    """Keep the node key *key* in *home* for the member with *keys*, and nowhere else.

    Durable on return. Raises DiskFull, OSError.
    """
    _write(home, _File(1, base64.b64encode(seal(keys, key)).decode()))


def kept_where(home: Path) -> KeptNodeKey | None:
    """Return where the node key of *home* is kept besides; None if nobody has chosen. Raises Refused."""
    try:
        return _read(home).kept
    except FileNotFoundError:
        return None


def note_kept(home: Path, where: KeptNodeKey) -> None:
    """Note that the node key of *home* is at *where* besides. Raises FileNotFoundError, Refused, DiskFull."""
    _write(home, msgspec.structs.replace(_read(home), kept=where))


def _read(home: Path) -> _File:
    path = home / NODE_KEY_FILE
    raw = path.read_bytes()
    try:
        file = json_in(raw, _File)
    except Malformed as error:
        raise Refused(f"{path} is damaged: restore it from a backup") from error
    if file.format != 1:
        raise Refused(f"{path} was written by a later version: update Lucidnode")
    return file


def _write(home: Path, file: _File) -> None:
    write_durably(home / NODE_KEY_FILE, msgspec.json.format(msgspec.json.encode(file)) + b"\n")


def _key_of(keys: MemberKeys) -> bytes:
    return blake3(keys.box_secret, derive_key_context=_CONTEXT).digest()


# -- a home ----------------------------------------------------------------------------------------


def begin(home: Path, earlier: MemberKeys | None) -> None:
    """Have this process hold a node key for *home*, which becomes a workstation.

    A fresh one, or that of an *earlier* run that did not finish. It is kept by `keep_begun`.
    """
    key = random_bytes(NODE_KEY_BYTES)
    if earlier is not None:
        with contextlib.suppress(FileNotFoundError, Refused):
            key = open_kept(home, earlier)
    sealed_file.hold(home, key)


def keep_begun(home: Path, keys: MemberKeys) -> None:
    """Keep what `begin` began, for the member with *keys*; another's is set aside.

    Raises DiskFull, OSError.
    """
    key = sealed_file.held(home)
    assert key is not None, "begin first"
    try:
        if open_kept(home, keys) == key:
            return
    except FileNotFoundError:
        pass
    except Refused:
        set_aside(home / NODE_KEY_FILE)
    keep(home, keys, key)


def hold_kept(home: Path, keys: MemberKeys) -> None:
    """Have this process hold the node key of *home*, opened with *keys*; a home of before gets one.

    Blocking. Raises Refused, DiskFull, OSError.
    """
    with sealed_file.alone(home):  # two that begin at once have one key
        try:
            key = open_kept(home, keys)
        except FileNotFoundError:
            _refuse_lost(home)
            key = random_bytes(NODE_KEY_BYTES)
            keep(home, keys, key)
    sealed_file.hold(home, key)


def seal_all(home: Path) -> None:
    """Seal everything that is in clear in *home*.

    Killed at any moment, the next call goes on: the key is on the disk before anything is sealed
    under it, and each file is in clear or sealed. Blocking. Raises DiskFull, OSError.
    """
    for name in SEALED_FILES:
        sealed_file.seal_in_place(home / name)
    _seal_lan_key(home)


def is_all_sealed(home: Path) -> bool:
    """Tell whether nothing that the node key seals is in clear in *home*."""
    for name in SEALED_FILES:
        with contextlib.suppress(FileNotFoundError):
            if not sealed_file.is_sealed((home / name).read_bytes()):
                return False
    return sealed_file.is_text_sealed(load_config(home).lan_key)


def _refuse_lost(home: Path) -> None:
    """Raise Refused if a node key was there: a new one would open nothing."""
    for name in SEALED_FILES:
        with contextlib.suppress(FileNotFoundError):
            if sealed_file.is_sealed((home / name).read_bytes()):
                raise Refused(
                    f"{home / NODE_KEY_FILE} is missing, and {name} is sealed under it: restore it "
                    "from a backup, or import the keys of this workstation anew"
                )


def _seal_lan_key(home: Path) -> None:
    """Seal the LAN key in the settings, if it is in clear."""
    with contextlib.ExitStack() as before:

        def sealing(config: NodeConfig) -> NodeConfig:
            if sealed_file.is_text_sealed(config.lan_key):
                return config
            # Here nobody else writes the settings: a scratch file is one that was left.
            before.enter_context(sealed_file.wiped(home / NODE_FILE))
            sealed = kept_lan_key(home, bytes.fromhex(config.lan_key))
            return msgspec.structs.replace(config, lan_key=sealed)

        with contextlib.suppress(NoStudio):
            change_config(home, sealing)
