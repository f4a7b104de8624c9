"""Objects of a bucket through presigned URLs: for who has no credentials of it, only such URLs.

What an answer has to look like is as strict as for those who have (node/bucket/objects.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.credentials import CredentialSource
from lucidnode.node.bucket.errors import AlreadyThere, Unsettled
from lucidnode.node.bucket.http import Http, HttpAnswer
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.passing import PassingBucket
from lucidnode.node.bucket.refusal import MAX_ERROR_BYTES, Refusal
from lucidnode.node.bucket.requests import SignedRequests
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import AccessDenied, Malformed, NotThere, Unavailable

_ANSWER_S = 30.0

_ONCE = {"if-none-match": "*"}
"""Signed, so the store takes no request without it: nobody overwrites what another has put."""


class PresignedPair(NamedTuple):
    """A URL that creates an object once, and one that reads another."""

    create: str
    read: str


async def presigned_pair(
    address: S3Address,
    credentials: CredentialSource,
    network: Network,
    clock: Clock,
    keys: tuple[str, str],
    lasts_s: int,
) -> PresignedPair:
    """Return URLs to create the first of *keys* and to read the second. Raises AccessDenied."""
    requests = SignedRequests(address, credentials, network, clock)
    folder = f"{address.prefix}/" if address.prefix else ""
    return PresignedPair(
        await requests.presigned("PUT", folder + keys[0], _ONCE, lasts_s),
        await requests.presigned("GET", folder + keys[1], {}, lasts_s),
    )


async def presigned_creates(
    address: S3Address,
    credentials: CredentialSource,
    network: Network,
    clock: Clock,
    keys: Sequence[str],
    lasts_s: int,
) -> list[str]:
    """Return a URL for each of *keys* that creates the object once. Raises AccessDenied."""
    requests = SignedRequests(address, credentials, network, clock)
    folder = f"{address.prefix}/" if address.prefix else ""
    return [await requests.presigned("PUT", folder + key, _ONCE, lasts_s) for key in keys]


class CreatingByUrl(PassingBucket):
    """A bucket that its owner lets us read, and create in what we have URLs for, by their keys."""

    def __init__(self, inner: Bucket, urls: Mapping[str, str], network: Network) -> None:
        super().__init__(inner)
        self._urls = urls
        self._network = network

    async def create(self, key: str, body: bytes) -> None:
        url = self._urls.get(key)
        if url is None:
            await super().create(key, body)
            return
        try:
            await create_at(url, body, self._network)
        except AccessDenied:
            raise
        except (Unavailable, Malformed) as error:
            raise Unsettled("What becomes of the object is not known.") from error


async def create_at(url: str, body: bytes, network: Network) -> None:
    """Create the object that *url* lets us create.

    Raises AlreadyThere, AccessDenied if the store does not let us (any more), Unavailable, Malformed.
    """
    async with _asked("PUT", url, network, _ONCE, body) as answer:
        if answer.status in {200, 201} and answer.headers.get("ETag"):
            await answer.body(MAX_ERROR_BYTES)
            return
        refusal = await _refusal(answer)
    if (refusal.status, refusal.code) == (412, "PreconditionFailed"):
        raise AlreadyThere("A request was put there already.")
    raise _meaning(refusal)


async def read_at(url: str, most: int, network: Network) -> bytes:
    """Return the object that *url* lets us read, of at most *most* bytes.

    Raises NotThere, AccessDenied if the store does not let us (any more), Unavailable, Malformed.
    """
    async with _asked("GET", url, network, {}) as answer:
        if answer.status == 200 and answer.headers.get("ETag") and answer.shows_its_end:
            return await answer.body(most)
        refusal = await _refusal(answer)
    if (refusal.status, refusal.code) == (404, "NoSuchKey"):
        raise NotThere("no such object")
    raise _meaning(refusal)


@asynccontextmanager
async def _asked(
    method: str, url: str, network: Network, headers: dict[str, str], body: bytes = b""
) -> AsyncIterator[HttpAnswer]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Malformed("the ticket names no usable address") from error
    usable = url.isascii() and url.isprintable() and not parts.username and port != 0
    if parts.scheme not in {"http", "https"} or not parts.hostname or not usable:
        raise Malformed("the ticket names no usable address")
    http = Http(network, f"{parts.scheme}://{parts.netloc}")
    try:
        async with (
            asyncio.timeout(_ANSWER_S),
            http.ask(method, f"{parts.path}?{parts.query}", headers, body) as answer,
        ):
            yield answer
    except TimeoutError as error:
        raise Unavailable(f"{parts.hostname} does not answer.") from error


async def _refusal(answer: HttpAnswer) -> Refusal:
    return Refusal.of(answer.status, answer.headers, await answer.body(MAX_ERROR_BYTES))


def _meaning(refusal: Refusal) -> AccessDenied | Unavailable:
    if refusal.status in {400, 401, 403} and refusal.code is not None:
        return AccessDenied(
            f"The store does not let this ticket ask any more (status {refusal.status}, "
            f"{refusal.code})",
            "ask for a new one",
        )
    return Unavailable(f"The store gave no answer that counts (status {refusal.status}).")
