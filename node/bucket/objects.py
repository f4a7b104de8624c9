"""The door to obstore: a bucket of an S3 store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, UnauthenticatedError
from obstore.store import S3Store

from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.bucket import MAX_OBJECT, Listed
from lucidnode.node.bucket.errors import AlreadyThere, Oversize, Unsettled
from lucidnode.node.bucket.keys import is_key
from lucidnode.node.bucket.refusal import Refusal
from lucidnode.node.client.errors import (
    AccessDenied,
    Corrupt,
    NodeError,
    NotThere,
    Refused,
    Unavailable,
)

if TYPE_CHECKING:  # names of obstore's stubs only
    from obstore import GetOptions
    from obstore.store import S3CredentialProvider

_ANSWER_S = 15.0
"""Connecting included, and what the store needs to make a body durable."""

_SLOWEST = 32 * 1024
"""Bytes a second. A transfer below this rate counts as dead; eight at once fit 2 Mbit/s."""


class ObjectBucket:
    """Objects of an S3 bucket, over pooled connections. Bound to no event loop.

    obstore's own retries are off: for a create they would turn our success into "already exists",
    and elsewhere they would hide requests from the counters (`RetryingBucket` does it instead).
    """

    def __init__(
        self, address: S3Address, credentials: S3CredentialProvider, answer_s: float = _ANSWER_S
    ) -> None:
        """*answer_s* bounds in seconds what an answer takes apart from its bytes."""
        self._answer_s = answer_s
        self._name = str(address)
        self._folder = f"{address.prefix}/" if address.prefix else ""
        region = address.region or "us-east-1"
        self._store = S3Store(
            address.bucket,
            # Named even for AWS, and by its strongest name: what is left out here obstore takes
            # from the environment, which must not lead the daemon to another store.
            aws_endpoint_url_s3=address.endpoint or f"https://s3.{region}.amazonaws.com",
            region=region,
            credential_provider=credentials,
            skip_signature=False,
            virtual_hosted_style_request=False,
            # Sent as a header beside the signed payload hash, so any store that checks either
            # refuses a body damaged on its way.
            checksum_algorithm="SHA256",
            unsigned_payload=False,
            disable_bulk_delete=True,
            retry_config={"max_retries": 0},
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=5),
                # asyncio.timeout below ends every call; this only catches what nobody awaits.
                "timeout": timedelta(seconds=2 * self._deadline(MAX_OBJECT)),
                "pool_idle_timeout": timedelta(seconds=30),
            },
        )

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        assert is_key(key)
        assert span is None or 0 <= span[0] < span[1]
        options: GetOptions = {"range": span} if span else {}
        async with self._call():
            answer = await obstore.get_async(self._store, self._folder + key, options=options)
        start, end = answer.range
        if end - start > MAX_OBJECT:
            raise Oversize(key, answer.meta["size"])
        if span and (start, end) != span:
            raise Corrupt(f"{key} ends inside the bytes asked for")
        async with self._call(size=end - start):
            body = bytes(await answer.bytes_async())
        if len(body) != end - start:
            raise Unavailable(f"The {self._name} cut an object short.")
        return body

    async def put(self, key: str, body: bytes) -> None:
        assert is_key(key)
        try:
            async with self._call(size=len(body)):
                await obstore.put_async(
                    self._store, self._folder + key, body, mode="overwrite", use_multipart=False
                )
        except NotThere as error:
            raise Unavailable(f"The {self._name} does not take writes.") from error

    async def create(self, key: str, body: bytes) -> None:
        assert is_key(key)
        try:
            async with asyncio.timeout(self._deadline(len(body))):
                await obstore.put_async(
                    self._store, self._folder + key, body, mode="create", use_multipart=False
                )
        except AlreadyExistsError as error:
            # obstore gives 409 the same class, which S3 sends when two creates met and *neither*
            # was settled. Only a failed precondition proves that an object is there.
            if Refusal.of_text(str(error)).status in {412, 304}:
                raise AlreadyThere(f"The name {key} is taken.") from error
            raise Unsettled(f"The {self._name} met two creates at once.") from error
        except (BaseError, OSError) as error:
            if Refusal.of_text(str(error)).status == 501:
                raise Refused(f"The {self._name} has no create-if-absent (status 501).") from error
            meaning = self._meaning(error)
            if isinstance(meaning, AccessDenied):
                raise meaning from error
            raise Unsettled(str(meaning)) from error

    async def size(self, key: str) -> int | None:
        assert is_key(key)
        # Not HEAD: its answer has no body to say whether the object or the bucket is missing.
        try:
            async with self._call():
                answer = await obstore.get_async(
                    self._store, self._folder + key, options={"range": (0, 1)}
                )
                return answer.meta["size"]
        except NotThere:
            return None
        except Corrupt:  # there is no first byte
            return 0

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        assert not prefix or is_key(prefix)
        found: list[Listed] = []
        async with self._call(pages=1 + limit / 1000):
            pages = obstore.list(
                self._store,
                (self._folder + prefix).rstrip("/") or None,
                offset=None if after is None else self._folder + after,
                chunk_size=min(limit, 1000),
            )
            async for page in pages:
                found.extend(
                    Listed(meta["path"].removeprefix(self._folder), meta["size"]) for meta in page
                )
                if len(found) >= limit:
                    break
        return found[:limit]

    async def delete(self, key: str) -> None:
        assert is_key(key)
        async with self._call():
            await obstore.delete_async(self._store, self._folder + key)

    @asynccontextmanager
    async def _call(self, *, size: int = 0, pages: float = 1.0) -> AsyncIterator[None]:
        """Bound the call, and turn what obstore raises into the errors of this plane."""
        try:
            async with asyncio.timeout(self._deadline(size) * pages):
                yield
        except TimeoutError as error:
            raise Unavailable(f"The {self._name} did not answer in time.") from error
        except (BaseError, OSError) as error:
            raise self._meaning(error) from error

    def _deadline(self, size: int) -> float:
        return self._answer_s + size / _SLOWEST

    def _meaning(self, error: Exception) -> NodeError:
        refusal = Refusal.of_text(str(error))
        if isinstance(error, UnauthenticatedError) and refusal.status is None:
            return AccessDenied(f"There are no usable credentials for the {self._name}.")
        return refusal.error(self._name)
