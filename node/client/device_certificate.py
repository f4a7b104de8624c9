"""The certificate of a device: a fixed template around its key (docs/format.md, "Device certificate").

X.509 leaves so much open that two libraries, or two versions of one, disagree on what parses. A
certificate that one node can load and another cannot would split the studio or end a daemon, so
here it is compared byte by byte with the only one that its key can have; no parser is asked.
"""

from __future__ import annotations

from collections.abc import Callable

from blake3 import blake3

from lucidnode.node.client.public_keys import SIGNATURE_SIZE, verify

SIZE = 346
"""Bytes of every device certificate."""

_HEAD = bytes.fromhex("30820156")
_VERSION_3 = bytes.fromhex("30820108a003020102")
_SERIAL = bytes.fromhex("021101")
"""17 bytes, of which the first is 1: positive whatever the device id behind it."""

_ED25519 = bytes.fromhex("300506032b6570")
_COMMON_NAME = bytes.fromhex("302b3129302706035504030c20")
_VALIDITY = b"\x30\x20\x17\x0d200101000000Z\x18\x0f99991231235959Z"
"""Of no meaning: a certificate counts for as long as the roster lists it."""

_KEY = bytes.fromhex("302a300506032b6570032100")
_EXTENSIONS = bytes.fromhex(
    "a33f303d"
    "300c0603551d130101ff04023000"  # basic constraints, critical: no authority
    "300e0603551d0f0101ff040403020780"  # key usage, critical: digital signature
    "301d0603551d250416301406082b0601050507030106082b06010505070302"  # server and client of TLS
)
_SIGNATURE = bytes.fromhex("034100")


def device_certificate(public: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """Return the certificate (DER) of the Ed25519 key *public*; *sign* signs with its secret half."""
    unsigned = _unsigned(public)
    return _HEAD + unsigned + _ED25519 + _SIGNATURE + sign(unsigned)


def is_certificate(certificate: bytes, public: bytes) -> bool:
    """Return whether *certificate* is what `device_certificate` makes for *public*.

    Of its signatures too there are more than one that hold; which of them, is its owner's affair.
    """
    unsigned = _unsigned(public)
    signature = certificate[-SIGNATURE_SIZE:]
    expected = _HEAD + unsigned + _ED25519 + _SIGNATURE + signature
    return (
        len(certificate) == SIZE and certificate == expected and verify(public, unsigned, signature)
    )


def _unsigned(public: bytes) -> bytes:
    device = blake3(public).digest(length=16)
    name = _COMMON_NAME + device.hex().encode()
    return b"".join(
        [_VERSION_3, _SERIAL, device, _ED25519, name, _VALIDITY, name, _KEY, public, _EXTENSIONS]
    )
