"""The bucket as one process asks it that has no daemon: who founds, joins, or tries credentials."""

from __future__ import annotations

import secrets

from lucidnode.node.bucket.address import BucketAddress
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.counted import Request
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.open_bucket import open_bucket
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.client.clock import SystemClock

JITTER = secrets.SystemRandom().random


def open_directly(
    address: BucketAddress, credentials: Credentials | None, network: Network
) -> Bucket:
    """Return the bucket at *address*, which was prepared. Nothing is asked of it yet."""
    source = credential_source(credentials, network)
    return open_bucket(address, source, network, SystemClock(), JITTER, _uncounted)


def _uncounted(_request: Request) -> None:
    """Count nothing: this is not part of any node's bandwidth."""
