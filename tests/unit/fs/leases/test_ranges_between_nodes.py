"""`fcntl` ranges locked on two nodes, against the rules as small as they go."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from lock_seats import Office, Seat, never

from lucidnode.fs.errors import LockHeld
from lucidnode.fs.files.file_locks import LockedFile
from lucidnode.fs.files.lock_table import LockedRange

BYTES = 6
EXAMPLES = 12

Kind = Literal["shared", "exclusive", "none"]


class Asked(NamedTuple):
    """What one program of one node asks: to lock or unlock *length* bytes from *start*."""

    seat: int
    owner: int
    kind: Kind
    start: int
    length: int


asked = st.builds(
    Asked,
    seat=st.integers(0, 1),
    owner=st.integers(1, 2),
    kind=st.sampled_from(["shared", "exclusive", "exclusive", "none", "none"]),
    start=st.integers(0, BYTES - 1),
    length=st.integers(1, 3),
)


@dataclass
class Reference:
    """Who has which bytes: the rules of fcntl(2), and that a file's locks are on one node at a time."""

    held: dict[tuple[int, int], dict[int, Kind]] = field(default_factory=dict)

    def may(self, asks: Asked) -> bool:
        """Tell whether *asks* is granted."""
        for (seat, owner), locks in self.held.items():
            if (seat, owner) == (asks.seat, asks.owner) or not locks:
                continue
            if seat != asks.seat:
                return False
            if any(
                "exclusive" in (asks.kind, locks[byte]) for byte in _bytes(asks) if byte in locks
            ):
                return False
        return True

    def do(self, asks: Asked) -> None:
        """Note that it was granted."""
        mine = self.held.setdefault((asks.seat, asks.owner), {})
        for byte in _bytes(asks):
            mine.pop(byte, None)
            if asks.kind != "none":
                mine[byte] = asks.kind


def _bytes(asks: Asked) -> range:
    return range(asks.start, asks.start + asks.length)


@settings(max_examples=EXAMPLES, derandomize=True, deadline=None)
@given(st.lists(asked, min_size=4, max_size=12))
def test_ranges_on_two_nodes_are_locked_as_the_rules_have_it(steps: list[Asked]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[Asked]) -> None:
    with tempfile.TemporaryDirectory() as home:
        office = Office(Path(home))
        reference = Reference()
        async with office.working() as seats:
            for asks in steps:
                await _step(office, seats[asks.seat], asks, reference)
        for seat in (office.a, office.b):
            seat.desk.node.close()


async def _step(office: Office, seat: Seat, asks: Asked, reference: Reference) -> None:
    file = LockedFile(office.files[0], whole=False)
    last = asks.start + asks.length - 1
    if asks.kind == "none":
        seat.locks.unlock(file, asks.owner, asks.start, last)
        reference.do(asks)
        return
    wanted = LockedRange(asks.start, last, asks.kind == "exclusive", asks.owner)
    granted = reference.may(asks)
    # What is free is waited for: another node may have to be asked, and it has nothing to say no to.
    given_up = never() if granted else None

    async def lock() -> None:
        await seat.tokens.admitted(file.ino, asks.owner, given_up, whole=False)
        await seat.locks.lock(file, asks.owner, wanted, asks.owner, given_up)

    locking = asyncio.ensure_future(lock())
    await office.clock.until(locking.done)
    refused = locking.exception()
    if granted:
        assert refused is None, f"{asks} was refused: {refused}"
        reference.do(asks)
    else:
        assert isinstance(refused, LockHeld), f"{asks} was granted"
