"""Locks keys under a passphrase or a ticket's code, and unlocks them. Format 1 (docs/format.md, "Passphrase seal").

    offset  bytes
         0      4  magic, one for each use
         4      4  Argon2id passes, big-endian
         8      4  Argon2id KiB, big-endian
        12     16  salt
        28     32  commitment: only the right passphrase gives it
        60     32  nonce
        92         AEGIS-256 of the contents, everything before it as associated data
        -8      8  check: BLAKE3 of everything before it

The check needs no passphrase and tells a damaged seal from a wrong passphrase. The commitment
makes it impossible to craft a seal that opens under two passphrases, which the cipher allows.
"""

from __future__ import annotations

import struct
import unicodedata

from blake3 import blake3

from lucidnode.fs.errors import Forged, SealDamaged, WrongPassphrase
from lucidnode.fs.format.sodium import (
    AEGIS_NONCE_SIZE,
    AEGIS_TAG_SIZE,
    KEY_SIZE,
    SALT_SIZE,
    PassphraseCost,
    aegis256_open,
    aegis256_seal,
    argon2id,
    random_bytes,
)

MAGIC_SIZE = 4
CHECK_SIZE = 8

FOR_PEOPLE = PassphraseCost(passes=3, kibibytes=256 * 1024)
"""For passphrases that people choose: libsodium's "moderate"."""

FOR_CODES = PassphraseCost(passes=2, kibibytes=64 * 1024)
"""For codes of 80 random bits, where the cost only adds to what is out of reach already."""

MAX_COST = PassphraseCost(passes=64, kibibytes=1024 * 1024)
"""A seal that asks for more is refused."""

_FIELDS = struct.Struct(f">{MAGIC_SIZE}sII{SALT_SIZE}s{KEY_SIZE}s{AEGIS_NONCE_SIZE}s")
_CONTEXT_SEAL = "lucidnode 2026 format 1 passphrase seal"
_CONTEXT_COMMITMENT = "lucidnode 2026 format 1 passphrase commitment"


def seal(magic: bytes, passphrase: str, contents: bytes, cost: PassphraseCost) -> bytes:
    """Return *contents* sealed under *passphrase*. Slow by design; call it from a thread."""
    salt, nonce = random_bytes(SALT_SIZE), random_bytes(AEGIS_NONCE_SIZE)
    key, commitment = _stretched(passphrase, salt, cost)
    header = _FIELDS.pack(magic, cost.passes, cost.kibibytes, salt, commitment, nonce)
    body = header + aegis256_seal(key, nonce, contents, header)
    return body + _check(body)


def unseal(magic: bytes, passphrase: str, sealed: bytes, most: PassphraseCost = MAX_COST) -> bytes:
    """Return the contents. Slow by design; call it from a thread.

    Raises SealDamaged if bytes changed or it would cost more than *most*, WrongPassphrase if only
    the passphrase is wrong.
    """
    inspect(magic, sealed, most)
    header, body = sealed[: _FIELDS.size], sealed[_FIELDS.size : -CHECK_SIZE]
    _, passes, kibibytes, salt, expected, nonce = _FIELDS.unpack(header)
    key, commitment = _stretched(passphrase, salt, PassphraseCost(passes, kibibytes))
    if commitment != expected:
        raise WrongPassphrase("that is not the right one")
    try:
        return aegis256_open(key, nonce, body, header)
    except Forged as error:
        raise SealDamaged("sealed contents were altered") from error


def inspect(magic: bytes, sealed: bytes, most: PassphraseCost) -> None:
    """Check everything that needs no passphrase; raises SealDamaged."""
    if len(sealed) < _FIELDS.size + AEGIS_TAG_SIZE + CHECK_SIZE:
        raise SealDamaged("cut short")
    if _check(sealed[:-CHECK_SIZE]) != sealed[-CHECK_SIZE:]:
        raise SealDamaged("characters are missing or changed")
    found, passes, kibibytes, *_ = _FIELDS.unpack_from(sealed)
    if found != magic:
        raise SealDamaged("made for something else, or by another version")
    # 8 KiB is the least Argon2id works with.
    if not (1 <= passes <= most.passes and 8 <= kibibytes <= most.kibibytes):
        raise SealDamaged("asks for an unreasonable amount of work")


def _stretched(passphrase: str, salt: bytes, cost: PassphraseCost) -> tuple[bytes, bytes]:
    # NFC: the same letters typed on another system may come as other code points.
    text = unicodedata.normalize("NFC", passphrase)
    # A terminal of another encoding gives bytes that are no UTF-8; they count as they are.
    root = argon2id(text.encode(errors="surrogatepass"), salt, cost)
    return (
        blake3(root, derive_key_context=_CONTEXT_SEAL).digest(),
        blake3(root, derive_key_context=_CONTEXT_COMMITMENT).digest(),
    )


def _check(body: bytes) -> bytes:
    return blake3(body).digest(length=CHECK_SIZE)
