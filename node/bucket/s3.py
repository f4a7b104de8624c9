"""The kind of store that speaks S3."""

from __future__ import annotations

from lucidnode.node.bucket.address import S3Address, parse_s3
from lucidnode.node.bucket.bucket import Engine
from lucidnode.node.bucket.credentials import CredentialSource
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.objects import ObjectBucket
from lucidnode.node.bucket.prepare import prepare_s3
from lucidnode.node.bucket.store import Store
from lucidnode.node.client.clock import Clock


def _engine(
    address: S3Address, credentials: CredentialSource, network: Network, clock: Clock
) -> Engine:
    return ObjectBucket(address, credentials, network, clock)


STORE = Store("s3://BUCKET/PREFIX", parse_s3, prepare_s3, _engine)
