"""The objects of one project as a check asks for them: of the bucket itself, past the daemon."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from lucidnode.direct_bucket import open_directly
from lucidnode.fs.fsck.project_objects import (
    PROJECT_FOLDERS,
    Folder,
    ObjectName,
    StoredObject,
)
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import Oversize
from lucidnode.node.bucket.fingerprint import fingerprint, fingerprint_of
from lucidnode.node.bucket.keys import ROSTER, project_prefix
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.open_bucket import prepare_bucket
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.client.errors import NotThere
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.config import load_config, load_credentials

_LAST = "z" * 32
"""Behind all names in a folder, which are digits."""

_PAGE = 1000
"""Names in one answer: no store gives more."""


class BucketObjects:
    """What lies in *bucket* of *project*; its requests are in no node's limits and counts."""

    def __init__(self, bucket: Bucket, project: ProjectId) -> None:
        self._bucket = bucket
        self._project = project

    async def names(self, folder: Folder) -> AsyncIterator[ObjectName]:
        """Yield what is in *folder*, in the order of the names. Raises as `Bucket.list`."""
        prefix = self._prefix(folder)
        after: str | None = None
        while found := await self._bucket.list(prefix, after, _PAGE):
            for each in found:
                yield ObjectName(each.key.removeprefix(f"{prefix}/"), each.size)
            after = found[-1].key

    async def elsewhere(self) -> AsyncIterator[str]:
        """Yield what lies below the project and in none of its folders. Raises as `Bucket.list`.

        A folder of the project takes one request, whatever is in it.
        """
        prefix = project_prefix(self._project)
        after: str | None = None
        while found := await self._bucket.list(prefix, after, 1):
            after = found[0].key
            name = after.removeprefix(f"{prefix}/")
            folder = name.partition("/")[0]
            if "/" not in name or folder not in PROJECT_FOLDERS:
                yield name
            else:
                after = max(after, f"{prefix}/{folder}/{_LAST}")

    async def read(self, folder: Folder, name: str) -> StoredObject | None:
        """Return an object, None if there is none. Raises as `Bucket.get`."""
        key = f"{self._prefix(folder)}/{name}"
        try:
            body = await self._bucket.get(key)
        except NotThere:
            return None
        except Oversize:
            return StoredObject((await fingerprint(self._bucket, key)).hash, None)
        return StoredObject(fingerprint_of(body).hash, body)

    def _prefix(self, folder: Folder) -> str:
        return ROSTER if folder == "roster" else f"p/{self._project}/{folder}"


async def open_objects(home: Path, project: ProjectId) -> BucketObjects:
    """Return the objects of *project* in the bucket of *home*. Raises as `prepare_bucket`."""
    config = await asyncio.to_thread(load_config, home)
    credentials = await asyncio.to_thread(load_credentials, home)
    network = Network.of(os.environ, config.authorities)
    address = parse_address(config.bucket_url, config.endpoint_url, config.region)
    source = credential_source(credentials, network)
    found = await prepare_bucket(address, source, network, create=False)
    return BucketObjects(open_directly(found, credentials, network), project)
