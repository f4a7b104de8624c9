"""The bucket as one process asks it that has no daemon: who founds, joins, or tries credentials."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

from lucidnode.node.bucket.address import BucketAddress
from lucidnode.node.bucket.bucket import Bucket, Engine
from lucidnode.node.bucket.counted import Request
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.open_bucket import open_bucket, open_engine, prepare_bucket
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.bucket.stores import parse_address
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.config import NodeConfig, load_credentials

JITTER = secrets.SystemRandom().random


def open_directly(
    address: BucketAddress, credentials: Credentials | None, network: Network
) -> Bucket:
    """Return the bucket at *address*, which was prepared. Nothing is asked of it yet."""
    source = credential_source(credentials, network)
    return open_bucket(address, source, network, SystemClock(), JITTER, _uncounted)


async def opened_engine(home: Path, config: NodeConfig) -> Engine:
    """Return the innermost part of the bucket of *home*, which asks once. Raises as `prepare_bucket`."""
    address = parse_address(config.bucket_url, config.endpoint_url, config.region)
    network = Network.of(os.environ, config.authorities)
    source = credential_source(await asyncio.to_thread(load_credentials, home), network)
    address = await prepare_bucket(address, source, network, create=False)
    return open_engine(address, source, network, SystemClock())


def _uncounted(_request: Request) -> None:
    """Count nothing: this is not part of any node's bandwidth."""
