"""The roster in the bucket: what its slots hold, for whoever reads the log of members.

A daemon reads it here, and so does who founds or joins a studio and has no daemon yet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.keys import ROSTER, roster_key
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Jitter
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Corrupt, NotThere, Unavailable
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.roster import ForeignRoster, Void
from lucidnode.node.client.roster_entry import (
    MAX_ENTRY_BYTES,
    entry_hash,
    is_item_of,
    stand_in,
)
from lucidnode.node.client.roster_rules import RosterReader
from lucidnode.node.journal.log_names import LogNames
from lucidnode.node.journal.log_slots import LogSlots, SlotOutcome, Unchained
from lucidnode.node.journal.object_shape import roster_shape
from lucidnode.node.journal.register import Committed, SlotContent, Unknown

_BEHIND = 16
"""Objects behind the end of the log that are looked at."""


def roster_slots(
    bucket: Bucket, genesis: bytes, alerts: Alerts, clock: Clock, jitter: Jitter
) -> LogSlots:
    """Return the slots of the roster in *bucket*; *genesis* is the hash of entry 1.

    That entry is known whatever was read: by it the bucket is told from what answers in its place
    where all that lies before a number is no entry.
    """
    names = LogNames(ROSTER, roster_key, "entry of the log of members", "roster-answers")

    async def shows_the_first() -> bool:
        try:
            return entry_hash(await bucket.get(roster_key(Seq(1)))) == genesis
        except (NotThere, Corrupt):
            return False

    return LogSlots(
        bucket=bucket,
        names=names,
        shape_of=roster_shape,
        alerts=alerts,
        clock=clock,
        jitter=jitter,
        is_witnessed=shows_the_first,
    )


class LogChanged(Unavailable):
    """The bucket no longer shows number *seq* as it was read from it: nothing more is read there."""

    def __init__(self, seq: Seq) -> None:
        super().__init__(f"the bucket shows another log of members than was read: number {seq}")
        self.seq = seq


def fits(item: bytes) -> Callable[[bytes], bool]:
    """Return the question whether an object with a given hash is *item* of the log."""
    return partial(is_item_of, item)


async def is_gap(bucket: Bucket, reader: RosterReader) -> bool:
    """Tell whether the number behind the log of *reader* is a gap, and not its end.

    It is if an entry by somebody of the studio is listed further behind: then an entry was there
    and is lost, and whoever takes its place makes another log of what follows. What strangers put
    there makes no gap. Raises Unavailable.
    """
    last = Seq(len(reader.log) + 1)
    for listed in await bucket.list(ROSTER, roster_key(last), _BEHIND):
        if listed.size <= MAX_ENTRY_BYTES:
            with contextlib.suppress(NotThere, Corrupt):
                if reader.is_by_somebody(await bucket.get(listed.key)):
                    return True
    return False


async def read_next(slots: LogSlots, reader: RosterReader) -> None:
    """Have *reader* take in what the bucket holds behind its log.

    What is not authentic counts as void only once it is proven to lie there, behind the log that
    was read: until then it is a bad answer. And what is counts on top of voids only while all of
    those stand. Raises NotThere at the end of the log, Unavailable, LogChanged, and ForeignRoster
    for entry 1.
    """
    seq = Seq(len(reader.log) + 1)
    held = await slots.read(seq)
    if not _is_authentic(reader, held):
        held = await slots.prove(seq)
        if reader.log and not await slots.stands(Seq(seq - 1), fits(reader.log[-1])):
            raise LogChanged(Seq(seq - 1))
    elif (changed := await _changed(slots, reader)) is not None:
        raise LogChanged(changed)
    reader.read(stand_in(held.hash) if held.body is None else held.body)


async def take_next(
    slots: LogSlots, reader: RosterReader, body: bytes, deadline: float
) -> SlotOutcome:
    """Create *body* behind the log of *reader*, as `LogSlots.take`, on top of all that counts there.

    The voids that the entry says nothing of are seen to stand before and after as well: else others
    would read it on top of something else. If one was exchanged meanwhile, ours is there, and what it
    means for others is Unknown.
    """
    try:
        if (changed := await _changed(slots, reader)) is not None:
            return Unchained(changed)
        seq, below = Seq(len(reader.log) + 1), fits(reader.log[-1])
        outcome = await slots.take(seq, body, below, deadline)
        if outcome == Committed() and (changed := await _changed(slots, reader)) is not None:
            return Unknown(LogChanged(changed))
    except (Unavailable, Corrupt) as error:
        return Unknown(error)
    return outcome


async def _changed(slots: LogSlots, reader: RosterReader) -> Seq | None:
    """Return the first number that an entry would say nothing of and that is proven to be another."""
    for seq in reader.unconfirmed():
        if not await slots.stands(seq, fits(reader.log[seq - 1]), anew=True):
            return seq
    return None


async def read_all(slots: LogSlots, reader: RosterReader) -> None:
    """Have *reader* take in the log to its end. Raises Unavailable, LogChanged, ForeignRoster."""
    while reader.newer is None:
        try:
            await read_next(slots, reader)
        except NotThere:
            return


def _is_authentic(reader: RosterReader, held: SlotContent) -> bool:
    if held.body is None:
        return False
    try:
        reader.check(held.body)
    except (Void, ForeignRoster):
        return False
    return True
