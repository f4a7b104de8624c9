"""The kind of store that is Google Cloud Storage.

Its credentials are a service account: its address, and its key as Google hands it out (JSON).
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

_PUBLIC = "https://storage.googleapis.com"
_DIALECT = Dialect("NoSuchKey", "NoSuchBucket", "PreconditionFailed", "InvalidRange")


@dataclass(frozen=True, slots=True)
class GcsAddress(CloudAddress):
    """A bucket of Google's."""

    scheme: ClassVar[str] = "gs"
    noun: ClassVar[str] = "bucket"
    service: ClassVar[str] = "Google Cloud Storage"


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


STORE = cloud_store("gs://BUCKET/PREFIX", GcsAddress.parse, _place)
