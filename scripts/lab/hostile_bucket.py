"""Hostile rules before a bucket in one process: what the S3 door would make of each answer.

The proxy does the same to real connections; here it takes no time but the clock's, so that
thousands of outages fit a minute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random  # noqa: TID251  # seeded: a failure can be repeated
from typing import TypeVar

from blake3 import blake3

from lab.hostile import (
    Answer,
    ClaimMore,
    Cut,
    Delay,
    Drip,
    Endless,
    Fault,
    Flip,
    FlipSent,
    ForgetRange,
    Hang,
    Hostility,
    Late,
    ListLess,
    ListTwice,
    LoseAnswer,
    Method,
    Oversize,
    Request,
    Rule,
    Stale,
    Swap,
    Twice,
)
from lucidnode.node.bucket.bucket import Bucket, Hashed, Listed
from lucidnode.node.bucket.errors import AlreadyThere, Unsettled
from lucidnode.node.bucket.errors import Oversize as OversizeObject
from lucidnode.node.bucket.refusal import Refusal
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import (
    AccessDenied,
    Corrupt,
    NodeError,
    NotThere,
    Refused,
    Unavailable,
)
from lucidnode.node.client.supervision import Tasks

T = TypeVar("T")
Call = Callable[[], Awaitable[T]]

LATENCY_S = 0.02
"""Seconds of a round trip to a store that is well, on average."""

DEADLINE_S = 15.0
"""Seconds after which the S3 door gives up waiting for an answer."""


class HostileBucket:
    """*inner* as *client* meets it while the rules of *hostility* are in force."""

    def __init__(
        self, inner: Bucket, client: str, hostility: Hostility, clock: Clock, later: Tasks
    ) -> None:
        """*later* owns what the store gets when the client has given up, or has died."""
        self._inner = inner
        self._client = client
        self._hostility = hostility
        self._clock = clock
        self._later = later
        self._bodies: dict[str, dict[str, bytes]] = {}
        self._first: dict[tuple[str, str], object] = {}
        self.requests: Counter[int] = Counter()
        """How many requests came in each second of the clock."""

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        fault = await self._meets("get", key)
        match fault:
            case Answer(status=200, body=body) if span is None:
                return body
            case Answer():
                raise _meaning(fault)
            case Oversize():
                raise OversizeObject(key, fault.size)
            case ForgetRange() if span is not None:
                raise Unavailable("the store answered all of the object instead of a part")
            case Swap():
                others = [b for k, b in sorted(self._folder(key).items()) if k != key]
                if others and span is None:
                    return self._chance(fault, key).choice(others)
            case _:
                pass
        body = await self._answered(f"get {span}", key, fault, lambda: self._inner.get(key, span))
        if span is None:
            self._folder(key)[key] = body
        if isinstance(fault, Flip) and body:
            return _flipped(body, self._chance(fault, key).randrange(8 * len(body)))
        return body

    async def block(self, key: str) -> Hashed:
        body = await self.get(key)
        return Hashed(body, blake3(body).digest())

    async def put(self, key: str, body: bytes) -> None:
        fault = await self._meets("put", key)
        match fault:
            case Answer(status=200, headers=headers) if _has_etag(headers):
                return
            case Answer():
                meaning = _meaning(fault)
                raise (
                    Unavailable(str(meaning))
                    if isinstance(meaning, NotThere | Corrupt)
                    else meaning
                )
            case FlipSent():
                raise Unavailable("the store refuses a body that was damaged on its way")
            case Late(seconds):
                self._apply_later(seconds, lambda: self._inner.put(key, body))
                raise Unavailable("the connection was cut")
            case _:
                pass
        await self._answered("put", key, fault, lambda: self._inner.put(key, body))

    async def create(self, key: str, body: bytes) -> None:
        fault = await self._meets("create", key)
        match fault:
            case Answer(status=200, headers=headers) if _has_etag(headers):
                return
            case Answer(status=412):
                raise AlreadyThere(f"The name {key} is taken.")
            case Answer(status=501):
                raise Refused("The bucket has no create-if-absent (status 501).")
            case Answer():
                meaning = _meaning(fault)
                if isinstance(meaning, AccessDenied):
                    raise meaning
                raise Unsettled(str(meaning)) from meaning
            case FlipSent():
                damaged = Unavailable("the store refuses a body that was damaged on its way")
                raise Unsettled(str(damaged)) from damaged
            case Late(seconds):
                self._apply_later(seconds, lambda: self._inner.create(key, body))
                cut = Unavailable("the connection was cut")
                raise Unsettled(str(cut)) from cut
            case _:
                pass
        try:
            await self._answered("create", key, fault, lambda: self._inner.create(key, body))
        except Unavailable as error:
            raise Unsettled(str(error)) from error

    async def size(self, key: str) -> int | None:
        fault = await self._meets("get", key)
        try:
            match fault:
                case Answer(status=200) | ForgetRange():
                    raise Unavailable("the store answered all of the object instead of a part")
                case Answer():
                    raise _meaning(fault)
                case Oversize(size):
                    return size
                case _:
                    pass
            return await self._answered("size", key, fault, lambda: self._sized(key))
        except NotThere:
            return None

    async def _sized(self, key: str) -> int:
        size = await self._inner.size(key)
        if size is None:
            raise NotThere("no such object")
        return size

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        fault = await self._meets("list", prefix)
        if isinstance(fault, Answer):
            meaning = _meaning(fault)
            raise Unavailable(str(meaning)) if isinstance(meaning, NotThere | Corrupt) else meaning
        call = f"list {after} {limit}"
        found = await self._answered(
            call, prefix, fault, lambda: self._inner.list(prefix, after, limit)
        )
        match fault:
            case ListLess():
                return found[::2]
            case ListTwice():
                return [each for each in found for _ in range(2)]
            case _:
                return found

    async def delete(self, key: str) -> None:
        fault = await self._meets("delete", key)
        if isinstance(fault, Answer):
            if fault.status < 300:
                return
            raise Unavailable(str(_meaning(fault)))
        await self._answered("delete", key, fault, lambda: self._inner.delete(key))

    # -- what happens -------------------------------------------------------------------------

    async def _meets(self, method: Method, key: str) -> Fault | None:
        self.requests[int(self._clock.boot())] += 1
        rule: Rule | None = self._hostility.befalls(Request(self._client, method, key))
        # Half before the store sees it, half on the way back (in _answered).
        await self._clock.sleep(self._hostility.random.random() * LATENCY_S)
        return rule.fault if rule else None

    async def _answered(self, call: str, key: str, fault: Fault | None, ask: Call[T]) -> T:
        """Carry the request out as *fault* has it; the faults of one verb are its own."""
        match fault:
            case Hang() | Endless():
                await self._clock.sleep(DEADLINE_S)
                raise Unavailable("the store did not answer in time")
            case Late(seconds):
                raise Unavailable("the connection was cut")
            case Twice():
                with_first = await self._outcome(ask)
                if isinstance(with_first, NodeError) and not isinstance(with_first, NotThere):
                    raise with_first
            case _:
                pass
        first = self._first.get((call, key))
        if isinstance(fault, Stale) and first is not None:
            if isinstance(first, NodeError):
                raise type(first)(str(first))
            return first  # type: ignore[return-value]  # as this call was answered before
        answer = await self._outcome(ask)
        self._first.setdefault((call, key), answer)
        await self._clock.sleep(self._hostility.random.random() * LATENCY_S)
        match fault:
            case LoseAnswer() | Cut() | ClaimMore():
                raise Unavailable("the connection was cut")
            case Drip():
                await self._clock.sleep(DEADLINE_S)
                raise Unavailable("the store did not answer in time")
            case Delay(seconds):
                await self._clock.sleep(seconds)
            case _:
                pass
        if isinstance(answer, NodeError):
            raise answer
        return answer

    async def _outcome(self, ask: Call[T]) -> T | NodeError:
        try:
            return await ask()
        except NodeError as error:
            return error

    def _apply_later(self, seconds: float, ask: Call[None]) -> None:
        async def late() -> None:
            await self._clock.sleep(seconds * (0.5 + self._hostility.random.random()))
            await self._outcome(ask)

        _ = self._later.create_task(late(), name="a late request")

    def _chance(self, fault: Swap | Flip, key: str) -> Random:
        return Random(f"{self._client} {key}") if fault.same else self._hostility.random

    def _folder(self, key: str) -> dict[str, bytes]:
        return self._bodies.setdefault(key.rpartition("/")[0], {})


def _meaning(answer: Answer) -> NodeError:
    """Return what the S3 door raises for it."""
    if answer.status < 400:
        return Unavailable(f"the answer (status {answer.status}) is none of an S3 store")
    return Refusal.of(answer.status, dict(answer.headers), answer.body).error("bucket")


def _has_etag(headers: tuple[tuple[str, str], ...]) -> bool:
    return any(name == "ETag" for name, _ in headers)


def _flipped(body: bytes, bit: int) -> bytes:
    damaged = bytearray(body)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
