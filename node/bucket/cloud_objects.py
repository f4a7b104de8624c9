"""The door to obstore: the six verbs over a store that has no S3, such as Azure's and Google's.

obstore is optional: without it such a bucket is Refused with the way out. It asks once for each
call and is told whom TLS trusts and which proxy to take. What it does not let us have is in
docs/design/0005-store.md, "Azure and Google".

It tells what a store answered in words only. A code in them decides what is absent and what is
taken: without the store's own code an answer settles nothing, as in `objects`. The words never
reach a person, since they may hold names and signatures.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult

from blake3 import blake3

from lucidnode.node.bucket.address import BucketAddress
from lucidnode.node.bucket.body_time import still_coming, whole_s
from lucidnode.node.bucket.bucket import MAX_OBJECT_BYTES, Engine, Hashed, Listed
from lucidnode.node.bucket.credentials import Credentials, CredentialSource
from lucidnode.node.bucket.errors import AlreadyThere, Oversize, Unreachable, Unsettled, WrongBucket
from lucidnode.node.bucket.keys import is_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.store import Store
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import (
    AccessDenied,
    Corrupt,
    NodeError,
    NotThere,
    Refused,
    Unavailable,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_ANSWER_S = 15.0
"""As in `objects`: connecting included, and what the store needs to make a body durable."""

_PIECE_BYTES = 256 * 1024
"""Of a body, that obstore gives at once: at the slowest rate there is one each eight seconds."""

_PAGE_KEYS = 1000

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>\s*(\w{1,64})\s*</Code>")
_AT_THE_END = "Wanted range starting at"
"""obstore's words for a range that begins where the object ends."""

_GIVE = "give working ones with `lucidnode credentials set --credentials-file FILE`"

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one kind of store calls things, by its own error codes."""

    no_object: str
    no_bucket: str
    taken: str
    """Said by a store that did not create what exists. Other conflicts settle nothing."""

    bad_span: str


@dataclass(frozen=True, slots=True)
class CloudPlace:
    """A bucket as obstore is to open it."""

    name: str
    """As a person would say it."""

    url: str
    prefix: str
    endpoint: str
    dialect: Dialect

    settings: Callable[[Credentials], Mapping[str, Any]]
    """Returns obstore's configuration for these credentials, complete: what it leaves out, obstore
    would look for in the environment. Raises ValueError for credentials of another kind."""


_Address = TypeVar("_Address", bound=BucketAddress)


def cloud_store(
    url_form: str,
    parse: Callable[[SplitResult, str | None, str | None], _Address],
    place: Callable[[_Address], CloudPlace],
) -> Store[_Address]:
    """Return the kind of store whose buckets lie at *place*."""

    async def prepare(
        address: _Address, credentials: CredentialSource, network: Network, *, create: bool
    ) -> _Address:
        await CloudBucket(place(address), credentials, network).enter(create=create)
        return address

    def engine(
        address: _Address, credentials: CredentialSource, network: Network, _clock: Clock
    ) -> Engine:
        return CloudBucket(place(address), credentials, network)

    return Store(url_form, parse, prepare, engine)


class _NoBucket(Unavailable):
    """The store says that the bucket is not there."""


class CloudBucket:
    """Objects of a store that obstore speaks to. Bound to no event loop, and nothing to close."""

    skew_s: float | None = None

    def __init__(
        self,
        place: CloudPlace,
        credentials: CredentialSource,
        network: Network,
    ) -> None:
        self._place = place
        self._folder = f"{place.prefix}/" if place.prefix else ""
        self._credentials = credentials
        self._network = network
        self._opened: tuple[Credentials, ObjectStore] | None = None

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        return bytes(await self._got(key, span, lambda _: None))

    async def block(self, key: str) -> Hashed:
        hasher = blake3()
        body = await self._got(key, None, hasher.update)
        return Hashed(body, hasher.digest())

    async def _got(
        self, key: str, span: tuple[int, int] | None, piece: Callable[[bytes], object]
    ) -> bytearray:
        assert is_key(key)
        assert span is None or 0 <= span[0] < span[1]
        async with self._in_time(0) as limit:
            result = await self._asked(key, span)
            (start, end), size = result.range, result.meta["size"]
            if span is None and size > MAX_OBJECT_BYTES:
                raise Oversize(key, size)
            if start == (span or (0, 0))[0] and span is not None and end == size < span[1]:
                raise Corrupt("the object ends inside the bytes asked for")
            if (start, end) != (span or (0, size)):
                raise Unavailable(f"The {self._place.name} sends another part than was asked for.")
            if end - start > MAX_OBJECT_BYTES:
                raise Oversize("a part", end - start)
            came = still_coming(limit, end - start, _ANSWER_S)
            body = bytearray()
            stream = result.stream(min_chunk_size=_PIECE_BYTES)
            while (chunk := await self._said(_next(stream))) is not None:
                body += chunk
                piece(chunk)
                came(len(body))
                if len(body) > end - start:
                    break
        if len(body) != end - start:
            raise Unavailable(f"The {self._place.name} sends another length than it says.")
        return body

    async def put(self, key: str, body: bytes) -> None:
        assert is_key(key)
        async with self._in_time(len(body)):
            await self._written(key, body, "overwrite")

    async def create(self, key: str, body: bytes) -> None:
        assert is_key(key)
        try:
            async with self._in_time(len(body)):
                await self._written(key, body, "create")
        except (AlreadyThere, Refused, AccessDenied):
            raise
        except NodeError as error:
            raise Unsettled(str(error)) from error

    async def size(self, key: str) -> int | None:
        assert is_key(key)
        try:
            async with self._in_time(0):
                # Not HEAD: its answer has no body to say whether the object or the bucket is gone.
                result = await self._asked(key, (0, 1))
                return int(result.meta["size"])
        except NotThere:
            return None
        except (Corrupt, Unreachable):
            # There is no first byte, or obstore cannot read how the store says so (Azurite).
            return len(await self.get(key))

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        assert not prefix or is_key(prefix)
        folder = self._folder + (f"{prefix}/" if prefix else "")
        found: list[Listed] = []
        async with self._in_time(0, times=1 + limit / _PAGE_KEYS):
            store = await self._store()
            pages = _library().list(
                store,
                folder or None,
                offset=None if after is None else self._folder + after,
                chunk_size=min(limit, _PAGE_KEYS),
            )
            while len(found) < limit and (page := await self._said(_next(pages))) is not None:
                keys = [each["path"] for each in page]
                last = self._folder + (found[-1].key if found else after or "")
                if keys != sorted(keys) or not all(
                    key.startswith(folder) and key > last for key in keys
                ):
                    raise Unavailable(
                        f"The {self._place.name} lists something else than was asked for."
                    )
                found += [
                    Listed(own, each["size"])
                    for each in page
                    # Others may keep things here under names that are none of ours.
                    if is_key(own := each["path"].removeprefix(self._folder))
                ]
        return found[:limit]

    async def delete(self, key: str) -> None:
        assert is_key(key)
        async with self._in_time(0):
            store = await self._store()
            try:
                await _library().delete_async(store, self._folder + key)
            except FileNotFoundError:  # a batch of one, whose answer has no code
                return
            except _library().exceptions.BaseError as error:
                raise self._meaning(error) from error

    async def enter(self, *, create: bool) -> None:
        """Make sure that the bucket is there and lets us in; obstore has no way to *create* one.

        Raises WrongBucket, AccessDenied or Unavailable, each one sentence for a person.
        """
        try:
            await self.list("", limit=1)
        except _NoBucket as error:
            helps = "create it first, or check its name" if create else "check its name"
            raise WrongBucket(f"There is no {self._place.name}: {helps}.") from error

    async def _asked(self, key: str, span: tuple[int, int] | None) -> Any:
        store = await self._store()
        options = {"range": span} if span else {}
        path = self._folder + key
        return await self._said(_library().get_async(store, path, options=options), settled=key)

    async def _written(self, key: str, body: bytes, mode: str) -> None:
        store = await self._store()
        written = _library().put_async(
            store, self._folder + key, body, mode=mode, use_multipart=False
        )
        if not (await self._said(written))["e_tag"]:
            raise Unavailable(f"What answers for the {self._place.name} is not a store now")

    async def _said(self, call: Awaitable[_Result], settled: str | None = None) -> _Result:
        """Return what *call* brings; of an object tell only what is *settled* by asking for it."""
        try:
            return await call
        except (_library().exceptions.BaseError, OSError, ValueError) as error:
            meaning = self._meaning(error)
            if settled is None and isinstance(meaning, NotThere | Corrupt):
                raise Unavailable(f"The {self._place.name} cannot be used now") from error
            raise meaning from error

    def _meaning(self, error: Exception) -> NodeError:
        name, dialect = self._place.name, self._place.dialect
        words = str(error)
        code = found[1] if (found := _CODE.search(words)) else None
        status = int(found[1]) if (found := _STATUS.search(words)) else None
        match status, code:
            case 404, dialect.no_object:
                return NotThere(f"The {name} has no such object.")
            case 404, dialect.no_bucket:
                return _NoBucket(f"There is no {name} now", "create it, or check its name")
            case 409 | 412, dialect.taken:
                return AlreadyThere("The name is taken.")
            case 416, dialect.bad_span:
                return Corrupt("the object ends before the bytes asked for")
            case 401 | 403, _:
                return AccessDenied(f"The {name} refuses access", _GIVE)
            case None, _ if _AT_THE_END in words:
                return Corrupt("the object ends before the bytes asked for")
            case None, _:
                return Unreachable(f"The {name} gives no answer that counts", "check the network")
            case _:
                return Unavailable(f"The {name} cannot be used now (status {status}).")

    async def _store(self) -> ObjectStore:
        """Return obstore's client for the credentials of now. Raises AccessDenied or Refused."""
        _library()
        if self._credentials.is_ambient:
            raise AccessDenied(
                f"The {self._place.name} takes no credentials that this machine has for AWS",
                _GIVE,
                lasting=True,
            )
        credentials = await self._credentials()
        if self._opened is None or self._opened[0] != credentials:
            self._opened = credentials, self._client(credentials)
        return self._opened[1]

    def _client(self, credentials: Credentials) -> ObjectStore:
        library = _library()
        try:
            store: ObjectStore = library.store.from_url(
                self._place.url,
                config=dict(self._place.settings(credentials)),
                client_options=_client_options(self._place.endpoint, self._network),
                # One request for each call: a repeated create finds its own success in its way.
                retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=1)},
            )
        except (library.exceptions.BaseError, ValueError) as error:
            raise AccessDenied(
                f"The credentials for the {self._place.name} are of another kind of store",
                _GIVE,
                lasting=True,
            ) from error
        return store

    @asynccontextmanager
    async def _in_time(self, size: int, times: float = 1.0) -> AsyncIterator[asyncio.Timeout]:
        try:
            async with asyncio.timeout(self._deadline(size) * times) as limit:
                yield limit
        except TimeoutError as error:
            raise Unreachable(
                f"The {self._place.name} did not answer in time", "check the network"
            ) from error

    def _deadline(self, size: int) -> float:
        return whole_s(_ANSWER_S, size)


def _client_options(endpoint: str, network: Network) -> dict[str, Any]:
    """Return our policy for HTTP as far as obstore has words for it."""
    options: dict[str, Any] = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=_ANSWER_S),
        # The whole of a call is bounded by us, by its size.
        "timeout": timedelta(hours=1),
        "user_agent": "lucidnode",
    }
    if network.authorities:
        options["root_certificate"] = network.authorities
    if proxy := network.proxies.for_url(endpoint):
        options["proxy_url"] = proxy
    return options


async def _next(pages: Any) -> Any:
    """Return what comes next out of *pages*, None at their end."""
    return await anext(aiter(pages), None)


def _library() -> Any:
    """Return obstore. Raises Refused, a sentence with the way out, where it is not installed."""
    try:
        import obstore  # noqa: PLC0415  # 16 MB that most workstations have no use for
        import obstore.exceptions  # noqa: PLC0415
        import obstore.store  # noqa: PLC0415
    except ImportError as error:
        raise Refused(
            "this bucket needs the package obstore, which is not installed: "
            "run `pip install 'lucidnode[clouds]'`, and try again"
        ) from error
    return obstore
