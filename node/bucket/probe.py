"""Asks a store to show that it keeps create-if-absent, before a journal is trusted to it.

Some engines ignore `If-None-Match: *` and let everyone win, some refuse it, some check and then
act, which a race finds. None of them says so by itself.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import AlreadyThere, StoreUnfit, Unsettled
from lucidnode.node.client.errors import AccessDenied, NodeError, NotThere, Refused, Unavailable

FOLDER = ".probe"
"""Where the tries are made. What a killed probe leaves there is a few bytes, and nobody's."""

_RACERS = 16
_ROUNDS = 3
_TRIES = 3

_GRACE_S = 1.0
"""Seconds the racers have after the first of them was answered, on top of what that took."""

_CLEARING_S = 5.0


async def probe(bucket: Bucket) -> None:
    """Return if *bucket* can carry a journal; everything written is deleted again.

    Raises StoreUnfit with the reason if it cannot, AccessDenied if we may not read, write and delete
    in it, Unavailable if it did not answer well enough to tell.
    """
    folder = f"{FOLDER}/{secrets.token_hex(16)}"
    keys = [f"{folder}/{name}" for name in ("plain", "twice", *map(str, range(_ROUNDS)))]
    plain, twice, *races = keys
    try:
        await _keeps_objects(bucket, plain)
        await _refuses_a_second(bucket, twice)
        async with asyncio.TaskGroup() as group:
            rounds = [group.create_task(_race(bucket, key)) for key in races]
        for each in rounds:
            if error := each.result():
                raise error
    finally:
        # The answer of the probe counts more, and who gave up on it waits no longer for this.
        with suppress(NodeError, TimeoutError):
            async with asyncio.timeout(_CLEARING_S):
                for key in keys:
                    await bucket.delete(key)


async def _keeps_objects(bucket: Bucket, key: str) -> None:
    try:
        await bucket.get(key)
    except NotThere:
        pass
    except AccessDenied as error:
        # S3 hides absence from those who may not list; then nothing could ever be settled.
        raise AccessDenied(
            "The bucket hides from these credentials what is missing: "
            "give them the rights to get and to list."
        ) from error
    else:
        raise StoreUnfit("The store returns an object that nobody wrote.")
    body = secrets.token_bytes(32)
    await bucket.put(key, body)
    if await bucket.get(key) != body:
        raise StoreUnfit("The store does not return what was written to it.")
    await bucket.delete(key)
    if await bucket.size(key) is not None:
        raise StoreUnfit("The store still has an object that was deleted.")


async def _refuses_a_second(bucket: Bucket, key: str) -> None:
    first, second = secrets.token_bytes(32), secrets.token_bytes(32)
    if not await _created(bucket, key, first):
        raise StoreUnfit("The store says that an object exists which nobody wrote.")
    if await _created(bucket, key, second):
        raise StoreUnfit(
            "The store ignores If-None-Match: it let a second create replace the first, "
            "so two nodes could overwrite each other's changes."
        )


async def _created(bucket: Bucket, key: str, body: bytes) -> bool:
    """Create as the register does; tell whether *body* is there now."""
    reason: NodeError | None = None
    for _ in range(_TRIES):
        try:
            await bucket.create(key, body)
            return True
        except Refused as error:
            raise StoreUnfit(str(error)) from error
        except (AlreadyThere, Unsettled) as error:
            reason = error
        try:
            return await bucket.get(key) == body
        except NotThere:
            continue
    why = str(reason).rstrip(".")
    raise StoreUnfit(f"The store takes plain writes, but no create-if-absent ({why}).") from reason


async def _race(bucket: Bucket, key: str) -> NodeError | None:
    """Hold one race; return what is wrong as a value, so that a failed one stops no other.

    One that nobody won is held again: a store that has just begun may have been too busy for any.
    """
    wrong: NodeError | None = None
    for _ in range(_TRIES):
        try:
            await _lets_one_of_many_win(bucket, key)
        except Unavailable as error:
            wrong = error
        except NodeError as error:
            return error
        else:
            return None
    return wrong


async def _lets_one_of_many_win(bucket: Bucket, key: str) -> None:
    bodies = [secrets.token_bytes(32) for _ in range(_RACERS)]
    winners: list[bytes] = []

    async def race(body: bytes) -> None:
        with suppress(NodeError):
            await bucket.create(key, body)
            winners.append(body)

    async with asyncio.TaskGroup() as racers:
        clock = asyncio.get_running_loop()
        start = clock.time()
        racing = [racers.create_task(race(body)) for body in bodies]
        await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
        # Losers may hang on: SeaweedFS 4.48 answers them one a second. A late one that wins all
        # the same has replaced the winner's body, which is looked at below.
        await asyncio.wait(racing, timeout=_GRACE_S + clock.time() - start)
        for late in racing:
            late.cancel()
    if len(winners) > 1:
        raise StoreUnfit(
            f"Of {_RACERS} creates of one name at once {len(winners)} succeeded: the store's "
            "create-if-absent is not atomic, so two nodes could overwrite each other's changes."
        )
    try:
        left = await bucket.get(key)
    except NotThere as error:
        if winners:
            raise StoreUnfit("The store lost an object it had acknowledged.") from error
        raise Unavailable("The bucket settled none of many creates at once.") from error
    if left not in (winners or bodies):
        raise StoreUnfit("The store kept another object than the one whose create it acknowledged.")
