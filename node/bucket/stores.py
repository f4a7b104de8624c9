"""Which stores there are: who serves a bucket's URL is decided here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lucidnode.node.bucket import azure, directory, gcs, s3
from lucidnode.node.bucket.address import BucketAddress, split_url
from lucidnode.node.bucket.store import Store
from lucidnode.node.client.errors import Malformed

STORES: Mapping[str, Store[Any]] = {
    "s3": s3.STORE,
    "file": directory.STORE,
    "az": azure.STORE,
    "gs": gcs.STORE,
}
"""By the scheme of the URL, which every address carries."""


def parse_address(
    url: str, endpoint: str | None = None, region: str | None = None
) -> BucketAddress:
    """Return where *url* leads, else raise Malformed. An empty *endpoint* or *region* is none."""
    parts = split_url(url, "the bucket URL")
    store = STORES.get(parts.scheme)
    if store is None:
        forms = [each.url_form for each in STORES.values()]
        known = f"{', '.join(forms[:-1])} or {forms[-1]}"
        raise Malformed(f"'{url}' is no bucket URL: write {known}.")
    address: BucketAddress = store.parse(parts, endpoint or None, region or None)
    return address


def store_of(address: BucketAddress) -> Store[Any]:
    """Return who serves *address*."""
    return STORES[address.scheme]
