"""A bucket of an S3 store: the six verbs as signed requests, and what each answer has to look like.

An answer counts only if it is shaped as a store's: a page of a portal or a gateway has status 200 as
well, and is neither an object nor the acknowledgement of one. So an object comes with an ETag and
its length, a part with the Content-Range that was asked for, a write is acknowledged with an ETag.
And a create is settled by the store's own error code only: any gateway can say 412 or 501.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from blake3 import blake3

from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.body_time import still_coming, whole_s
from lucidnode.node.bucket.bucket import MAX_OBJECT_BYTES, Hashed, Listed
from lucidnode.node.bucket.credentials import CredentialSource
from lucidnode.node.bucket.errors import AlreadyThere, Oversize, Unreachable, Unsettled
from lucidnode.node.bucket.http import HttpAnswer
from lucidnode.node.bucket.keys import is_key
from lucidnode.node.bucket.listing import MAX_PAGE_BYTES, Page, parse_page
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.refusal import MAX_ERROR_BYTES, Refusal
from lucidnode.node.bucket.requests import SignedRequests
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import (
    AccessDenied,
    Archived,
    Corrupt,
    Malformed,
    NodeError,
    NotThere,
    Refused,
    Unavailable,
)

_ANSWER_S = 15.0
"""Connecting included, and what the store needs to make a body durable."""

_PAGE_KEYS = 1000

_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18})")


class ObjectBucket:
    """Objects of an S3 bucket, over pooled connections. Bound to no event loop.

    Nothing is retried here: for a create that would turn our success into "already exists", and
    elsewhere it would hide requests from the counters (`RetryingBucket` does it instead).
    """

    def __init__(
        self,
        address: S3Address,
        credentials: CredentialSource,
        network: Network,
        clock: Clock,
        answer_s: float = _ANSWER_S,
    ) -> None:
        """*answer_s* bounds in seconds what an answer takes apart from its bytes."""
        self._answer_s = answer_s
        self._name = str(address)
        self._folder = f"{address.prefix}/" if address.prefix else ""
        self._requests = SignedRequests(address, credentials, network, clock)

    @property
    def skew_s(self) -> float | None:
        """By how many seconds the store's clock is ahead of ours, by its last answer."""
        return self._requests.skew_s

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        assert is_key(key)
        assert span is None or 0 <= span[0] < span[1]
        headers = {"range": f"bytes={span[0]}-{span[1] - 1}"} if span else {}
        async with (
            self._in_time(self._deadline(0)) as limit,
            self._asked("GET", key, headers=headers) as answer,
        ):
            if answer.status not in {200, 206}:
                raise await self._said_no(answer, NotThere, Archived, *((Corrupt,) if span else ()))
            if span is None:
                return await self._body(answer, self._whole(answer, key), limit)
            return await self._body(answer, self._part(answer, span), limit)

    async def block(self, key: str) -> Hashed:
        assert is_key(key)
        async with (
            self._in_time(self._deadline(0)) as limit,
            self._asked("GET", key, headers={}) as answer,
        ):
            if answer.status not in {200, 206}:
                raise await self._said_no(answer, NotThere, Archived)
            size = self._whole(answer, key)
            hasher = blake3()
            body: bytes | bytearray
            if size is None:
                body = await self._body(answer, size, limit)
                hasher.update(body)
            else:
                came = still_coming(limit, size, self._answer_s)

                def take(piece: memoryview) -> None:
                    hasher.update(piece)
                    came(len(piece))

                body = await answer.body_straight(size, take)
        return Hashed(body, hasher.digest())

    async def _body(self, answer: HttpAnswer, size: int | None, limit: asyncio.Timeout) -> bytes:
        """Return the body of *answer*, which has *size* bytes, if that is known; *limit* becomes its own."""
        came = still_coming(limit, size, self._answer_s)
        body = await answer.body(MAX_OBJECT_BYTES if size is None else size, came)
        if size is not None and len(body) != size:
            raise Unavailable(f"The {self._name} cut an object short.")
        return body

    async def put(self, key: str, body: bytes) -> None:
        assert is_key(key)
        async with (
            self._in_time(self._deadline(len(body))),
            self._asked("PUT", key, body=body) as answer,
        ):
            if answer.status not in {200, 201}:
                raise await self._said_no(answer)
            await self._check_acknowledged(answer)

    async def create(self, key: str, body: bytes) -> None:
        assert is_key(key)
        try:
            async with (
                self._in_time(self._deadline(len(body))),
                self._asked("PUT", key, body=body, headers={"if-none-match": "*"}) as answer,
            ):
                await self._check_created(answer, key)
        except (AlreadyThere, Refused, AccessDenied):
            raise
        except NodeError as error:
            raise Unsettled(str(error)) from error

    async def _check_created(self, answer: HttpAnswer, key: str) -> None:
        # 409 is none of them: S3 sends it when two creates met and *neither* was settled. Only a
        # failed precondition proves that an object is there.
        if answer.status in {200, 201}:
            await self._check_acknowledged(answer)
            return
        if answer.status < 300:
            raise self._no_store()
        match await self._requests.refusal(answer):
            case Refusal(status=412, code="PreconditionFailed"):
                raise AlreadyThere(f"The name {key} is taken.")
            case Refusal(status=501, code="NotImplemented"):
                raise Refused(f"The {self._name} has no create-if-absent (status 501).")
            case refusal:
                raise self._meaning(refusal)

    async def size(self, key: str) -> int | None:
        assert is_key(key)
        # Not HEAD: its answer has no body to say whether the object or the bucket is missing.
        async with (
            self._in_time(self._deadline(0)),
            self._asked("GET", key, headers={"range": "bytes=0-0"}) as answer,
        ):
            if answer.status == 206:
                self._check_shape(answer)
                return self._range(answer)[2]
            if answer.status == 200 and answer.length == 0:  # there is no first byte
                self._check_shape(answer)
                return 0
            if answer.status != 416:
                error = await self._said_no(answer, NotThere, Archived)
                if isinstance(error, NotThere):
                    return None
                raise error
            if "Content-Range" in answer.headers and self._range(answer) == (0, 0, 0):
                return 0
        # Ceph does not say how long an object is that has no first byte.
        return len(await self.get(key))

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        assert not prefix or is_key(prefix)
        folder = self._folder + (f"{prefix}/" if prefix else "")
        found: list[Listed] = []
        last = None if after is None else self._folder + after
        async with self._in_time(self._deadline(0) * (1 + limit / _PAGE_KEYS)):
            while len(found) < limit:
                page = await self._page(folder, last, min(limit, _PAGE_KEYS))
                keys = [key for key, _ in page.objects]
                if not _is_listing_of(folder, last, keys):
                    raise Unavailable(f"The {self._name} lists something else than was asked for.")
                found.extend(
                    Listed(own, size)
                    for key, size in page.objects
                    # Others may keep things here under names that are none of ours.
                    if is_key(own := key.removeprefix(self._folder))
                )
                if not page.is_cut:
                    break
                if not keys:
                    raise Unavailable(f"The {self._name} lists nothing where there is more.")
                last = keys[-1]
        return found[:limit]

    async def delete(self, key: str) -> None:
        assert is_key(key)
        async with self._in_time(self._deadline(0)), self._asked("DELETE", key) as answer:
            if answer.status != 204 and not (answer.status == 200 and answer.length == 0):
                error = await self._said_no(answer, NotThere)
                if not isinstance(error, NotThere):
                    raise error

    async def _page(self, folder: str, last: str | None, most: int) -> Page:
        query = (
            ("list-type", "2"),
            ("encoding-type", "url"),
            ("max-keys", str(most)),
            *((("prefix", folder),) if folder else ()),
            *((("start-after", last),) if last is not None else ()),
        )
        async with self._requests.ask("GET", query=query) as answer:
            if answer.status != 200:
                raise await self._said_no(answer)
            body = await answer.body(MAX_PAGE_BYTES)
        try:
            return parse_page(body)
        except Malformed as error:
            raise self._no_store() from error

    def _asked(
        self, method: str, key: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> AbstractAsyncContextManager[HttpAnswer]:
        return self._requests.ask(method, self._folder + key, headers=headers, body=body)

    def _whole(self, answer: HttpAnswer, key: str) -> int | None:
        """Return how long the object is, as the head of *answer* has it."""
        self._check_shape(answer)
        if answer.status != 200:
            raise Unavailable(f"The {self._name} sends a part where all was asked for.")
        if not answer.shows_its_end:
            raise Unavailable(f"The {self._name} does not say where an object ends.")
        if answer.length is not None and answer.length > MAX_OBJECT_BYTES:
            raise Oversize(key, answer.length)
        return answer.length

    def _part(self, answer: HttpAnswer, span: tuple[int, int]) -> int:
        """Return how many bytes follow, which is as many as were asked for."""
        self._check_shape(answer)
        if answer.status != 206:
            raise Unavailable(f"The {self._name} sends all where a part was asked for.")
        start, end, size = self._range(answer)
        if start == span[0] and end == size < span[1]:
            raise Corrupt("the object ends inside the bytes asked for")
        if (start, end) != span:
            raise Unavailable(f"The {self._name} sends another part than was asked for.")
        if end - start > MAX_OBJECT_BYTES:
            raise Oversize("a part", end - start)
        return end - start

    def _range(self, answer: HttpAnswer) -> tuple[int, int, int]:
        """Return first byte, byte after the last, and size of the object, as *answer* has them."""
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if found is None:
            raise self._no_store()
        if found[1] is None:
            return 0, 0, int(found[3])
        start, end, size = int(found[1]), int(found[2]) + 1, int(found[3])
        if not start < end <= size:
            raise self._no_store()
        return start, end, size

    def _check_shape(self, answer: HttpAnswer) -> None:
        """Raise Unavailable unless *answer* is about an object, as every ETag says."""
        if not answer.headers.get("ETag"):
            raise self._no_store()

    async def _check_acknowledged(self, answer: HttpAnswer) -> None:
        """Raise Unavailable unless *answer* takes a write; stores say no after a 200 as well."""
        self._check_shape(answer)
        body = await answer.body(MAX_ERROR_BYTES)
        if b"<Error" in body:
            raise self._meaning(Refusal.of(500, answer.headers, body))

    def _no_store(self) -> Unavailable:
        return Unavailable(
            f"What answers for the {self._name} is not a store now",
            "check whether the network wants a login, and the endpoint",
        )

    async def _said_no(self, answer: HttpAnswer, *settled: type[NodeError]) -> NodeError:
        """Return what to raise for an answer that is none to what was asked."""
        if answer.status < 300:
            return self._no_store()
        return self._meaning(await self._requests.refusal(answer), *settled)

    def _meaning(self, refusal: Refusal, *settled: type[NodeError]) -> NodeError:
        """Return what *refusal* means. Of the object it tells only what is *settled* by it."""
        error = refusal.error(self._name)
        if isinstance(error, NotThere | Corrupt) and not isinstance(error, settled):
            return Unavailable(f"The {self._name} cannot be used now: {refusal.words}.")
        return error

    @asynccontextmanager
    async def _in_time(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        try:
            async with asyncio.timeout(seconds) as limit:
                yield limit
        except TimeoutError as error:
            raise Unreachable(
                f"The {self._name} did not answer in time", "check the network"
            ) from error

    def _deadline(self, size: int) -> float:
        return whole_s(self._answer_s, size)


def _is_listing_of(folder: str, last: str | None, keys: list[str]) -> bool:
    """Tell whether *keys* are in order, below *folder* and behind *last*, as stores compare bytes."""
    order = [key.encode(errors="surrogateescape") for key in keys]
    start = b"" if last is None else last.encode(errors="surrogateescape")
    return (
        order == sorted(order)
        and all(key.startswith(folder) for key in keys)
        and (last is None or not order or start < order[0])
    )
