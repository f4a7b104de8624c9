"""Has a project collected once a day by one of the workstations that have it mounted.

Each mount that may write looks whether it is its turn (turns.py), says so in the journal, and has
another process do the round: it reads the whole past and holds the ids of the bucket, for which no
program here should wait, and may be killed at any moment.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable

import msgspec

from lucidnode.fs.collection.round_spec import Collected
from lucidnode.fs.collection.turns import due_ns
from lucidnode.fs.errors import FileError
from lucidnode.fs.format.project_facts import (
    COLLECTION,
    MAX_RETENTION_DAYS,
    RETENTION,
    CollectionTurn,
    collection_turn_in,
    encoded_fact,
    retention_in,
)
from lucidnode.fs.replica.intents import Fact
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import DeviceId

log = logging.getLogger(__name__)

FIRST_LOOK_S = 900.0
"""Seconds after the mount: a drive that was just mounted has better things to do."""

LOOK_S = 600.0

SETTLE_S = 60.0
"""Seconds from saying so to beginning, in which another may have said so as well."""


class RoundFailed(Exception):
    """A round has ended without having got to its end, in words for the log."""


class DailyCollection:
    """Does it for one mount. *collect* has a round done behind a block; raises RoundFailed.

    *has_past* tells whether this workstation has read the journal before.
    """

    def __init__(
        self,
        replica: Replica,
        device: DeviceId,
        collect: Callable[[bytes], Awaitable[Collected]],
        has_past: Callable[[], bool],
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        self._replica = replica
        self._device = device
        self._collect = collect
        self._has_past = has_past
        self._alerts = alerts
        self._clock = clock

    async def run(self) -> None:
        """Look every ten minutes, until cancelled."""
        await self._clock.sleep(FIRST_LOOK_S)
        while True:
            # The project may be read-only now, the disk full: the next look tries again.
            with contextlib.suppress(FileError):
                await self.look()
            await self._clock.sleep(LOOK_S)

    async def look(self) -> None:
        """Do a round if it is due and ours. Raises a FileError."""
        tree, now_ns = self._replica.tree, self._clock.wall_ns()
        last = collection_turn_in(tree.fact(COLLECTION))
        head = self._replica.pending.head().seq
        due = due_ns(last, self._device, now_ns, head, has_past=self._has_past())
        if is_kept_for_ever(tree) or due is None or due > now_ns:
            return
        turn = CollectionTurn(
            self._device,
            now_ns,
            freed_blocks=last.freed_blocks if last else 0,
            freed_bytes=last.freed_bytes if last else 0,
            after=last.after if last else b"",
            seq=head,
            quiet=last.last_change(head) if last else head,
        )
        self._say(turn)
        await self._clock.sleep(SETTLE_S)
        if collection_turn_in(tree.fact(COLLECTION)) != turn:
            return  # another was quicker
        try:
            found = await self._collect(turn.after)
        except RoundFailed as error:
            log.info("what nothing needs was not collected: %s", error)
            return
        ends_at = self._replica.pending.head().seq
        # The entry that said so, and those of the round: if there are others, the next looks at them.
        is_quiet = ends_at <= head + 1 + found.entries
        ended = msgspec.structs.replace(
            turn,
            seq=ends_at if is_quiet else turn.seq,
            due_ns=found.due_ns,
            ended_ns=max(now_ns, self._clock.wall_ns()),
            refused=bool(found.why),
            freed_blocks=found.freed_blocks,
            freed_bytes=found.freed_bytes,
            after=found.after,
        )
        if found.why:
            self._alerts.begin(
                "collection",
                "This workstation cannot free what nothing in the project needs any more: "
                f"{found.why.rstrip('.')}.",
                "Nothing is lost; it is left to other workstations for a month. Let the credentials "
                "of one of them delete blocks, or run `lucidnode gc`.",
                lasts_s=EVENT_S,
            )
        if collection_turn_in(tree.fact(COLLECTION)) == turn:
            self._say(ended)

    def _say(self, turn: CollectionTurn) -> None:
        self._replica.apply(Fact(COLLECTION, encoded_fact(turn)))


def is_kept_for_ever(tree: TreeReader) -> bool:
    """Tell whether the owners want nothing to go by itself."""
    found = retention_in(tree.fact(RETENTION))
    return found is not None and found.days == MAX_RETENTION_DAYS
