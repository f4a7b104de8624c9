"""What is done once to a bucket as a whole: find it, make it, learn its region."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.credentials import CredentialSource
from lucidnode.node.bucket.errors import WrongBucket
from lucidnode.node.bucket.listing import MAX_PAGE_BYTES, parse_page
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.refusal import Refusal
from lucidnode.node.bucket.requests import DEFAULT_REGION, SignedRequests
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import AccessDenied, Malformed, Unavailable

_ANSWER_S = 20.0
_TRIES = 2


async def prepare_s3(
    address: S3Address, credentials: CredentialSource, network: Network, *, create: bool
) -> S3Address:
    """Make sure the bucket is there and we may enter; return its address with its region.

    With *create* a missing bucket is made. Raises WrongBucket, AccessDenied or Unavailable, each
    one sentence for a person.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            return await _entered(address, credentials, network, create=create)
        except AccessDenied:
            raise
        except Unavailable as error:
            if error.lasting or not tries_left:
                raise
    raise AssertionError


async def _entered(
    address: S3Address, credentials: CredentialSource, network: Network, *, create: bool
) -> S3Address:
    requests = SignedRequests(address, credentials, network, SystemClock())
    prefix = (("prefix", f"{address.prefix}/"),) if address.prefix else ()
    # Not HEAD: its answer has no body to say why. Rights may end at our own folder.
    query = (("list-type", "2"), ("max-keys", "1"), *prefix)
    async with _in_time(address), requests.ask("GET", query=query) as answer:
        if answer.status == 200:
            body = await answer.body(MAX_PAGE_BYTES)
            try:
                parse_page(body)
            except Malformed as error:
                raise _no_s3_store(address) from error
            said = answer.headers.get("x-amz-bucket-region")
            return replace(address, region=said or address.region or DEFAULT_REGION)
        refusal = await requests.refusal(answer)
    if refusal.is_elsewhere and refusal.region and not address.region:
        # The store tells what was not asked of a person.
        there = replace(address, region=refusal.region)
        return await _entered(there, credentials, network, create=create)
    if refusal.status != 404:
        raise _meaning(refusal, address)
    if not create:
        if refusal.code is None:
            raise _no_s3_store(address)
        raise WrongBucket(f"There is no {address}: check its name.")
    await _create(requests, address)
    return replace(address, region=requests.region)


async def _create(requests: SignedRequests, address: S3Address) -> None:
    # AWS wants every region named but its first, and refuses that one by name.
    there = requests.region != DEFAULT_REGION and address.endpoint is None
    place = (
        '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<LocationConstraint>{requests.region}</LocationConstraint></CreateBucketConfiguration>"
    )
    async with (
        _in_time(address),
        requests.ask("PUT", body=place.encode() if there else b"") as answer,
    ):
        if answer.status in {200, 201, 204}:
            return
        refusal = await requests.refusal(answer)
    match refusal.code:
        case "BucketAlreadyOwnedByYou":
            return
        case "BucketAlreadyExists":
            raise WrongBucket(f"The {address} belongs to somebody else: choose another name.")
        case "InvalidBucketName":
            raise WrongBucket(f"The store allows no {address}: choose another name.")
        case "AccessDenied":
            raise WrongBucket(
                f"There is no {address}, and these credentials may not create it: "
                "check its name, or create it first."
            )
        case None if refusal.status in {400, 404, 405, 501}:
            raise _no_s3_store(address)
        case _:
            raise _meaning(refusal, address)


def _meaning(refusal: Refusal, address: S3Address) -> Exception:
    if refusal.is_elsewhere:
        cause, remedy = refusal.region_words(str(address))
        return WrongBucket(f"{cause}: {remedy}.")
    return refusal.error(str(address))


@asynccontextmanager
async def _in_time(address: S3Address) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_ANSWER_S):
            yield
    except TimeoutError as error:
        where = address.endpoint or "AWS S3"
        raise Unavailable(
            f"What is at {where} did not answer in time", "check the endpoint and network"
        ) from error


def _no_s3_store(address: S3Address) -> WrongBucket:
    where = address.endpoint or "AWS S3"
    return WrongBucket(f"What answers at {where} is no S3 store: check the endpoint URL.")
