"""How a member's workstation proves to a colleague's dashboard who opens it. Pure.

A login is made by the daemon of whoever wants in, for one dashboard, and is good for two minutes and
once:

    device (16)  issued (8: ns since 1970)  nonce (16)  signature (64)

as URL-safe base64 without padding. The signature is Ed25519 by the device's key over

    "lucidnode dashboard login 1" 0x00 studio (32: BLAKE3 of its id)  device that is opened (16)
    SHA-256 of its certificate (32)  device (16)  issued (8)  nonce (16)

so that it opens no other dashboard, whatever address or certificate its maker was told for this one.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from blake3 import blake3

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId

LOGIN_S = 120
"""Seconds for which a login is good, and by which two clocks may differ."""

_LABEL = b"lucidnode dashboard login 1\0"
_NONCE_BYTES = 16
_SIZE = 16 + 8 + _NONCE_BYTES + 64
_TEXT_LENGTH = (_SIZE * 4 + 2) // 3


@dataclass(frozen=True, slots=True)
class Opened:
    """The dashboard that a login is for: of whom, and the SHA-256 of its certificate."""

    studio: bytes
    device: DeviceId
    pin: bytes


@dataclass(frozen=True, slots=True)
class Login:
    """A login as it was sent; nothing of it is believed before its *signature* was checked."""

    device: DeviceId
    issued_ns: int
    nonce: bytes
    signature: bytes

    def signed(self, opened: Opened) -> bytes:
        """Return what is signed, for the dashboard *opened*."""
        return b"".join(
            [
                _LABEL,
                blake3(opened.studio).digest(),
                bytes.fromhex(opened.device),
                opened.pin,
                bytes.fromhex(self.device),
                self.issued_ns.to_bytes(8, "big"),
                self.nonce,
            ]
        )

    def text(self) -> str:
        """Return it as it stands in an address."""
        head = bytes.fromhex(self.device) + self.issued_ns.to_bytes(8, "big")
        raw = head + self.nonce + self.signature
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def is_timely(self, now_ns: int) -> bool:
        """Tell whether it was made about *now_ns*."""
        return abs(now_ns - self.issued_ns) <= LOGIN_S * 10**9


def read_login(text: str) -> Login:
    """Return the login in *text*. Raises Malformed."""
    if len(text) != _TEXT_LENGTH or not text.isascii():
        raise Malformed("no login")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("no login") from error
    login = Login(DeviceId(raw[:16].hex()), int.from_bytes(raw[16:24], "big"), raw[24:40], raw[40:])
    if login.text() != text:
        raise Malformed("a login that is written in another way")
    return login
