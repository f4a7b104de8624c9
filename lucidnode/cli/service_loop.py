"""The loop of `lucidnode service run`: one daemon and the listed mounts, there for as long as it runs.

It looks every few seconds and never waits for what it started. What runs already it takes as its own;
what has a keeper that lives is its keeper's to bring back. What a person has ended in order stays away
until the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from lucidnode.cli.exit_codes import Exit
from lucidnode.cli.persistent_mounts import PersistentMount
from lucidnode.cli.service_notices import ServiceNotices
from lucidnode.cli.service_state import Condition, DriveState, ServiceState
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 3.0

ANSWER_S = 10.0
"""For an answer of the daemon, which takes milliseconds."""

HANG_LOOKS = 3
"""Questions in a row without an answer after which the daemon counts as hung: 30 s. Not a time by
the clock, which runs on while the machine sleeps."""

READY_S = 60.0
"""After this the service says that it is ready though something is still on its way: a first mount
reads a journal that may be long, and what waits for the service would wait as well."""

_FIRST_PAUSE_S, _MAX_PAUSE_S = 1.0, 60.0

WRONG_ONE = (
    "the kept passphrase is not that of this workstation: run `lucidnode service install` again, "
    "and give it the right one"
)


class PassphraseAway(Exception):
    """The kept passphrase cannot be had now; in words for a person."""


class Tried:
    """How a command ended: its exit code, and its line for a person."""

    def __init__(self, code: int, words: str = "") -> None:
        self.code = code
        self.words = words


class Machine(Protocol):
    """What the loop sees of the machine, and does to it."""

    def listed(self) -> list[PersistentMount]:
        """Return the mounts that come back. Raises Refused for a list that is damaged."""

    async def mounted(self) -> set[str] | None:
        """Return where the daemon has mounts; None if nobody listens. Raises TimeoutError."""

    def has_daemon_died(self) -> bool:
        """Tell whether a daemon was there and has ended otherwise than in order."""

    def has_keeper(self, directory: str | None) -> bool:
        """Tell whether the mount at *directory*, or the daemon, has a keeper that lives."""

    def is_left(self, directory: str) -> bool:
        """Tell whether anything is mounted at *directory*, served or dead."""

    def kill_daemon(self) -> None:
        """End a daemon that hangs, at once."""

    async def start_daemon(self) -> Tried:
        """Start the daemon, and wait until it serves."""

    async def passphrase(self) -> str:
        """Return the kept passphrase. Raises PassphraseAway."""

    async def mount(self, mount: PersistentMount, passphrase: str) -> Tried:
        """Mount, and wait until it serves. Cancelled, what was begun ends."""

    def remember(self, state: ServiceState) -> None:
        """Keep *state* for whoever asks."""


class _Work:
    """Something that is begun again, after growing pauses, until it is there."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._backoff = Backoff(None, _FIRST_PAUSE_S, _MAX_PAUSE_S)
        self._next_at = 0.0
        self.task: asyncio.Task[Tried] | None = None
        self.cause = self._logged = ""
        self.is_tried = False

    @property
    def runs(self) -> bool:
        return self.task is not None

    @property
    def is_due(self) -> bool:
        return self.task is None and self._clock.boot() >= self._next_at

    def hear(self, what: str) -> None:
        """Take in how a try went that has ended. One that fails as the last did is logged once."""
        if self.task is None or not self.task.done():
            return
        tried, self.task = self.task.result(), None
        self.is_tried = True
        if not tried.code:
            self._next_at = 0.0
            return
        if tried.words != self._logged:
            log.warning("%s: %s", what, tried.words)
        self.cause = self._logged = tried.words
        self._next_at = self._clock.boot() + self._backoff.pause()

    def is_there(self) -> None:
        """Note that nothing has to be done."""
        self._backoff.reset()
        self._next_at = 0.0
        self.cause = self._logged = ""
        self.is_tried = True


class _Drive(_Work):
    """One listed mount.

    *was_there* since we tried to mount it last: if nothing is mounted there, a person unmounted it.
    """

    def __init__(self, mount: PersistentMount, clock: Clock, *, was_there: bool) -> None:
        super().__init__(clock)
        self.mount = mount
        self.was_there = was_there
        self.condition: Condition = "waiting"
        self.held_up_by = ""
        """What is amiss with the daemon, without which nothing can be mounted; or nothing."""

    def state(self) -> DriveState:
        waits = self.was_there and self.condition == "waiting"
        cause = self.held_up_by or self.cause
        return DriveState(self.mount.project, self.mount.directory, self.condition, cause, waits)


class ServiceLoop:
    """Keeps one daemon and the listed mounts of one home. *before* is what the last one knew."""

    def __init__(
        self,
        machine: Machine,
        notices: ServiceNotices,
        clock: Clock,
        boot: str,
        before: ServiceState | None,
    ) -> None:
        self._machine = machine
        self._notices = notices
        self._clock = clock
        self._boot = boot
        goes_on = before is not None and before.boot == boot
        drives = before.drives if before is not None and goes_on else []
        # A mount that dies leaves itself in the kernel's list: these a person may have unmounted while
        # nobody looked.
        self._was_there = {
            each.directory
            for each in drives
            if each.was_there or each.condition in {"mounted", "unmounted"}
        }
        self._is_daemon_ended = before is not None and goes_on and before.is_daemon_ended
        self._daemon = _Work(clock)
        self._was_daemon_there = self._is_daemon_ended
        self._silent = 0
        self._drives: dict[str, _Drive] | None = None
        self._list_cause = ""
        self._wrong: str | None = None
        self._is_ready = False
        self._state = ServiceState(boot)

    async def run(self) -> None:
        """Look again and again, until cancelled; then cancel what is under way, and see it end."""
        began = self._clock.boot()
        try:
            while True:
                await self.look()
                self._notices.well()
                if not self._is_ready and (
                    self._is_round_through() or self._clock.boot() - began >= READY_S
                ):
                    self._is_ready = True
                    self._notices.ready()
                await self._clock.sleep(LOOK_EVERY_S if self._is_ready else 0.5)
        finally:
            under_way = [work.task for work in self._works() if work.task is not None]
            for task in under_way:
                task.cancel()
            if under_way:
                await asyncio.wait(under_way)

    async def look(self) -> None:
        """Look once, begin what has to be begun, and tell how it is."""
        self._read_list()
        try:
            mounted = await self._machine.mounted()
        except TimeoutError:
            self._is_silent()
        else:
            self._silent = 0
            self._look_at_daemon(is_there=mounted is not None)
            for drive in (self._drives or {}).values():
                self._look_at(drive, mounted)
        self._tell()

    def _works(self) -> list[_Work]:
        return [self._daemon, *(self._drives or {}).values()]

    def _is_round_through(self) -> bool:
        return all(
            work.is_tried
            or (isinstance(work, _Drive) and (work.condition == "unmounted" or work.held_up_by))
            for work in self._works()
        )

    def _read_list(self) -> None:
        try:
            listed = self._machine.listed()
        except (NodeError, OSError) as error:
            self._list_cause = str(error)  # those that we know go on
            self._drives = self._drives or {}
            return
        self._list_cause = ""
        known = self._drives
        self._drives = {
            # Who lists a mount while we run has mounted it.
            each.directory: self._kept(known, each)
            for each in listed
        }

    def _kept(self, known: dict[str, _Drive] | None, mount: PersistentMount) -> _Drive:
        found = (known or {}).get(mount.directory)
        if found is not None:
            found.mount = mount
            return found
        was_there = known is not None or mount.directory in self._was_there
        return _Drive(mount, self._clock, was_there=was_there)

    def _is_silent(self) -> None:
        self._silent += 1
        if self._silent >= HANG_LOOKS:
            log.warning("the daemon has not answered %d times, and is killed", self._silent)
            self._daemon.cause = "the daemon did not answer and was killed; it comes back"
            self._machine.kill_daemon()
            self._silent = 0

    def _look_at_daemon(self, *, is_there: bool) -> None:
        work = self._daemon
        work.hear("the daemon could not be started")
        if is_there:
            work.is_there()
            self._was_daemon_there, self._is_daemon_ended = True, False
            return
        if work.runs or self._machine.has_keeper(None):
            return
        if self._was_daemon_there and not self._machine.has_daemon_died():
            self._is_daemon_ended = True
            work.is_tried = True
            return
        if work.is_due:
            self._was_daemon_there = self._is_daemon_ended = False
            work.task = asyncio.create_task(self._machine.start_daemon())  # noqa: TID251  # awaited by `run`

    def _look_at(self, drive: _Drive, mounted: set[str] | None) -> None:
        where = drive.mount.directory
        drive.hear(f"{where} is not mounted")
        drive.held_up_by = ""
        if mounted is not None and where in mounted:
            drive.is_there()
            drive.was_there, drive.condition = True, "mounted"
            return
        if drive.runs:
            drive.condition = "mounting"
            return
        if self._machine.has_keeper(where):
            drive.condition = "waiting"
            drive.cause = "its process has died, and is being started again"
            return
        if drive.was_there and not self._machine.is_left(where):
            drive.condition, drive.cause = "unmounted", ""
            return
        drive.condition = "waiting"
        if mounted is None:
            drive.held_up_by = self._daemon_problem()
        elif drive.is_due:
            drive.was_there, drive.condition = False, "mounting"
            drive.task = asyncio.create_task(self._mount(drive.mount))  # noqa: TID251  # awaited by `run`

    async def _mount(self, mount: PersistentMount) -> Tried:
        try:
            passphrase = await self._machine.passphrase()
        except PassphraseAway as error:
            return Tried(Exit.PASSPHRASE, str(error))
        if passphrase == self._wrong:
            return Tried(Exit.PASSPHRASE, WRONG_ONE)
        tried = await self._machine.mount(mount, passphrase)
        if tried.code == Exit.PASSPHRASE:
            # Not tried again before it is another one: each try takes a second of a processor.
            self._wrong = passphrase
            return Tried(tried.code, WRONG_ONE)
        return tried

    def _daemon_problem(self) -> str:
        ended = "the daemon was stopped by `lucidnode exit`" if self._is_daemon_ended else ""
        return "; ".join(filter(None, [self._daemon.cause, ended]))

    def _tell(self) -> None:
        drives: Sequence[_Drive] = list((self._drives or {}).values())
        state = ServiceState(
            boot=self._boot,
            daemon="; ".join(filter(None, [self._list_cause, self._daemon_problem()])),
            is_daemon_ended=self._is_daemon_ended,
            drives=[drive.state() for drive in drives],
        )
        if state != self._state:
            self._state = state
            self._machine.remember(state)
            self._notices.status(state.words())
