"""Finds another daemon that works with this one's device key, wherever in the world it is.

A home was copied, or a machine cloned. On one network the two meet (network.py), and own_instance.py says what
comes of it; here they meet through the bucket. Each leaves a record under an instance of its own, and answers the others' in it:
by the newest turn of each that it has read. So a record that names this instance, and its last turn,
was made by somebody who lives; one that was left by an earlier life of this workstation, or is shown
again by the bucket, was not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NoReturn

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import AccessDenied, NodeError, NotThere
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.peers.instance_record import (
    MAX_BYTES,
    MAX_SEEN,
    InstanceRecord,
    SeenInstance,
    folder_of,
    instance_in,
    key_of,
    record_in,
    signed_record,
)

log = logging.getLogger(__name__)

FIRST_LOOKS_S = (5.0, 10.0, 30.0, 60.0)
"""Seconds between the first looks: who begins beside another soon has his answer."""

LOOK_S = 300.0
"""Seconds between looks after that: a list each, and a read of each record of another."""

SUSPECT_S = 20.0
"""Seconds between looks at least, while there is a reason."""

TELL_S = 10.0
"""Seconds between words to mounts here while another lives: some have begun since."""

FORGET_S = 3600.0
"""Seconds without an answer after which a record goes. Whose it was makes it again, should he live."""

_MOST_OBJECTS = 1000


class Instances:
    """Does it for the daemon that is *instance* of the device *me*, whose public key is *device_key*.

    *met* hears which other there is, where, and for how many seconds that is so: `OwnInstance.meet`.
    """

    def __init__(
        self,
        *,
        bucket: Bucket,
        me: DeviceId,
        device_key: bytes,
        instance: bytes,
        sign: Callable[[bytes], bytes],
        met: Callable[[bytes, str, float], None],
        clock: Clock,
    ) -> None:
        self._bucket = bucket
        self._me = me
        self._device_key = device_key
        self._instance = instance
        self._sign = sign
        self._met = met
        self._clock = clock
        self._suspected = asyncio.Event()
        self._said: InstanceRecord | None = None
        self._first_read: dict[bytes, float] = {}
        self._living: dict[bytes, float] = {}
        """Others, and until when each is taken to live."""

    def suspect(self) -> None:
        """Look soon: somebody has signed with this workstation's key, and it was not us, or not lately."""
        self._suspected.set()

    async def run(self) -> NoReturn:
        """Look, and answer, until cancelled. The bucket may be away: then later."""
        first = iter(FIRST_LOOKS_S)
        while True:
            try:
                await self._look()
            except NodeError as error:
                log.debug("no look for another of this device now: %s", error)
            began = self._clock.boot()
            await self._rest(began + next(first, LOOK_S), began + SUSPECT_S)

    async def _rest(self, until: float, sooner: float) -> None:
        """Return at the time *until*, or if there is a reason at *sooner*; tell of who lives meanwhile."""
        while (now := self._clock.boot()) < until:
            if self._suspected.is_set() and now >= sooner:
                self._suspected.clear()
                return
            end = min(until, now + TELL_S) if self._living or self._suspected.is_set() else until
            await self._until(end)
            self._tell()

    async def _until(self, end: float) -> None:
        """Return at the time *end*, or as soon as there is a reason to look."""
        async with asyncio.TaskGroup() as waiting:
            tasks = {waiting.create_task(self._clock.sleep(end - self._clock.boot()))}
            if not self._suspected.is_set():
                tasks.add(waiting.create_task(_set(self._suspected)))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in tasks:
                each.cancel()

    async def _look(self) -> None:
        """Read what others say, and answer. Raises a NodeError."""
        now, seen, is_there = self._clock.boot(), list[SeenInstance](), False
        answered = False
        keys = [key for key, size in await self._listed() if size <= MAX_BYTES]
        for key in sorted(keys, reverse=True):
            instance = instance_in(key, self._me)
            if instance == self._instance:
                is_there = True
            elif instance is not None and len(seen) < MAX_SEEN:
                said = await self._read(key)
                if said is not None:
                    seen.append(SeenInstance(instance, said.turn))
                    answered |= await self._has_answered(instance, said, now, key)
        self._first_read = {each.instance: self._first_read[each.instance] for each in seen}
        self._tell()
        await self._say(seen, is_there=is_there, asks_again=answered)

    async def _has_answered(
        self, instance: bytes, said: InstanceRecord, now: float, key: str
    ) -> bool:
        """Tell whether *said* was made since our last turn; delete it once it is long that it was not."""
        first = self._first_read.setdefault(instance, now)
        answered = {each.instance: each.turn for each in said.seen}.get(self._instance)
        if self._said is not None and answered == self._said.turn:
            self._first_read[instance] = now
            self._living[instance] = now + 2 * LOOK_S
            return True
        if now - first > FORGET_S:
            await self._bucket.delete(key)
        return False

    def _tell(self) -> None:
        now = self._clock.boot()
        self._living = {one: until for one, until in self._living.items() if until > now}
        for instance in self._living:
            self._met(instance, "another place", 2 * LOOK_S)

    async def _say(self, seen: list[SeenInstance], *, is_there: bool, asks_again: bool) -> None:
        """Have our record name what was *seen*, in another turn if somebody has answered this one."""
        before = self._said
        turn = 0 if before is None else before.turn + asks_again
        said = InstanceRecord(turn, seen)
        if is_there and said == before:
            return
        key = key_of(self._me, self._instance)
        try:
            await self._bucket.put(key, signed_record(said, key, self._sign))
        except AccessDenied:
            # A viewer, or a store that was closed: nothing is written there by the other, either.
            log.debug(
                "no record is left for another of this device: this workstation may not write"
            )
            return
        self._said = said

    async def _read(self, key: str) -> InstanceRecord | None:
        try:
            return record_in(await self._bucket.get(key), key, self._device_key)
        except NotThere:
            return None

    async def _listed(self) -> list[tuple[str, int]]:
        page = await self._bucket.list(folder_of(self._me), None, _MOST_OBJECTS)
        return [(each.key, each.size) for each in page]


async def _set(event: asyncio.Event) -> None:
    await event.wait()
