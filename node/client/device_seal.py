"""What is sealed to one workstation, which opens it with its device key. Pure.

80 bytes (docs/format.md, "Credentials of a role"): an X25519 key of this seal alone, and 32 bytes in
AES-256-GCM under a key of what both sides agree on, with a nonce of zeros, for that key is used once.
The device's Ed25519 key stands for an X25519 key as well, by the map of RFC 7748, section 4.1, as
age has it for SSH keys: so the roster need name no second key of a workstation.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lucidnode.node.client.public_keys import KEY_SIZE, box_key_of, is_box_key

SECRET_SIZE = 32
SEALED_SIZE = KEY_SIZE + SECRET_SIZE + 16

_ONCE = bytes(12)


def seal_to_device(public: bytes, secret: bytes, context: bytes, ephemeral: bytes) -> bytes:
    """Return *secret*, 32 bytes, sealed to the device with the Ed25519 key *public*.

    *ephemeral* is 32 fresh random bytes, and *context* what the reader has to expect.
    """
    theirs, ours = box_key_of(public), X25519PrivateKey.from_private_bytes(ephemeral)
    shared = ours.exchange(X25519PublicKey.from_public_bytes(theirs))
    once = ours.public_key().public_bytes_raw()
    return once + _cipher(shared, context, once, theirs).encrypt(_ONCE, secret, None)


def open_as_device(seed: bytes, sealed: bytes, context: bytes) -> bytes | None:
    """Return the secret in *sealed*; None if it is not for the device whose private key is *seed*."""
    once, body = sealed[:KEY_SIZE], sealed[KEY_SIZE:]
    if len(sealed) != SEALED_SIZE or not is_box_key(once):
        return None
    # RFC 8032, section 5.1.5: the scalar of an Ed25519 key; X25519 clamps it as Ed25519 does.
    ours = X25519PrivateKey.from_private_bytes(hashlib.sha512(seed).digest()[:KEY_SIZE])
    try:
        shared = ours.exchange(X25519PublicKey.from_public_bytes(once))
        own = ours.public_key().public_bytes_raw()
        return _cipher(shared, context, once, own).decrypt(_ONCE, body, None)
    except (InvalidTag, ValueError):
        return None


def _cipher(shared: bytes, context: bytes, once: bytes, device: bytes) -> AESGCM:
    return AESGCM(hmac.digest(shared, context + once + device, "sha256"))
