"""This workstation's device key, and who is who on the LAN. The door to `cryptography`.

`device.pem` holds the Ed25519 private key (PKCS #8) and the certificate made from it. The
certificate is a function of the key (fixed dates, serial number from the device id, and Ed25519
signatures are deterministic), so losing it loses nothing. The roster records it as DER.

TLS on the LAN trusts exactly the certificates in the roster, each as its own anchor. There are no
names to check; who a peer is follows from its certificate's key.
"""

from __future__ import annotations

import datetime
import os
import secrets
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lucidnode.node.client.errors import Malformed, Refused
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.roster_entry import device_id

_FIRST_DAY = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_LAST_DAY = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
"""Validity is the roster's business: a certificate counts for as long as it is listed there."""


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether *signature* is the raw Ed25519 key *public*'s over *message*."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def certified_key(certificate: bytes) -> bytes:
    """Return the raw Ed25519 key in a device certificate (DER).

    Raises Malformed unless its key signed it and its subject is the device id of that key.
    """
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        key = parsed.public_key()
        parsed.verify_directly_issued_by(parsed)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise Malformed("device certificate") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Malformed("device certificate: not an Ed25519 key")
    public = key.public_bytes_raw()
    if parsed.subject != _name(device_id(public)):
        raise Malformed("device certificate: not the subject of its key")
    return public


class DeviceIdentity:
    """The private key of this device, and what it is good for."""

    def __init__(self, path: Path, key: Ed25519PrivateKey) -> None:
        """Use `load` or `create`: *path* must hold *key* and its certificate."""
        self._path = path
        self._key = key
        self.public = key.public_key().public_bytes_raw()
        self.id = device_id(self.public)
        self.certificate = _certificate(key).public_bytes(Encoding.DER)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a device key at *path*, durably and readable by the owner only.

        Raises Refused if there is a file already: a device keeps its key for life. Blocking.
        """
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pem += _certificate(key).public_bytes(Encoding.PEM)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
        file = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(pem)
                stream.flush()
                os.fsync(stream.fileno())
            # link, not rename: of two that create at once, one must lose and be told.
            path.hardlink_to(scratch)
        except FileExistsError:
            raise Refused(f"{path} exists: this workstation has a device key already") from None
        finally:
            scratch.unlink()
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return cls(path, key)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the device key at *path*. Raises Refused, with the reason, if it is unusable."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Refused(f"cannot read the device key {path}: {error.strerror}") from error
        with os.fdopen(file, "rb") as stream:
            if os.fstat(stream.fileno()).st_mode & 0o077:
                raise Refused(f"{path} is readable by others: run `chmod 600 {path}`")
            pem = stream.read(65536)
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise Refused(f"the device key {path} is damaged") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Refused(f"{path} is no device key")
        return cls(path, key)

    def sign(self, message: bytes) -> bytes:
        """Return this device's Ed25519 signature over *message*, 64 bytes."""
        return self._key.sign(message)

    def server_context(self, trusted: Iterable[bytes]) -> ssl.SSLContext:
        """Return the TLS side that is dialled, open to holders of *trusted* certificates (DER)."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER, trusted)
        # A resumed session would skip the certificate, and with it the roster.
        context.num_tickets = 0
        return context

    def client_context(self, trusted: Iterable[bytes]) -> ssl.SSLContext:
        """Return the TLS side that dials, willing to talk to *trusted* certificates (DER)."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT, trusted)

    def _context(self, side: int, trusted: Iterable[bytes]) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        # The anchors are end certificates; without this OpenSSL wants a chain up to an authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_cert_chain(self._path)
        anchors = b"".join(trusted)
        if anchors:
            context.load_verify_locations(cadata=anchors)
        return context


def _name(device: DeviceId) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])


def _certificate(key: Ed25519PrivateKey) -> x509.Certificate:
    public = key.public_key()
    device = device_id(public.public_bytes_raw())
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        x509.CertificateBuilder()
        .subject_name(_name(device))
        .issuer_name(_name(device))
        .public_key(public)
        # 1 in front keeps it positive whatever the id.
        .serial_number(int("1" + device, 16))
        .not_valid_before(_FIRST_DAY)
        .not_valid_after(_LAST_DAY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .sign(key, algorithm=None)
    )
