"""Seats with a real roster, keys, replicas and committers, around one bucket, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from committer_fixture import Bucket, Daemon, VirtualClock
from replica_fixture import Blocks, Node
from studio_fixture import Studio

from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.format.journal_entry import EntryBody, seal_entry
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.format.sodium import random_bytes
from lucidnode.fs.membership.entries import revoke_entry, role_entry, state_entry
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.replica.changes import Touched
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.roster_entry import ProjectState, device_id
from lucidnode.node.client.wire import CommitRequest, RosterLook


class RosterDoor:
    """The log of members as one daemon has it: no more than *shown* entries, and perhaps no answer."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.shown: int | None = None
        self.answers = True

    async def entries(self, look: RosterLook = "try") -> list[bytes]:
        if look == "must" and not self.answers:
            raise Unavailable("the bucket does not show the log of members now")
        return self._studio.entries[: self.shown]


class Seat:
    """One member's workstation. It is its committer's hooks as well."""

    def __init__(
        self,
        office: Office,
        name: str,
        who: Membership,
        seed: bytes,
        daemon: Daemon | None = None,
    ) -> None:
        self.office = office
        self.seed = seed
        self.is_mount = True
        """Not a command of an owner's, which ends epochs in projects that are closed as well."""
        self.node = Node(office.path / f"{name}.db", name, office.blocks)
        self.daemon = daemon or Daemon(office.bucket, seed, office.project)
        self.daemon.device = device_id(self.daemon.public)
        self.door = RosterDoor(office.studio)
        self.access = ProjectAccess(self.door, who, office.studio.view(who), office.project)
        self.alerts = Alerts(office.clock)
        self.codec = EntryCodec(
            self.access.keys,
            self.daemon.device,
            self.access.writer_key,
            random_bytes,
            self.access.trusted_key,
            lambda: self.access.closed if self.is_mount else None,
        )
        self.committer = Committer(
            self.node.replica,
            self.daemon,
            office.project,
            self.codec,
            self,
            self.alerts,
            office.clock,
        )

    def before_batch(self) -> None:
        self.node.pack_tails()

    def touched(self, touched: Touched) -> None: ...

    def passed(self, seq: Seq, changeset: bytes | None, *, ours: bool) -> None: ...

    async def refresh_roster(self) -> None:
        await self.access.refresh()

    async def hear_of_era(self) -> None:
        """Do as when the daemon says that the log of members has grown."""
        await self.access.refresh("none")
        self.committer.rights_changed()

    @property
    def names(self) -> set[bytes]:
        return {row[1] for row in self.node.rows()["name"]}

    def head(self) -> tuple[int, int]:
        head = self.node.replica.pending.head()
        return head.seq, head.epoch

    def is_settled(self) -> bool:
        pending = self.node.replica.pending
        return not pending.has_work() and pending.head().seq == len(self.office.bucket.entries)

    def causes(self) -> str:
        return "\n".join(alert.cause for alert in self.alerts.current())


class Office:
    """Ada owns the studio; Bo and Cy are editors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = VirtualClock()
        self.bucket = Bucket()
        self.blocks = Blocks()
        self.studio = Studio(seed=b"a" * 32)
        self.members = {
            "ada": self.studio.ada,
            "bo": self.studio.join(name="Bo", device="edit-2", seed=b"b" * 32),
            "cy": self.studio.join(name="Cy", device="edit-3", seed=b"c" * 32),
        }
        self.project = self.studio.project("film")
        self.seats: list[Seat] = []

    def seat(self, who: str, again: str = "", beside: Seat | None = None) -> Seat:
        """Return a seat of its own, or one of another program on the workstation of *beside*."""
        daemon = None if beside is None else beside.daemon
        seat = Seat(self, who + again, self.members[who], who[:1].encode() * 32, daemon)
        self.clock.threads.append(seat.node.replica._barrier._turn.locked)
        self.seats.append(seat)
        return seat

    def put_out(self, who: str) -> None:
        key = self.members[who].keys.public
        self.studio.entries.append(revoke_entry(self.studio.view(self.studio.ada), [key]))

    def change_role(self, who: str, role: str) -> None:
        key = self.members[who].keys.public
        view = self.studio.view(self.studio.ada)
        self.studio.entries.append(role_entry(view, key, self.project, role))  # type: ignore[arg-type]

    def change_state(self, state: ProjectState, until_ns: int = 0) -> None:
        view = self.studio.view(self.studio.ada)
        [film] = [one for one in view.projects_and_deleted() if one.id == self.project]
        now_ns = self.clock.wall_ns()
        self.studio.entries.append(state_entry(view, film, state, now_ns, until_ns))

    @contextlib.asynccontextmanager
    async def running(self, *seats: Seat) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(seat.committer.run()) for seat in seats]
            yield
            for loop in loops:
                loop.cancel()

    async def settled(self, *seats: Seat) -> None:
        await self.clock.until(lambda: all(seat.is_settled() for seat in seats))

    async def caught_up(self, who: str) -> Seat:
        """Return a seat that has just joined in and read the whole journal."""
        late = self.seat(who, f"-{len(self.seats)}")
        async with self.running(late):
            await self.settled(late)
        return late


def forged(seat: Seat, name: bytes, keys: ProjectKeys, previous: bytes | None = None) -> bytes:
    """Return an entry for the next slot that makes the file *name*, signed by the device of *seat*.

    As whoever changed the program would make it: no rule is asked.
    """
    seat.node.create(name)
    batch = seat.node.replica.pending.next_batch(None)
    assert batch is not None
    unsigned = seal_entry(
        keys,
        Seq(len(seat.office.bucket.entries) + 1),
        batch.previous if previous is None else previous,
        seat.daemon.device,
        EntryBody(1, batch.changeset),
        attempt=b"f" * 16,
        nonce=name.ljust(32, b"."),
    )
    return seat.daemon.signed(CommitRequest(unsigned, []))


async def in_step(office: Office, *seats: Seat) -> None:
    """Have a first file by Ada, and everybody stand on it."""
    seats[0].node.create(b"first")
    async with office.running(*seats):
        await office.settled(*seats)
