"""Signed requests to one bucket of an S3 store."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote, urlsplit

from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.credentials import CredentialSource
from lucidnode.node.bucket.http import Http, HttpAnswer
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.refusal import MAX_ERROR_BYTES, Refusal, skew_of
from lucidnode.node.bucket.signature import (
    UNSIGNED,
    Query,
    encoded_query,
    presigned_query,
    signed_headers,
)
from lucidnode.node.client.clock import Clock

DEFAULT_REGION = "us-east-1"

_SMALL_BYTES = 64 * 1024
"""Bytes that are hashed in the loop; more would hold it up."""

_PORTS = {"http": 80, "https": 443}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SignedRequests:
    """Sends requests about the bucket and its objects. Bound to no event loop.

    The path has the bucket's name in it (path style), which every store understands.
    """

    def __init__(
        self,
        address: S3Address,
        credentials: CredentialSource,
        network: Network,
        clock: Clock,
    ) -> None:
        self.name = str(address)
        self.region = address.region or DEFAULT_REGION
        endpoint = urlsplit(address.endpoint or f"https://s3.{self.region}.amazonaws.com")
        base = f"{endpoint.scheme}://{endpoint.netloc}"
        self._base = base
        self._is_tls = endpoint.scheme == "https"
        port = endpoint.port
        self._host = endpoint.netloc
        if port == _PORTS[endpoint.scheme]:
            self._host = endpoint.netloc.removesuffix(f":{port}")
        self._path = f"{quote(unquote(endpoint.path))}/{address.bucket}"
        self._credentials = credentials
        self._clock = clock
        self._http = Http(network, base)
        self._store_began_s: float | None = None
        """When this machine began, in seconds since 1970, by the store's clock at its last answer."""

    @property
    def skew_s(self) -> float | None:
        """By how many seconds the store's clock is ahead of ours, also where ours was set since its last answer."""
        return None if self._store_began_s is None else self._store_began_s - self._began_s()

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        key: str = "",
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> AsyncIterator[HttpAnswer]:
        """Ask for the bucket, or for the object *key* in it, and give the answer.

        *headers* have lower-case names. Raises Unavailable, and AccessDenied where there are no
        credentials.
        """
        credentials = await self._credentials()
        body_sha256, checksum = await _digests(body, is_signed=signs_body(body, self._is_tls))
        wanted = {"host": self._host, **(headers or {})}
        if method == "PUT":
            wanted["x-amz-checksum-crc32"] = checksum
            wanted["content-type"] = "application/octet-stream"
        path = f"{self._path}/{key}" if key else self._path
        signed = signed_headers(
            method, path, query, wanted, body_sha256, credentials, self.region, self._now()
        )
        target = f"{path}?{encoded_query(query)}" if query else path
        async with self._http.ask(method, target, signed, body) as answer:
            skew_s = skew_of(answer.headers, self._now())
            self._store_began_s = None if skew_s is None else self._began_s() + skew_s
            yield answer

    async def presigned(
        self, method: str, key: str, headers: Mapping[str, str], lasts_s: int
    ) -> str:
        """Return a URL that lets whoever has it ask this for *lasts_s* seconds, with these *headers*.

        Raises AccessDenied where there are no credentials.
        """
        path = f"{self._path}/{key}"
        query = presigned_query(
            method,
            path,
            {"host": self._host, **headers},
            await self._credentials(),
            self.region,
            self._now(),
            lasts_s,
        )
        return f"{self._base}{path}?{query}"

    async def refusal(self, answer: HttpAnswer) -> Refusal:
        """Return what *answer*, one outside 2xx, says. Raises Unavailable for one that is cut."""
        return Refusal.of(
            answer.status, answer.headers, await answer.body(MAX_ERROR_BYTES), self.skew_s
        )

    def _began_s(self) -> float:
        return self._clock.wall_ns() / 1e9 - self._clock.boot()

    def _now(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self._clock.wall_ns() // 1000)


def signs_body(body: bytes, is_tls: bool) -> bool:
    """Tell whether the signature of a request is to cover its *body*.

    Without TLS it always is: who overhears a request could send it once more with another body. Within
    TLS nobody overhears, and to hash all that is written would be a good part of what an upload costs.
    Of what is small it costs nothing, and small are the entries of logs (docs/design/0005-store.md).
    """
    return not is_tls or len(body) <= _SMALL_BYTES


async def _digests(body: bytes, *, is_signed: bool) -> tuple[str, str]:
    """Return what the signature has of *body*, and a checksum by which a store sees damage on the way.

    A store may check either of the two, or both: SeaweedFS the checksum alone, one from before 2022
    the hash alone.
    """
    if len(body) <= _SMALL_BYTES:
        return _digests_here(body, is_signed)
    return await asyncio.to_thread(_digests_here, body, is_signed)


def _digests_here(body: bytes, is_signed: bool) -> tuple[str, str]:
    checksum = base64.b64encode(zlib.crc32(body).to_bytes(4)).decode()
    return hashlib.sha256(body).hexdigest() if is_signed else UNSIGNED, checksum
