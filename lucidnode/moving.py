"""Moving house: the studio's objects into another bucket, and this workstation after them.

Why it may not be done by halves: docs/design/0020-bucket-move.md.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from lucidnode.bucket_copy import Copied, copy, lacking
from lucidnode.direct_bucket import JITTER
from lucidnode.new_studio import BucketSpec, opened_place
from lucidnode.node.bucket.address import BucketAddress
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.fingerprint import fingerprint
from lucidnode.node.bucket.keys import STUDIO, roster_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.probe import probe
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import NotThere, Refused
from lucidnode.node.client.ids import Seq
from lucidnode.node.config import (
    BUCKET_FILE,
    NodeConfig,
    change_config,
    load_config,
    load_credentials,
    save_credentials,
)


class Move:
    """From the bucket that *home* uses into *new*. Both were opened; `begun` makes one."""

    def __init__(
        self, home: Path, old: Bucket | None, new: Bucket, place: BucketSpec, found: BucketAddress
    ) -> None:
        self._home = home
        self._old = old
        self._new = new
        self._place = place
        self._found = found

    async def lacking(self) -> tuple[int, int]:
        """Return how many objects, and bytes, are missing in the new bucket. Raises as `copy`."""
        assert self._old is not None
        return await lacking(self._old, self._new)

    async def copy(self, show: Callable[[int], None]) -> Copied:
        """Copy what is missing; *show* is told bytes. Raises as `bucket_copy.copy`."""
        assert self._old is not None
        told = await copy(self._old, self._new, show, SystemClock(), JITTER)
        await self._new.put(STUDIO, await self._old.get(STUDIO))
        return told

    async def require_whole(self) -> None:
        """Raise WrongBucket or Refused unless the new bucket is this studio's, and has all of the old one.

        Others may work there by now. Without an old one the first entry of the log of members has to do.
        """
        if not await _is_ours(self._new, load_config(self._home)):
            raise WrongBucket("there is no copy of the studio there: run `lucidnode bucket copy`")
        if self._old is None:
            return
        objects, _ = await lacking(self._old, self._new, follows=True)
        if objects:
            raise Refused(
                f"{objects:,} objects are not in the new bucket yet: run `lucidnode bucket copy` again"
            )

    def take_up(self) -> None:
        """Have *home* use the new bucket from the next start of its daemon. Raises DiskFull, OSError."""
        place, found = self._place, self._found

        def moved(config: NodeConfig) -> NodeConfig:
            return msgspec.structs.replace(
                config,
                bucket_url=place.url,
                role_credentials=None,  # those of the old store; the new one's count from 1
                endpoint_url=found.endpoint,
                region=found.region,
                authorities=place.network.authorities or None,
            )

        # Settings first: broken off in between, the same command sees where it is, and goes on.
        change_config(self._home, moved)
        if place.credentials is not None:
            save_credentials(self._home, place.credentials)
        else:
            (self._home / BUCKET_FILE).unlink(missing_ok=True)


async def begun(home: Path, place: BucketSpec, *, create: bool, has_old: bool) -> Move:
    """Open both buckets. With *create* a missing new one is made; without *has_old* only the new is used.

    Raises WrongBucket for a new one with another studio in it, StoreUnfit for one that cannot carry
    a journal, Refused if both are one, AccessDenied, Unavailable.
    """
    config = await asyncio.to_thread(load_config, home)
    found, new = await opened_place(place, create=create)
    await probe(new)
    if not await _is_ours(new, config) and await new.size(roster_key(Seq(1))) is not None:
        raise WrongBucket("there is another studio in that bucket: choose another prefix")
    old: Bucket | None = None
    if has_old:
        here = BucketSpec.parse(
            config.bucket_url,
            config.endpoint_url,
            config.region,
            await asyncio.to_thread(load_credentials, home),
            Network.of(os.environ, config.authorities),
        )
        at, old = await opened_place(here, create=False)
        if at == found:
            old = None
            if create:
                raise Refused("that is the bucket which this workstation uses already")
    return Move(home, old, new, place, found)


async def _is_ours(bucket: Bucket, config: NodeConfig) -> bool:
    try:
        first = await fingerprint(bucket, roster_key(Seq(1)))
    except NotThere:
        return False
    return first.hash.hex() == config.genesis
