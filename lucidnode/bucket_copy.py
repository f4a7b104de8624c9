"""Copying all of a studio's objects from one bucket into another, whichever stores they are in.

Nothing is replaced and nothing is deleted, so a copy can be broken off anywhere and made again: what is
there with its size is passed over by the listings of both sides, a request for each thousand
objects. The first entry of the log of members comes last: without it a bucket is no studio, so
half a copy is taken for one by nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from blake3 import blake3

from lucidnode.node.bucket.bucket import Bucket, Listed
from lucidnode.node.bucket.errors import AlreadyThere, Unsettled, WrongBucket
from lucidnode.node.bucket.keys import FOLDERS, INVITATIONS, kind_of, roster_key
from lucidnode.node.client.backoff import Backoff, Jitter
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Corrupt, NodeError, NotThere, Unavailable
from lucidnode.node.client.ids import Seq

_PAGE = 1000
"""Names in one answer: no store gives more."""

_PARALLEL = 8
"""Objects in memory at once, of 17 MiB at most."""

_TRIES = 10
"""Creates of one object of which nobody knew how they ended, in a row, before the copy gives up."""

_FIRST = roster_key(Seq(1))


@dataclass(slots=True)
class Copied:
    """What a copy did: objects and bytes that were copied, and what was amiss in the old bucket."""

    objects: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    """Blocks that do not fit their names. They were copied as they are, so nothing is worse than before."""
    left_out: list[str] = field(default_factory=list)
    """What is larger than any object of ours, or cannot be read whole."""


async def missing(old: Bucket, new: Bucket, *, follows: bool = False) -> AsyncIterator[Listed]:
    """Yield what *old* has of a studio and *new* has not, in the order of the keys.

    Raises WrongBucket where *new* has another object under a name of *old*, or an entry of a log that
    *old* has not: then another life has gone on there. For one who *follows*, that is as it should be
    where it began with the last entry of *old*. Raises as `Bucket.list`.
    """
    theirs = _listed(new)
    there = await anext(theirs, None)
    before: Listed | None = None

    async def passed(extra: Listed, next_: Listed | None) -> Listed | None:
        if _goes_on(extra, next_):
            if not follows:
                raise WrongBucket(
                    f"the new bucket has {extra.key}, which the old one has not: "
                    "somebody works there already"
                )
            if before is not None and _folder(before.key) == _folder(extra.key):
                await _require_same(old, new, before.key)
        return await anext(theirs, None)

    async for mine in _listed(old):
        while there is not None and there.key < mine.key:
            there = await passed(there, mine)
        before = mine
        if there is None or there.key != mine.key:
            yield mine
        elif there.size != mine.size:
            raise WrongBucket(f"the new bucket has another object under {mine.key}")
        else:
            there = await anext(theirs, None)
    while there is not None:
        there = await passed(there, None)


def _goes_on(extra: Listed, next_: Listed | None) -> bool:
    """Tell whether *extra*, which the old bucket has not, goes on behind the end of a log there.

    *next_* is what the old one has behind it. Blocks, checkpoints and the first entries of a journal may have been
    collected in the old one since the last copy.
    """
    return kind_of(extra.key) in {"journal", "roster"} and (
        next_ is None or _folder(next_.key) != _folder(extra.key)
    )


async def _require_same(old: Bucket, new: Bucket, key: str) -> None:
    """Raise WrongBucket unless both have the same entry *key*, and so all that it links to."""
    if await old.get(key) != await new.get(key):
        raise WrongBucket(f"the new bucket has another object under {key}")


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


async def _listed(bucket: Bucket) -> AsyncIterator[Listed]:
    """Yield the objects of our layout, in the order of their keys. What else is there is not ours."""
    for folder in sorted(FOLDERS):
        after: str | None = None
        while found := await bucket.list(folder, after, _PAGE):
            for each in found:
                yield each
            after = found[-1].key


async def copy(
    old: Bucket, new: Bucket, show: Callable[[int], None], clock: Clock, jitter: Jitter
) -> Copied:
    """Copy into *new* what it lacks; *show* is told the bytes of each object that is there.

    Blocks are checked against their names. Raises as `missing` and the buckets do; what was copied stays.
    """
    told = Copied()
    waiting: asyncio.Queue[Listed | None] = asyncio.Queue(_PARALLEL * 2)
    last: Listed | None = None

    async def work() -> None:
        while (each := await waiting.get()) is not None:
            await _copied(old, new, each, told, clock, jitter)
            show(each.size)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_PARALLEL):
                group.create_task(work())
            async for each in missing(old, new):
                if each.key == _FIRST:
                    last = each
                else:
                    await waiting.put(each)
            for _ in range(_PARALLEL):
                await waiting.put(None)
    except ExceptionGroup as failed:
        # A sentence for a person is one sentence, however many failed by the same cause.
        raise failed.exceptions[0] from failed
    if last is not None:
        await _copied(old, new, last, told, clock, jitter)
        show(last.size)
    return told


async def _copied(
    old: Bucket, new: Bucket, each: Listed, told: Copied, clock: Clock, jitter: Jitter
) -> None:
    try:
        body = await old.get(each.key)
        if not _fits(each.key, body):
            body = await old.get(each.key)  # a line may have spoiled it
    except NotThere:
        return  # collected since it was listed
    except Corrupt:
        told.left_out.append(each.key)
        return
    if not _fits(each.key, body):
        told.damaged.append(each.key)
    await _created(new, each.key, body, clock, jitter)
    told.objects += 1
    told.bytes += len(body)


def _fits(key: str, body: bytes) -> bool:
    """Tell whether *body* can be under *key*: names of blocks are hashes, others say nothing of theirs."""
    return kind_of(key) != "block" or blake3(body).hexdigest() == key.rpartition("/")[2]


async def _created(new: Bucket, key: str, body: bytes, clock: Clock, jitter: Jitter) -> None:
    """Have *key* hold *body*. Raises WrongBucket if it holds something else."""
    backoff = Backoff(jitter)
    cause: NodeError | None = None
    for _ in range(_TRIES):
        try:
            await new.create(key, body)
            return
        except (AlreadyThere, Unsettled) as error:
            cause = error
        try:
            if await new.get(key) != body:
                raise WrongBucket(f"the new bucket has another object under {key}")
            return
        except NotThere:
            await clock.sleep(backoff.pause())
    raise Unavailable(f"the new bucket does not take {key}: {cause}")


async def lacking(old: Bucket, new: Bucket, *, follows: bool = False) -> tuple[int, int]:
    """Return how many objects, and bytes, *new* lacks of what *old* has, *follows* as in `missing`.

    What asks to join may be answered or withdrawn in *new* by those whom one *follows*; it does not
    count then. Raises as `missing`.
    """
    objects = size = 0
    async for each in missing(old, new, follows=follows):
        if follows and each.key.startswith(f"{INVITATIONS}/"):
            continue
        objects += 1
        size += each.size
    return objects, size
