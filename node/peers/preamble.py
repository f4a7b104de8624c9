"""What is said on the control port before TLS: three messages in the clear, format 2. Pure.

    1  dialler   nonce d (32)  MAC (32) over "dialler"
    2  listener  nonce l (32)  MAC (32) over "listener" d l
    3  dialler   MAC (32) over "hello" d l ClientHello, then the ClientHello itself, as one TLS record

A MAC is HMAC-SHA256 under the studio's LAN key over "peer 2" 0x00 role 0x00, then the nonces and
what else is named; message 1 has its own nonce d under it. Whoever has no LAN key gets not one byte
out of a listener. Who repeats a message 1 that he overheard gets 64 bytes that look random, and
nothing more, as l is new each time. And who passes the first two messages on between two members
cannot put a ClientHello of his own in the place of the dialler's: what TLS answers, with the
certificate in it, only the dialler can read (docs/design/0010-preamble.md).
"""

from __future__ import annotations

import hmac

NONCE_BYTES = 32
MAC_BYTES = 32
OPENING_BYTES = NONCE_BYTES + MAC_BYTES
"""Messages 1 and 2."""

RECORD_HEADER_BYTES = 5
MAX_HELLO_BYTES = 4096
"""A ClientHello with its record's header. OpenSSL's takes some 300 bytes, with key shares that
quantum computers cannot break some 1,600."""

_HANDSHAKE = 22


def opening(lan_key: bytes, dialler: bytes) -> bytes:
    """Return message 1 with the dialler's nonce, which is not to be used again."""
    return dialler + _mac(lan_key, "dialler", dialler)


def opened(lan_key: bytes, message: bytes) -> bytes | None:
    """Return the nonce in message 1, or None if it does not come from a member."""
    nonce, mac = message[:NONCE_BYTES], message[NONCE_BYTES:]
    return nonce if hmac.compare_digest(mac, _mac(lan_key, "dialler", nonce)) else None


def answer(lan_key: bytes, dialler: bytes, listener: bytes) -> bytes:
    """Return message 2 with the listener's nonce, which is not to be used again."""
    return listener + _mac(lan_key, "listener", dialler, listener)


def answered(lan_key: bytes, dialler: bytes, message: bytes) -> bytes | None:
    """Return the nonce in message 2, or None if it does not come from a member, or not for us."""
    nonce, mac = message[:NONCE_BYTES], message[NONCE_BYTES:]
    wanted = _mac(lan_key, "listener", dialler, nonce)
    return nonce if hmac.compare_digest(mac, wanted) else None


def vouched(lan_key: bytes, dialler: bytes, listener: bytes, hello: bytes) -> bytes:
    """Return the MAC of message 3 for the ClientHello *hello*."""
    return _mac(lan_key, "hello", dialler, listener, hello)


def vouches(lan_key: bytes, dialler: bytes, listener: bytes, hello: bytes, mac: bytes) -> bool:
    """Return whether the dialler made *hello* for this connection."""
    return hmac.compare_digest(mac, vouched(lan_key, dialler, listener, hello))


def hello_rest(header: bytes) -> int | None:
    """Return how many bytes follow the *header* of a ClientHello's record, None if it is none."""
    length = int.from_bytes(header[3:RECORD_HEADER_BYTES])
    if header[0] != _HANDSHAKE or not 0 < length <= MAX_HELLO_BYTES - RECORD_HEADER_BYTES:
        return None
    return length


def _mac(lan_key: bytes, role: str, *parts: bytes) -> bytes:
    # Of the parts only the last may vary in length, so no two meanings have the same bytes.
    label = f"peer 2\0{role}\0".encode()
    return hmac.digest(lan_key, label + b"".join(parts), "sha256")
