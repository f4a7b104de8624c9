"""The kind of store that is Azure Blob Storage: a container of a storage account.

Its credentials are the account's name and one of its two keys.
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

_PUBLIC = "https://blob.core.windows.net"
"""Stands for the account's own host, where a proxy is decided on."""

_DIALECT = Dialect("BlobNotFound", "ContainerNotFound", "BlobAlreadyExists", "InvalidRange")


@dataclass(frozen=True, slots=True)
class AzureAddress:
    """A container, and the folder in it that is ours, as in `S3Address`."""

    scheme: ClassVar[str] = "az"
    takes_credentials: ClassVar[bool] = True
    region: ClassVar[None] = None

    container: str
    prefix: str = ""
    endpoint: str | None = None
    """With the account in its path, where the host does not name it: an emulator's."""

    def __str__(self) -> str:
        """Return it as a person would say it."""
        return f"container '{self.container}' at {self.endpoint or 'Azure'}"


def _parse(parts: SplitResult, endpoint: str | None, region: str | None) -> AzureAddress:
    if region:
        raise Malformed("An az:// bucket takes no region.")
    return AzureAddress(
        parse_bucket_name(parts.netloc), parse_prefix(parts.path), parse_cloud_endpoint(endpoint)
    )


def _place(address: AzureAddress) -> CloudPlace:
    def settings(given: Credentials) -> Mapping[str, str | bool]:
        own = f"https://{given.access_key}.blob.core.windows.net"
        return {
            "account_name": given.access_key,
            "account_key": given.secret_key,
            "credential_type": "access_key",
            "endpoint": address.endpoint or own,
            "use_emulator": False,
            "skip_signature": False,
        }

    return CloudPlace(
        name=str(address),
        url=f"az://{address.container}",
        prefix=address.prefix,
        endpoint=address.endpoint or _PUBLIC,
        dialect=_DIALECT,
        settings=settings,
    )


STORE = cloud_store("az://CONTAINER/PREFIX", _parse, _place)
