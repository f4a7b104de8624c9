"""Puts the bucket together: engine, counter, limits, retries, in that order."""

from __future__ import annotations

from lucidnode.node.bucket.address import BucketAddress
from lucidnode.node.bucket.bucket import Bucket, Engine
from lucidnode.node.bucket.counted import CountedBucket, Observer
from lucidnode.node.bucket.credentials import CredentialSource
from lucidnode.node.bucket.limited import LimitedBucket
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.retrying import RetryingBucket
from lucidnode.node.bucket.stores import store_of
from lucidnode.node.client.backoff import Jitter
from lucidnode.node.client.clock import Clock

_PATIENCE_S = 20.0
_READS = 32
_LISTS = 8
_WRITES = 8


async def prepare_bucket(
    address: BucketAddress, credentials: CredentialSource, network: Network, *, create: bool
) -> BucketAddress:
    """Make sure that the bucket is there and ours to use; return the address to remember.

    `init` asks with *create*, which makes a missing one; `join` and the daemon without. It does
    not look into the bucket; `probe` tells whether it is fit. Raises WrongBucket, AccessDenied or
    Unavailable, each one sentence for a person.
    """
    prepared: BucketAddress = await store_of(address).prepare(
        address, credentials, network, create=create
    )
    return prepared


def open_bucket(
    address: BucketAddress,
    credentials: CredentialSource,
    network: Network,
    clock: Clock,
    jitter: Jitter,
    observe: Observer,
) -> Bucket:
    """Return the prepared bucket at *address*. Nothing is asked of it yet, and nothing to close.

    Any call but a create ends within 55 seconds (20 of retries, 20 in the queue, 15 for the answer)
    and the time its body takes at 32 KiB/s; a create within 15 and that time. A list has 15 more
    for every thousand keys.
    """
    engine = open_engine(address, credentials, network, clock)
    return patient(CountedBucket(engine, clock, observe), clock, jitter)


def open_engine(
    address: BucketAddress, credentials: CredentialSource, network: Network, clock: Clock
) -> Engine:
    """Return the innermost part, which asks once and counts nothing."""
    return store_of(address).engine(address, credentials, network, clock)


def patient(counted: Bucket, clock: Clock, jitter: Jitter) -> Bucket:
    """Wrap *counted* in limits and retries, for who can wait."""
    limited = LimitedBucket(counted, _READS, _LISTS, _WRITES)
    return RetryingBucket(limited, clock, jitter, _PATIENCE_S)
