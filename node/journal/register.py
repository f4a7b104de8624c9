"""A register in the bucket: a name that can be written once, by whoever comes first.

The journal and the roster are rows of such names. This file knows neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from blake3 import blake3

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import AlreadyThere, Unsettled
from lucidnode.node.bucket.retrying import DENIALS
from lucidnode.node.client.backoff import Backoff, Jitter
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import (
    AccessDenied,
    Corrupt,
    NodeError,
    NotThere,
    Refused,
    Unavailable,
)


@dataclass(frozen=True, slots=True)
class SlotContent:
    """What lies under a name. *hash* is its fingerprint (lucidnode.node.bucket.fingerprint).

    *body* is None for what is proven to lie there and has not the shape of anything of ours.
    """

    hash: bytes
    body: bytes | None

    @classmethod
    def of(cls, body: bytes) -> SlotContent:
        """Return *body* as what was found."""
        return cls(blake3(body).digest(), body)


@dataclass(frozen=True, slots=True)
class Committed:
    """Our body is durable under the name, which nobody can write again."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Something else is; ours is not there and never will be."""

    held: SlotContent


@dataclass(frozen=True, slots=True)
class Unknown:
    """Ours may be there, or may still come. *cause* is the last thing that went wrong.

    Delete nothing that the body refers to, and commit the same bytes to the same name again.
    """

    cause: NodeError

    def error(self, doubt: str) -> NodeError:
        """Return what to raise for a person: the refusal, or the cause and *doubt*, half a sentence."""
        if isinstance(self.cause, AccessDenied):
            return self.cause
        return Unavailable(f"{str(self.cause).removesuffix('.')}; {doubt}")


CommitOutcome = Committed | Lost | Unknown

_GLANCE_S = 0.2
"""Seconds after which a create without an answer is looked after. SeaweedFS 4.48 answers the losers
of a race one a second, while the winner's body can be read at once."""


Look = Callable[[], Awaitable[SlotContent]]
"""Tells what lies under the name, believing only what can be believed. Raises NotThere, Unavailable
or Corrupt."""


async def commit(
    bucket: Bucket, key: str, body: bytes, clock: Clock, deadline: float, jitter: Jitter
) -> CommitOutcome:
    """Create *key* as `commit_by` does, believing one plain read of what lies there.

    Raises nothing of NodeError.
    """

    async def look() -> SlotContent:
        return SlotContent.of(await bucket.get(key))

    return await commit_by(look, bucket, key, body, clock, deadline, jitter)


async def commit_by(
    look: Look,
    bucket: Bucket,
    key: str,
    body: bytes,
    clock: Clock,
    deadline: float,
    jitter: Jitter,
) -> CommitOutcome:
    """Create *key* with *body* if it is absent, and find out how that ended by a *look*.

    *body* must be unlike any other anyone ever commits (it carries a random attempt id): that is
    how our own success is told from another's when its answer was lost. Nothing is tried anew
    after *deadline*, an instant of `clock.boot()`; calls under way still run into their own.
    Raises nothing of NodeError. Who is refused DENIALS times in a row is meant, and asks no more.

    Sending the same bytes again is safe whatever became of them before: the name takes one body.
    """
    backoff = Backoff(jitter)
    denials = 0
    while True:
        cause = await _tried(bucket, key, body, clock)
        if cause is None:
            return Committed()
        # Also after AlreadyThere, which may be the answer to our own body sent earlier.
        try:
            there = await look()
            return Committed() if there.body == body else Lost(there)
        except NotThere:
            pass  # not settled: try again
        except (Unavailable, Corrupt) as error:
            cause = error
        pause = backoff.pause()
        denials = denials + 1 if isinstance(cause, AccessDenied) else 0
        for_good = isinstance(cause, Refused) or (isinstance(cause, Unavailable) and cause.lasting)
        if clock.boot() + pause >= deadline or for_good or denials >= DENIALS:
            return Unknown(cause)
        await clock.sleep(pause)


async def _tried(bucket: Bucket, key: str, body: bytes, clock: Clock) -> NodeError | None:
    """Create once; return None if the store acknowledged it, else why to go and look."""
    async with asyncio.TaskGroup() as group:
        creating = group.create_task(_created(bucket, key, body))
        glance = group.create_task(_taken_meanwhile(bucket, key, clock))
        await asyncio.wait({creating, glance}, return_when=asyncio.FIRST_COMPLETED)
        if not creating.done() and glance.result():
            # Giving up a create is safe here: the name is taken, by ours or another's for good.
            creating.cancel()
            return AlreadyThere(f"The name {key} was taken meanwhile.")
        glance.cancel()
        return await creating


async def _created(bucket: Bucket, key: str, body: bytes) -> NodeError | None:
    try:
        await bucket.create(key, body)
    except (AlreadyThere, Unsettled, Unavailable, Refused) as error:
        return error
    return None


async def _taken_meanwhile(bucket: Bucket, key: str, clock: Clock) -> bool:
    await clock.sleep(_GLANCE_S)
    try:
        return await bucket.size(key) is not None
    except (Unavailable, Corrupt):
        return False
