"""This workstation's device key, and who is who on the LAN. The door to private keys.

`device.pem` holds the Ed25519 private key (PKCS #8) and the certificate made from it, sealed under the
node key (node/sealed_file.py). The certificate is a function of the key (lucidnode.node.client.device_certificate), so losing it loses
nothing. The roster records it as DER.

TLS on the LAN trusts exactly the certificates in the roster, each as its own anchor. There are no
names to check; who a peer is follows from its certificate's key.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import ssl
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lucidnode.node import sealed_file
from lucidnode.node.client.device_certificate import device_certificate
from lucidnode.node.client.device_seal import open_as_device
from lucidnode.node.client.durable import make_directory, sync_directory
from lucidnode.node.client.errors import DiskFull, Refused
from lucidnode.node.client.roster_entry import device_id

_BROWSER_KEY: Final = b"lucidnode dashboard certificate 1"
_P256: Final = ec.SECP256R1()
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""FIPS 186-4, D.1.2.3."""


class DeviceIdentity:
    """The private key of this device, and what it is good for."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()
        self.id = device_id(self.public)
        self.certificate = device_certificate(self.public, key.sign)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a device key at *path*, durably and readable by the owner only.

        Raises Refused if there is a file already: a device keeps its key for life. Blocking.
        """
        key = Ed25519PrivateKey.generate()
        content = sealed_file.to_write(path, _pem(key))
        if not path.parent.exists():
            make_directory(path.parent)
        scratch = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
        file = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            # link, not rename: of two that create at once, one must lose and be told.
            path.hardlink_to(scratch)
        except FileExistsError:
            raise Refused(f"{path} exists: this workstation has a device key already") from None
        finally:
            scratch.unlink()
        sync_directory(path.parent)
        return cls(key)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the device key at *path*. Raises Refused, with the reason, if it is unusable; Locked."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Refused(f"cannot read the device key {path}: {error.strerror}") from error
        with os.fdopen(file, "rb") as stream:
            if os.fstat(stream.fileno()).st_mode & 0o077:
                raise Refused(f"{path} is readable by others: run `chmod 600 {path}`")
        pem = sealed_file.read(path)
        try:
            # Without the certificate: that can be made again, whatever has become of it.
            secret = pem.partition(b"-----BEGIN CERTIFICATE")[0]
            key = load_pem_private_key(secret, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Refused(f"the device key {path} is damaged") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Refused(f"{path} is no device key")
        if pem != _pem(key):
            try:
                sealed_file.write(path, _pem(key))
            except (DiskFull, OSError) as error:
                raise Refused(f"cannot mend the certificate in {path}: {error}") from error
        return cls(key)

    def sign(self, message: bytes) -> bytes:
        """Return this device's Ed25519 signature over *message*, 64 bytes."""
        return self._key.sign(message)

    def unseal(self, sealed: bytes, context: bytes) -> bytes | None:
        """Return what was sealed to this device (node/client/device_seal.py), None if it was not."""
        return open_as_device(self._key.private_bytes_raw(), sealed, context)

    def server_context(self, trusted: Iterable[bytes]) -> ssl.SSLContext:
        """Return the TLS side that is dialled, open to holders of *trusted* certificates (DER)."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER, trusted)
        # A resumed session would skip the certificate, and with it the roster.
        context.num_tickets = 0
        return context

    def client_context(self, trusted: Iterable[bytes]) -> ssl.SSLContext:
        """Return the TLS side that dials, willing to talk to *trusted* certificates (DER)."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT, trusted)

    def browser_context(self) -> tuple[ssl.SSLContext, bytes]:
        """Return TLS for browsers, and the SHA-256 of its certificate: the same for life.

        Browsers take no Ed25519, so its P-256 key is derived from the device key, and the signature
        of its certificate has no randomness either.
        """
        secret = hmac.digest(self._key.private_bytes_raw(), _BROWSER_KEY, "sha512")
        key = ec.derive_private_key(int.from_bytes(secret, "big") % (_P256_ORDER - 1) + 1, _P256)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"lucidnode {self.id[:8]}")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(int(self.id, 16) >> 1 | 1 << 126)
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(9999, 12, 31, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        with _file_in_memory(pem + certificate.public_bytes(Encoding.PEM)) as path:
            context.load_cert_chain(path)
        return context, hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()

    def _context(self, side: int, trusted: Iterable[bytes]) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        # The anchors are end certificates; without this OpenSSL wants a chain up to an authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        with _file_in_memory(_pem(self._key)) as path:  # OpenSSL takes no key but from a file
            context.load_cert_chain(path)
        anchors = b"".join(trusted)
        if anchors:
            context.load_verify_locations(cadata=anchors)
        return context


@contextlib.contextmanager
def _file_in_memory(content: bytes) -> Iterator[str]:
    """Give the name of a file with *content* that never was on a disk, and goes with the block."""
    descriptor = os.memfd_create("device", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
        os.pwrite(descriptor, bytes(len(content)), 0)
    finally:
        os.close(descriptor)


def _pem(key: Ed25519PrivateKey) -> bytes:
    """Return what `device.pem` holds: the key, and the certificate made from it."""
    certificate = device_certificate(key.public_key().public_bytes_raw(), key.sign)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return secret + ssl.DER_cert_to_PEM_cert(certificate).encode()
