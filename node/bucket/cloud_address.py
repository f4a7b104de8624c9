"""What the addresses of stores have in common that are reached through obstore."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import ClassVar, Self
from urllib.parse import SplitResult, urlsplit

from lucidnode.node.bucket.address import parse_bucket_name, parse_endpoint, parse_prefix
from lucidnode.node.client.errors import Malformed


@dataclass(frozen=True, slots=True)
class CloudAddress:
    """A bucket, and the folder in it that is ours, as in `S3Address`. Each kind of store has its own."""

    scheme: ClassVar[str]
    noun: ClassVar[str]
    """What the store calls a bucket."""
    service: ClassVar[str]
    """What people call the store."""
    takes_credentials: ClassVar[bool] = True
    region: ClassVar[None] = None

    bucket: str
    prefix: str = ""
    endpoint: str | None = None

    def __str__(self) -> str:
        """Return it as a person would say it."""
        return f"{self.noun} '{self.bucket}' at {self.endpoint or self.service}"

    @classmethod
    def parse(cls, parts: SplitResult, endpoint: str | None, region: str | None) -> Self:
        """Return where *parts* of a URL lead; see `Store.parse`. Raises Malformed."""
        if region:
            raise Malformed(f"A {cls.scheme}:// bucket takes no region.")
        return cls(
            parse_bucket_name(parts.netloc),
            parse_prefix(parts.path),
            _parse_endpoint(endpoint),
        )


def _parse_endpoint(url: str | None) -> str | None:
    """Return *url* as `parse_endpoint` does. Raises Malformed also for one without TLS.

    obstore follows redirects, so what answers has to be proven the store. An emulator on this
    machine is let be.
    """
    endpoint = parse_endpoint(url)
    if endpoint is None or endpoint.startswith("https://") or _is_here(endpoint):
        return endpoint
    raise Malformed(f"'{url}' is without TLS, which this kind of store needs: write https://HOST.")


def _is_here(endpoint: str) -> bool:
    try:
        return ipaddress.ip_address(urlsplit(endpoint).hostname or "").is_loopback
    except ValueError:
        return False
