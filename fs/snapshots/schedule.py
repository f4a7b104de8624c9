"""When snapshots are made by themselves, and which of them stay. Bytes: docs/format.md, "Snapshots".

Pure. A day is cut into slots of a quarter of an hour; each has one name, so two workstations that
make a slot's snapshot at once make one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from lucidnode.fs.errors import NoAttribute
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.fs.snapshots.snapshot_row import NamedRow
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.msgpack import decoded

SCHEDULE = b"user.lucid.schedule"
"""The attribute of the root that the schedule is."""

SLOT_S = 15 * 60

MAX_KEPT = 50
"""Snapshots of one kind: all kinds together stay below what one file can have of attributes."""

_NAME = "%Y-%m-%dT%H:%MZ"
_HOUR_S, _DAY_S = 3600, 24 * 3600
_MONDAY_S = 4 * _DAY_S
"""From 1970, a Thursday, to the first Monday."""

_AHEAD_S = _DAY_S
"""A slot that lies further ahead was made by a clock that was wrong."""


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many snapshots stay: of the last quarters of an hour, hours, days, weeks that have any."""

    quarters: int = 4
    hours: int = 6
    days: int = 7
    weeks: int = 4

    def encoded(self) -> bytes:
        """Return the value of the row."""
        return _ENCODER.encode(self)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Schedule)


def decoded_schedule(value: bytes) -> Schedule | None:
    """Return the schedule in *value*; None if it is none."""
    try:
        found = decoded(_DECODER, value)
    except Malformed:
        return None
    kept = (found.quarters, found.hours, found.days, found.weeks)
    sound = all(0 <= each <= MAX_KEPT for each in kept) and found.encoded() == value
    return found if sound and any(kept) else None


def schedule_of(tree: TreeReader) -> Schedule | None:
    """Return the schedule that *tree* has, None if snapshots are made by hand only."""
    try:
        return decoded_schedule(tree.xattr(ROOT, SCHEDULE))
    except NoAttribute:
        return None


def slot_at(wall_s: float) -> datetime:
    """Return the beginning of the slot in which *wall_s*, seconds since 1970, lies."""
    return datetime.fromtimestamp(wall_s // SLOT_S * SLOT_S, UTC)


def slot_name(slot: datetime) -> str:
    """Return what the snapshot of *slot* is called."""
    return slot.strftime(_NAME)


def slot_of(snapshot: NamedRow) -> datetime | None:
    """Return the slot that a scheduled *snapshot* is of; None for any other."""
    if not snapshot.row.scheduled:
        return None
    try:
        slot = datetime.strptime(snapshot.name, _NAME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return slot if slot_name(slot) == snapshot.name else None


def are_all_ahead(snapshots: Sequence[NamedRow], now: datetime) -> bool:
    """Tell whether *snapshots* has scheduled ones, and each lies further ahead of *now* than a clock may be wrong.

    Then it is *now* that is wrong, as likely as not.
    """
    slots = [slot for each in snapshots if (slot := slot_of(each)) is not None]
    return bool(slots) and min(slots) > now + timedelta(seconds=_AHEAD_S)


def surplus(
    snapshots: Sequence[NamedRow], schedule: Schedule | None, now: datetime
) -> list[NamedRow]:
    """Return which of *snapshots* the *schedule* takes away at *now*; by hand made ones never.

    The first of each quarter, hour, day and week stays for these, so what stays today for its hour
    may stay for its week. Without a schedule all go that one has made.
    """
    of_slot = {slot: each for each in snapshots if (slot := slot_of(each)) is not None}
    slots = [slot for slot in sorted(of_slot) if slot <= now + timedelta(seconds=_AHEAD_S)]
    kept: set[datetime] = set()
    if schedule is not None:
        for period, offset, count in (
            (SLOT_S, 0, schedule.quarters),
            (_HOUR_S, 0, schedule.hours),
            (_DAY_S, 0, schedule.days),
            (7 * _DAY_S, _MONDAY_S, schedule.weeks),
        ):
            first: dict[int, datetime] = {}
            for slot in slots:
                first.setdefault((int(slot.timestamp()) - offset) // period, slot)
            kept |= {first[group] for group in sorted(first)[len(first) - min(count, len(first)) :]}
    return [each for slot, each in sorted(of_slot.items()) if slot not in kept]
