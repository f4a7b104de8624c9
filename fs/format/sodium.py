"""The door to PyNaCl: the only module that imports it, and maps its exceptions.

Every function checks sizes itself, because bytes that reach it may come from outside. The calls
release the interpreter's lock while they work, so they may run in threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import nacl.bindings
import nacl.exceptions
import nacl.pwhash.argon2id
import nacl.utils
from nacl import _sodium

from lucidnode.fs.errors import Forged

KEY_SIZE = 32
AEGIS_NONCE_SIZE = 32
AEGIS_TAG_SIZE = 32
SEED_SIZE = 32
SIGNATURE_SIZE = 64
SALT_SIZE = 16
BOX_OVERHEAD = 48
"""Bytes that `seal_to` adds: an ephemeral public key and a tag."""


def random_bytes(count: int) -> bytes:
    """Return *count* bytes from the operating system."""
    return nacl.utils.random(count)


# -- authenticated encryption --------------------------------------------------------------------


def aegis256_seal(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Return ciphertext and tag. A (key, nonce) pair must never meet two different plaintexts."""
    return nacl.bindings.crypto_aead_aegis256_encrypt(plaintext, associated, nonce, key)


def aegis256_open(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Return the plaintext of *sealed*, else raise Forged."""
    if len(sealed) < AEGIS_TAG_SIZE:
        raise Forged("shorter than its tag")
    try:
        return nacl.bindings.crypto_aead_aegis256_decrypt(sealed, associated, nonce, key)
    except nacl.exceptions.CryptoError as error:
        raise Forged("authentication failed") from error


def aegis256_address() -> int:
    """Return where libsodium's crypto_aead_aegis256_decrypt is, for code that is compiled."""
    function = _sodium.ffi.addressof(_sodium.lib, "crypto_aead_aegis256_decrypt")
    return int(_sodium.ffi.cast("uintptr_t", function))


# -- signatures ----------------------------------------------------------------------------------


def signing_public(seed: bytes) -> bytes:
    """Return the Ed25519 public key of *seed*."""
    public, _ = nacl.bindings.crypto_sign_seed_keypair(seed)
    return public


def sign(seed: bytes, message: bytes) -> bytes:
    """Return the Ed25519 signature of *message*; the same input gives the same signature."""
    _, secret = nacl.bindings.crypto_sign_seed_keypair(seed)
    return nacl.bindings.crypto_sign(message, secret)[:SIGNATURE_SIZE]


# -- sealed boxes: anonymous encryption to one public key ----------------------------------------


def box_public(secret: bytes) -> bytes:
    """Return the X25519 public key of *secret*."""
    return nacl.bindings.crypto_scalarmult_base(secret)


def seal_to(public: bytes, message: bytes) -> bytes:
    """Return *message* sealed to *public*; raises Forged if that is no usable key.

    It says nothing about who sealed it: sign around it.
    """
    try:
        return nacl.bindings.crypto_box_seal(message, public)
    except nacl.exceptions.CryptoError as error:
        raise Forged("not a key that can be sealed to") from error


def unseal(secret: bytes, sealed: bytes) -> bytes:
    """Return what `seal_to` sealed to the public key of *secret*, else raise Forged."""
    if len(sealed) < BOX_OVERHEAD:
        raise Forged("shorter than a sealed box")
    try:
        return nacl.bindings.crypto_box_seal_open(sealed, box_public(secret), secret)
    except nacl.exceptions.CryptoError as error:
        raise Forged("not sealed to this key") from error


# -- passphrases ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PassphraseCost:
    """What one guess costs: Argon2id passes and KiB of memory."""

    passes: int
    kibibytes: int


def argon2id(passphrase: bytes, salt: bytes, cost: PassphraseCost) -> bytes:
    """Return KEY_SIZE bytes. Slow and memory-hungry by design: call it from a thread."""
    return nacl.pwhash.argon2id.kdf(
        KEY_SIZE, passphrase, salt, opslimit=cost.passes, memlimit=cost.kibibytes * 1024
    )
