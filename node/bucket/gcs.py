"""The kind of store that is Google Cloud Storage.

Its credentials are a service account: its address, and its key as Google hands it out (JSON).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import SplitResult

from lucidnode.node.bucket.address import parse_bucket_name, parse_prefix
from lucidnode.node.bucket.cloud_objects import (
    CloudPlace,
    Dialect,
    cloud_store,
    parse_cloud_endpoint,
)
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.client.errors import Malformed

_PUBLIC = "https://storage.googleapis.com"
_DIALECT = Dialect("NoSuchKey", "NoSuchBucket", "PreconditionFailed", "InvalidRange")


@dataclass(frozen=True, slots=True)
class GcsAddress:
    """A bucket, and the folder in it that is ours, as in `S3Address`."""

    scheme: ClassVar[str] = "gs"
    takes_credentials: ClassVar[bool] = True
    region: ClassVar[None] = None

    bucket: str
    prefix: str = ""
    endpoint: str | None = None

    def __str__(self) -> str:
        """Return it as a person would say it."""
        return f"bucket '{self.bucket}' at {self.endpoint or 'Google Cloud Storage'}"


def _parse(parts: SplitResult, endpoint: str | None, region: str | None) -> GcsAddress:
    if region:
        raise Malformed("A gs:// bucket takes no region.")
    return GcsAddress(
        parse_bucket_name(parts.netloc), parse_prefix(parts.path), parse_cloud_endpoint(endpoint)
    )


def _place(address: GcsAddress) -> CloudPlace:
    endpoint = address.endpoint or _PUBLIC

    def settings(given: Credentials) -> Mapping[str, str | bool]:
        return {
            "service_account_key": given.secret_key,
            "base_url": endpoint,  # before what the key says, which came by mail
            "skip_signature": False,
        }

    return CloudPlace(
        name=str(address),
        url=f"gs://{address.bucket}",
        prefix=address.prefix,
        endpoint=endpoint,
        dialect=_DIALECT,
        settings=settings,
    )


STORE = cloud_store("gs://BUCKET/PREFIX", _parse, _place)
