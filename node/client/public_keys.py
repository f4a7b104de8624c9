"""Which public keys and signatures count: the door to Ed25519 for both planes.

Format 1 (docs/format.md, "Public keys and signatures").

Libraries differ at the edges: OpenSSL takes keys of small order and keys in a second spelling,
libsodium does not, and either may change. Two readers that disagree about one signature see two
different studios, so the edges are cut off here, by bytes alone, and one library does the rest.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY_SIZE = 32
SIGNATURE_SIZE = 64

_P = 2**255 - 19
"""The prime of the field of both curves; a coordinate from here on is a second spelling."""

_L = 2**252 + 27742317777372353535851937790883648493
"""The order of Ed25519's group; a scalar from here on is a second spelling."""

_SIGN = 1 << 255
"""In an Ed25519 point the top bit is the sign of x, the others are y."""

_Y_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826

_SMALL_ORDER_Y = frozenset({0, 1, _P - 1, _Y_ORDER_8, _P - _Y_ORDER_8})
"""y of the eight points whose order divides 8. Signatures by them hold for anything."""

_SMALL_ORDER_U = frozenset(
    {
        0,
        1,
        _P - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
"""u of the points of small order on X25519's curve and its twist (RFC 7748, section 6.1): what is
sealed to one of them anybody can open."""


def is_signing_key(public: bytes) -> bool:
    """Return whether *public* may stand for somebody: an Ed25519 point in one spelling.

    It is of no small order. That it lies on the curve shows when it has signed something.
    """
    return len(public) == KEY_SIZE and _is_large_point(public)


def is_box_key(public: bytes) -> bool:
    """Return whether secrets may be sealed to *public*: X25519, one spelling, no small order."""
    number = int.from_bytes(public, "little")
    return len(public) == KEY_SIZE and number < _P and number not in _SMALL_ORDER_U


def box_key_of(public: bytes) -> bytes:
    """Return the X25519 key of the holder of the Ed25519 key *public*, which `is_signing_key`.

    RFC 7748, section 4.1: u = (1 + y) / (1 - y); the sign of x is lost.
    """
    y = int.from_bytes(public, "little") & ~_SIGN
    return ((1 + y) * pow(1 - y, -1, _P) % _P).to_bytes(KEY_SIZE, "little")


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether *signature* is the Ed25519 key *public*'s over *message*. Raises nothing.

    RFC 8032 without cofactor: encode([S]B - [h]A) is R byte by byte; and S < L, and neither A nor R
    is of small order or in a second spelling.
    """
    if len(signature) != SIGNATURE_SIZE or not is_signing_key(public):
        return False
    if not _is_large_point(signature[:KEY_SIZE]):
        return False
    if int.from_bytes(signature[KEY_SIZE:], "little") >= _L:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _is_large_point(encoded: bytes) -> bool:
    # x = 0, whose sign has a second spelling too, is that of points of small order only.
    y = int.from_bytes(encoded, "little") & ~_SIGN
    return y < _P and y not in _SMALL_ORDER_Y
