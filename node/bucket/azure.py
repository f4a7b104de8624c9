"""The kind of store that is Azure Blob Storage: a container of a storage account.

Its credentials are the account's name and one of its two keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from lucidnode.node.bucket.cloud_address import CloudAddress
from lucidnode.node.bucket.cloud_objects import (
    CloudPlace,
    Dialect,
    cloud_store,
)
from lucidnode.node.bucket.credentials import Credentials

_PUBLIC = "https://blob.core.windows.net"
"""Stands for the account's own host, where a proxy is decided on."""

_DIALECT = Dialect("BlobNotFound", "ContainerNotFound", "BlobAlreadyExists", "InvalidRange")


@dataclass(frozen=True, slots=True)
class AzureAddress(CloudAddress):
    """A container. An emulator's *endpoint* has the account in its path: the host does not name it."""

    scheme: ClassVar[str] = "az"
    noun: ClassVar[str] = "container"
    service: ClassVar[str] = "Azure"


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
        url=f"az://{address.bucket}",
        prefix=address.prefix,
        endpoint=address.endpoint or _PUBLIC,
        dialect=_DIALECT,
        settings=settings,
    )


STORE = cloud_store("az://CONTAINER/PREFIX", AzureAddress.parse, _place)
