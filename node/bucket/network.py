"""How this machine reaches a store: whom TLS trusts, and through which proxy. The same for all.

Trusted are the certificates of the system, as OpenSSL finds them (`SSL_CERT_FILE` and
`SSL_CERT_DIR` included), and those that a person gave with `--ca-file`, which are remembered.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lucidnode.node.bucket.proxy import Proxies
from lucidnode.node.client.errors import Malformed

_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",
)
"""Where distributions keep them: a Python that was built elsewhere looks in the wrong place."""

MAX_AUTHORITIES_BYTES = 256 * 1024
"""Bytes of a `--ca-file`: a hundred certificates."""


@dataclass(frozen=True, slots=True)
class Network:
    """Built once by each composition root, from the environment and the settings."""

    proxies: Proxies = field(default_factory=lambda: Proxies({}))
    authorities: str = ""
    """Certificates in PEM that count beside the system's."""

    @classmethod
    def of(cls, environ: Mapping[str, str], authorities: str | None) -> Network:
        """Return the network as *environ* and the remembered *authorities* have it.

        Raises Malformed for a proxy that cannot be used.
        """
        return cls(Proxies.of(environ), authorities or "")

    def tls(self) -> ssl.SSLContext:
        """Return a context that trusts the system's certificates and ours. Reads files."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_default_certs()
        if not _is_anything_trusted(context) and (bundle := _system_bundle()):
            context.load_verify_locations(cafile=bundle)
        if self.authorities:
            context.load_verify_locations(cadata=self.authorities)
            # What a person named is trusted, also if it is no root.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def bundle(self) -> bytes:
        """Return the same certificates as one PEM file, for who takes no context. Reads files."""
        paths = ssl.get_default_verify_paths()
        system = paths.cafile or _system_bundle()
        return (Path(system).read_bytes() if system else b"") + b"\n" + self.authorities.encode()


def read_authorities(path: Path) -> str:
    """Return the certificates in the PEM file *path*. Raises Malformed, a sentence, or OSError."""
    with path.open("rb") as file:
        raw = file.read(MAX_AUTHORITIES_BYTES + 1)
    try:
        text = raw.decode("ascii", errors="replace")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise Malformed(f"{path} holds no certificate in PEM.") from error
    if len(raw) > MAX_AUTHORITIES_BYTES:
        raise Malformed(f"{path} is too large: name a file with the certificates of your store.")
    return "".join(f"{pem}\n" for pem in _certificates(text))


def _certificates(text: str) -> list[str]:
    """Return the certificates alone: a file may hold a private key as well, which is not ours."""
    end = "-----END CERTIFICATE-----"
    parts = text.split("-----BEGIN CERTIFICATE-----")[1:]
    return [f"-----BEGIN CERTIFICATE-----{part.split(end)[0]}{end}" for part in parts]


def _is_anything_trusted(context: ssl.SSLContext) -> bool:
    if context.cert_store_stats()["x509_ca"]:
        return True
    folder = ssl.get_default_verify_paths().capath  # looked into only as certificates are met
    return bool(folder) and any(os.scandir(folder))


def _system_bundle() -> str | None:
    return next((path for path in _SYSTEM_BUNDLES if Path(path).is_file()), None)
