"""Secrets on this workstation's disk, sealed under its node key: one of the doors to AES-GCM.

A sealed file is JSON, {"format": 1, "sealed": base64}, in the place of what it was before
(docs/format.md, "Sealed files of a workstation"):

    offset  bytes
         0     12  nonce, random
        12         AES-256-GCM of the contents, with the file's name as associated data

under a key of its own, HMAC-SHA-256 of the name under the node key. So none can be put in the place
of another.

A process holds the node key of its home once it was given it (`hold`); all that reads and writes
secrets there goes by that. It is one for the process as its home is: handing it through thirty
callers would put it into as many values that are printed and compared. A home without a node key is
one of before: what lies there is in clear until a person unlocks it.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hmac
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lucidnode.node.client.durable import make_directory, write_durably
from lucidnode.node.client.errors import Locked, Malformed, NotOurs, Refused
from lucidnode.node.client.json_text import json_in

NODE_KEY_FILE = "node.key"
"""In a home whose secrets are sealed: the node key, sealed itself (lucidnode/node_key.py)."""

NODE_KEY_BYTES = 32

_DOMAIN = b"lucidnode 2026 format 1 sealed file\0"
_NONCE_BYTES = 12
_TEXT_MARK = "sealed:"

_held: dict[Path, bytes] = {}
"""By home: the node keys that this process was given."""


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    sealed: str


def hold(home: Path, key: bytes) -> None:
    """Have this process open and seal what lies in *home* with the node key *key*."""
    if len(key) != NODE_KEY_BYTES:
        raise ValueError("size of a node key")
    _held[home.absolute()] = key


def held(home: Path) -> bytes | None:
    """Return the node key of *home*, if this process holds it."""
    return _held.get(home.absolute())


def is_home_sealed(home: Path) -> bool:
    """Tell whether *home* has a node key, so that nothing may be written in clear there."""
    return (home / NODE_KEY_FILE).exists()


# -- files ---------------------------------------------------------------------------------------


def read(path: Path) -> bytes:
    """Return what the file *path* of a home holds, sealed or still in clear. Blocking.

    Raises OSError (FileNotFoundError if there is none), Locked without the key, NotOurs if it was
    changed or is sealed under another key, and Refused for what is none.
    """
    raw = path.read_bytes()
    if not is_sealed(raw):
        return raw
    return opened(_key(path.parent, path), path.name, raw)


def write(path: Path, content: bytes) -> None:
    """Replace the file *path* of a home by *content*, sealed; durable, mode 0600, whole or not at all.

    In clear only where the home has no node key yet, or has just got one and the file is still to be
    sealed. Blocking. Raises Locked without the key, DiskFull, OSError.
    """
    if not path.parent.exists():
        make_directory(path.parent)
    with alone(path.parent):
        write_durably(path, to_write(path, content))


def to_write(path: Path, content: bytes) -> bytes:
    """Return the bytes that `write` would write. Raises Locked."""
    if held(path.parent) is None and not (is_home_sealed(path.parent) and _is_clear_no_more(path)):
        return content
    return sealed(_key(path.parent, path), path.name, content)


def seal_in_place(path: Path) -> None:
    """Seal the file *path* if it is in clear. There may be none. Blocking.

    Killed at any moment, it is in clear or sealed, and whole. Raises Locked, DiskFull, OSError.
    """
    try:
        with alone(path.parent), wiped(path):  # else what another writes meanwhile is lost
            raw = path.read_bytes()
            if not is_sealed(raw):
                write_durably(path, sealed(_key(path.parent, path), path.name, raw))
    except FileNotFoundError:
        pass


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Be the only one who writes a secret in *home*, waiting for another who does. Not twice at once."""
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def wiped(path: Path) -> Iterator[None]:
    """Have what lay in *path* overwritten once the block has replaced it, and left-over copies of it.

    Copies are those that a write which was killed has left. On a disk that writes elsewhere than where
    it is told (most SSDs, copy-on-write file systems) all that may stay readable below. Raises
    FileNotFoundError if there is no such file, OSError.
    """
    _wipe_scratches(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield
        _wipe(descriptor)
    finally:
        os.close(descriptor)


def _wipe(descriptor: int) -> None:
    """Overwrite an open file with zeros, on its disk on return; not one that still has a name."""
    found = os.fstat(descriptor)
    if found.st_nlink == 0:
        os.pwrite(descriptor, bytes(found.st_size), 0)
        os.fsync(descriptor)


def _wipe_scratches(path: Path) -> None:
    """Take away what writes of *path* that were killed have left (lucidnode.node.client.durable)."""
    left = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.tmp")
    with contextlib.suppress(FileNotFoundError):
        for each in path.parent.iterdir():
            if left.fullmatch(each.name):
                descriptor = os.open(each, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    each.unlink()
                    _wipe(descriptor)
                finally:
                    os.close(descriptor)


def _is_clear_no_more(path: Path) -> bool:
    try:
        return is_sealed(path.read_bytes())
    except FileNotFoundError:
        return True


def _key(home: Path, what: Path) -> bytes:
    key = held(home)
    if key is None:
        raise Locked(f"{what} is locked: run `lucidnode unlock`")
    return key


# -- a text in a file that is in clear otherwise ---------------------------------------------------


def sealed_text(home: Path, name: str, text: str) -> str:
    """Return *text* as it is written into a file of *home*, under the *name* of what it is."""
    key = held(home)
    if key is None and not is_home_sealed(home):
        return text
    body = _sealed(_key(home, home / name), name, text.encode())
    return _TEXT_MARK + base64.b64encode(body).decode()


def is_text_sealed(text: str) -> bool:
    """Tell whether *text* is one of `sealed_text`, and not in clear."""
    return text.startswith(_TEXT_MARK)


def opened_text(home: Path, name: str, text: str) -> str:
    """Return what `sealed_text` sealed, or *text* if it is in clear. Raises Locked, Refused."""
    if not is_text_sealed(text):
        return text
    try:
        body = base64.b64decode(text.removeprefix(_TEXT_MARK), validate=True)
    except ValueError as error:
        raise Refused(f"the {name} in {home} is damaged: restore it from a copy") from error
    return _opened(_key(home, home / name), name, body).decode()


# -- bytes ---------------------------------------------------------------------------------------


def is_sealed(raw: bytes) -> bool:
    """Tell whether *raw* is a sealed file: nothing that was ever written in clear looks like one."""
    try:
        json_in(raw, _Sealed)
    except Malformed:
        return False
    return True


def sealed(key: bytes, name: str, content: bytes, nonce: bytes | None = None) -> bytes:
    """Return the bytes of the sealed file *name* that holds *content*; *nonce* is for vectors."""
    body = _sealed(key, name, content, nonce)
    return msgspec.json.encode(_Sealed(1, base64.b64encode(body).decode())) + b"\n"


def opened(key: bytes, name: str, raw: bytes) -> bytes:
    """Return what the sealed file *name* holds. Raises NotOurs, Refused."""
    try:
        file = json_in(raw, _Sealed)
        if file.format != 1:
            raise Refused(f"{name} was written by a later version: update Lucidnode")
        body = base64.b64decode(file.sealed, validate=True)
    except (Malformed, ValueError) as error:
        raise Refused(f"{name} is damaged: restore it from a copy") from error
    return _opened(key, name, body)


def _sealed(key: bytes, name: str, content: bytes, nonce: bytes | None = None) -> bytes:
    nonce = nonce or secrets.token_bytes(_NONCE_BYTES)
    return nonce + _cipher(key, name).encrypt(nonce, content, name.encode())


def _opened(key: bytes, name: str, body: bytes) -> bytes:
    nonce, rest = body[:_NONCE_BYTES], body[_NONCE_BYTES:]
    try:
        return _cipher(key, name).decrypt(nonce, rest, name.encode())
    except (InvalidTag, ValueError) as error:  # ValueError: shorter than a nonce
        raise NotOurs(
            f"{name} was changed, or sealed for another workstation: restore it from a copy"
        ) from error


def _cipher(key: bytes, name: str) -> AESGCM:
    return AESGCM(hmac.digest(key, _DOMAIN + name.encode(), "sha256"))
