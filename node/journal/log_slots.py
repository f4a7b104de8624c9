"""A log whose entries are names in the bucket that can be written once: 1, 2, 3 and so on.

The journal and the roster are such logs; this file knows neither. What it adds to the bucket is
that nothing is decided for good on one look:

- What has not the shape of an entry, such as a gateway's page, is no answer until it is proven.
- What lies in a slot is proven by two reads at different times that gave the same bytes, and by a
  listing that shows the name with that size.
- That it is no entry is proven only if slots that did hold an entry still show theirs, or a
  witness, an object of ours that is known beforehand, does: a store that mixes up its answers, or gives one
  for all, does not pass.
- An entry of another number or log may be a mixed-up answer, and what looks like the entry but is
  by nobody, or has its size, a damaged one: it counts as lying there once it has been all that was
  seen there for LASTING_S.
- A slot is taken only on top of the one before as it stood here, which is seen again afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from blake3 import blake3

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Jitter
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Corrupt, NodeError, NotThere, Unavailable
from lucidnode.node.client.ids import Seq
from lucidnode.node.journal.foreign_slots import ForeignSlots
from lucidnode.node.journal.log_names import LogNames
from lucidnode.node.journal.object_shape import ObjectShape
from lucidnode.node.journal.register import (
    CommitOutcome,
    Committed,
    SlotContent,
    Unknown,
    commit_by,
)
from lucidnode.node.journal.slot_look import SlotLook, SlotReader
from lucidnode.node.journal.wrong_answers import WrongAnswers

AGAIN_S = 1.0
"""Seconds between the two reads of a proof: longer than most faults of one connection."""

LASTING_S = 60.0
"""Seconds for which a slot must show what may be a damaged entry before it counts as lying there."""

FRESH_S = 2.0
"""Seconds for which a slot that was seen to stand counts as standing."""

_CONTROLS = 4
"""Slots that showed an entry last, and slots before one in doubt, that are asked beside it."""

_KEPT_DOUBTS = 64
"""Slots in doubt that are remembered."""

T = TypeVar("T")


async def no_witness() -> bool:
    """Tell nothing: outside this log there is nothing that is known to be in the bucket."""
    return False


@dataclass(frozen=True, slots=True)
class Unchained:
    """The slot before is proven not to hold what it held here: nothing may be built on it."""

    seq: Seq


SlotOutcome = CommitOutcome | Unchained

ShapeOf = Callable[[Seq, bytes], ObjectShape]
"""Tells what these bytes look like as the log's entry of that number; pure."""

IsSound = Callable[[bytes], bool]
"""Tells whether a device or member that is known made the entry: that it is none that was damaged."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """What a slot shows that may not lie there. *since* is boot clock, seconds."""

    hash: bytes
    since: float


def _nobody_is_told() -> None:
    """Have nobody look."""


class LogSlots:
    """Reads and takes the slots of one log."""

    def __init__(
        self,
        *,
        bucket: Bucket,
        names: LogNames,
        shape_of: ShapeOf,
        alerts: Alerts,
        clock: Clock,
        jitter: Jitter,
        is_witnessed: Callable[[], Awaitable[bool]] = no_witness,
    ) -> None:
        """Take the parts it works with.

        *is_witnessed* tells whether the bucket shows something as it is known beforehand, or
        raises Unavailable.
        """
        self._is_witnessed = is_witnessed
        self._bucket = bucket
        self._names = names
        self._shape_of = shape_of
        self._clock = clock
        self._jitter = jitter
        self._wrong = WrongAnswers(names, alerts, clock, jitter)
        self._slot = SlotReader(bucket, names, self._wrong.note)
        self._foreign = ForeignSlots(names.called, names.topic, alerts)
        self._entries: dict[Seq, None] = {}
        self._doubts: dict[Seq, _Doubt] = {}
        self._standing: tuple[Seq, bytes, float] | None = None

    async def read(self, seq: Seq) -> SlotContent:
        """Return what lies in slot *seq*, as one look shows it if that has an entry's shape.

        What has another shape is returned only once it is proven to lie there. Raises NotThere, or
        Unavailable: also when something else than the bucket answers, and then for a while.
        """
        self._wrong.require_pause()
        if (known := self._foreign.get(seq)) is not None:
            seen = await self._slot.look(seq)
            if seen is not None and seen.hash == known.hash:
                return known  # or else somebody has put back what was spoiled
        try:
            body = await self._bucket.get(self._names.key(seq))
        except NotThere:
            self._wrong.over()
            raise
        except Corrupt:
            return await self.prove(seq)
        if self._shape_of(seq, body) is ObjectShape.ENTRY:
            self._wrong.over()
            self._note_entry(seq)
            return SlotContent.of(body)
        return await self.prove(seq)

    async def prove(self, seq: Seq, is_sound: IsSound = lambda _body: True) -> SlotContent:
        """Return what is proven to lie in slot *seq*: two reads and a listing agree.

        Raises NotThere if that is what is proven, and Unavailable if they do not agree, or if what
        they show belongs elsewhere or may be a damaged entry, and has not lasted yet.
        """
        self._wrong.require_pause()
        first = await self._slot.look(seq)
        async with asyncio.TaskGroup() as group:
            listing = group.create_task(_or_cause(self._slot.listed_size(seq)))
            await self._clock.sleep(AGAIN_S)
            second = await _or_cause(self._slot.look(seq))
            if not listing.done() and self._is_amiss(seq, second):
                self._wrong.tell()  # a listing that is tried again and again may take long
        listed = listing.result()
        for answer in (second, listed):
            if isinstance(answer, NodeError):
                raise self._wrong.note() if self._is_amiss(seq, first) else answer
        if first != second or listed != (None if first is None else first.size):
            raise self._wrong.note()
        if first is None:
            self._wrong.over()
            self._foreign.over(seq)
            raise NotThere(f"there is no {self._names.called} {seq}")
        shape = self._shape(seq, first)
        if first.body is not None and shape is ObjectShape.ENTRY:
            if is_sound(first.body):
                self._doubts.pop(seq, None)
            else:
                await self._doubt(seq, first)
                self._require_lasting(seq, first)
            self._wrong.over()
            self._note_entry(seq)
            return SlotContent(first.hash, first.body)
        await self._doubt(seq, first)
        if shape is not ObjectShape.FOREIGN:
            self._require_lasting(seq, first)
        self._wrong.over()
        held = SlotContent(first.hash, None)
        self._foreign.note(seq, held)
        return held

    @property
    def is_in_doubt(self) -> bool:
        """Whether something has been seen that counts as no entry if it lasts: ask again then."""
        return bool(self._doubts)

    def foreign(self) -> list[Seq]:
        """Return the numbers that are proven to hold what is no entry, lowest first."""
        return self._foreign.numbers()

    async def look_at_foreign(self) -> None:
        """See whether one of the slots with what is no entry, in turn, has its entry again.

        And the next at once while one has. A slot that has not costs one request. Raises Unavailable.
        """
        while (seq := self._foreign.next_in_turn()) is not None:
            with contextlib.suppress(NotThere):
                try:
                    await self.read(seq)
                except NotThere:
                    await self.prove(seq)  # one look settles nothing
            if self._foreign.get(seq) is not None:
                return

    async def stands(self, seq: Seq, fits: Callable[[bytes], bool], *, anew: bool = False) -> bool:
        """Tell whether slot *seq* holds what *fits*, a question to its hash; False is proven.

        Seen within the last FRESH_S is enough unless it has to be seen *anew*. Slot 0, before the
        first entry, always stands. Raises Unavailable.
        """
        if seq == 0:
            return True
        if not anew and self._stood_just_now(seq, fits):
            return True
        asked_at = self._clock.boot()
        seen: SlotContent | None
        try:
            self._wrong.require_pause()
            body = await self._bucket.get(self._names.key(seq))
            seen = SlotContent.of(body)
        except (NotThere, Corrupt):
            seen = None
        if seen is None or not fits(seen.hash):
            try:
                seen = await self.prove(seq)
            except NotThere:
                return False
            if not fits(seen.hash):
                return False
        self._standing = (seq, seen.hash, asked_at)
        if seen.body is not None and self._shape_of(seq, seen.body) is ObjectShape.ENTRY:
            self._foreign.over(seq)
        return True

    async def take(
        self,
        seq: Seq,
        body: bytes,
        fits: Callable[[bytes], bool],
        deadline: float,
        created: Callable[[], None] = _nobody_is_told,
    ) -> SlotOutcome:
        """Create slot *seq* with *body* if it is absent, on top of a slot before it that *fits*.

        *created* is told as soon as it is there, before both slots are seen once more: who looks because of
        that looks meanwhile.

        *body* must be unlike any other (see `register.commit`); nothing is tried anew after
        *deadline*. Raises nothing of NodeError. Committed means that both slots were seen once
        more; after Unchained ours may be there, on top of nothing, and is not to be counted.
        """
        before = Seq(seq - 1)
        try:
            if not await self.stands(before, fits):
                return Unchained(before)
        except (Unavailable, Corrupt) as error:
            return Unknown(error)
        outcome = await commit_by(
            lambda: self.read(seq),
            self._bucket,
            self._names.key(seq),
            body,
            self._clock,
            deadline,
            self._jitter,
        )
        if outcome != Committed():
            return outcome
        created()
        return await self._confirmed(seq, body, fits)

    async def _confirmed(self, seq: Seq, body: bytes, fits: Callable[[bytes], bool]) -> SlotOutcome:
        """See the slot just taken and the one before it: the bucket may have been put back."""
        self._standing = None
        async with asyncio.TaskGroup() as group:
            below = group.create_task(_or_cause(self.stands(Seq(seq - 1), fits)))
            ours = group.create_task(_or_cause(self._bucket.size(self._names.key(seq))))
        for answer in (below.result(), ours.result()):
            if isinstance(answer, NodeError):
                return Unknown(answer)
        if not below.result():
            return Unchained(Seq(seq - 1))
        if ours.result() != len(body):
            return Unknown(self._wrong.note())
        self._standing = (seq, blake3(body).digest(), self._clock.boot())
        self._note_entry(seq)
        return Committed()

    # -- doubt -------------------------------------------------------------------------------

    async def _doubt(self, seq: Seq, seen: SlotLook) -> None:
        """See once more that no entry lies in *seq*, while the slots around show what they hold.

        Sizes do not tell: entries are padded, so a store that swaps answers passes the listing.
        """
        honest = await self._shows_others(seq)
        await self._clock.sleep(AGAIN_S)
        if not honest or await self._slot.look(seq) != seen or not await self._shows_others(seq):
            raise self._wrong.note()

    async def _shows_others(self, seq: Seq) -> bool:
        """Tell whether one of the slots before *seq*, or of those seen last, shows what it holds."""
        below = range(max(1, seq - _CONTROLS), seq)
        others = {*(Seq(number) for number in below), *self._entries} - {seq}
        for other in sorted(others, reverse=True):
            seen = await self._slot.look(other)
            if seen is None:
                return True  # honest too; what was lost is another matter
            if self._shape(other, seen) is ObjectShape.ENTRY:
                return True
            if (known := self._foreign.get(other)) is not None and known.hash == seen.hash:
                return True
        # All of a log may have been spoiled in a bucket that is honest.
        return not others or await self._is_witnessed()

    def _require_lasting(self, seq: Seq, seen: SlotLook) -> None:
        """Raise Unavailable until *seen* was all that was seen in *seq* for LASTING_S."""
        now = self._clock.boot()
        doubt = self._doubts.get(seq)
        if doubt is None or doubt.hash != seen.hash:
            doubt = self._doubts[seq] = _Doubt(seen.hash, now)
            if len(self._doubts) > _KEPT_DOUBTS:
                del self._doubts[next(iter(self._doubts))]
        if now - doubt.since < LASTING_S:
            # It is the bucket that answers, so other slots may be asked meanwhile.
            raise self._wrong.tell()

    def _note_entry(self, seq: Seq) -> None:
        self._foreign.over(seq)
        self._entries.pop(seq, None)
        self._entries[seq] = None
        if len(self._entries) > _CONTROLS:
            del self._entries[next(iter(self._entries))]

    def _is_amiss(self, seq: Seq, seen: SlotLook | NodeError | None) -> bool:
        """Tell whether *seen* is an answer, and shows something that is not the entry."""
        return isinstance(seen, SlotLook) and self._shape(seq, seen) is not ObjectShape.ENTRY

    def _shape(self, seq: Seq, seen: SlotLook) -> ObjectShape:
        return ObjectShape.FOREIGN if seen.body is None else self._shape_of(seq, seen.body)

    def _stood_just_now(self, seq: Seq, fits: Callable[[bytes], bool]) -> bool:
        if self._standing is None:
            return False
        number, hash_, at = self._standing
        return number == seq and fits(hash_) and self._clock.boot() - at < FRESH_S


async def _or_cause(answer: Awaitable[T]) -> T | Unavailable | Corrupt:
    try:
        return await answer
    except (Unavailable, Corrupt) as error:
        return error
