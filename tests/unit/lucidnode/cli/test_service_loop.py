"""The loop of the service, on virtual time: what it brings back, and what it leaves alone."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest
from lab.virtual_loop import LoopClock, run_virtual

from lucidnode.cli.exit_codes import Exit
from lucidnode.cli.persistent_mounts import PersistentMount
from lucidnode.cli.service_loop import WRONG_ONE, PassphraseAway, ServiceLoop, Tried
from lucidnode.cli.service_notices import ServiceNotices
from lucidnode.cli.service_state import DriveState, ServiceState
from lucidnode.node.client.errors import Refused

A = PersistentMount("demo", "/srv/a")
B = PersistentMount("other", "/srv/b")
BOOT = "this run of the machine"
RIGHT = "correct horse battery"


class Workstation:
    """Implements `Machine`: a daemon and mounts that are there or not."""

    def __init__(self, *listed: PersistentMount) -> None:
        self.list = list(listed)
        self.is_list_damaged = False
        self.daemon = False
        self.has_died = False
        self.hangs = False
        self.keepers: set[str | None] = set()
        self.served: set[str] = set()
        self.dead: set[str] = set()
        self.words = RIGHT
        self.is_locked = False
        self.fails: dict[str | None, Tried] = {}
        """What a start of the daemon (None), or a mount at a directory, comes to."""
        self.takes_s = 2.0
        self.began: list[tuple[str | None, float]] = []
        self.cancelled: list[str] = []
        self.killed = 0
        self.state = ServiceState()

    def listed(self) -> list[PersistentMount]:
        if self.is_list_damaged:
            raise Refused("the list is damaged")
        return list(self.list)

    async def mounted(self) -> set[str] | None:
        if self.daemon and self.hangs:
            await asyncio.sleep(10)
            raise TimeoutError
        return set(self.served) if self.daemon else None

    def has_daemon_died(self) -> bool:
        return self.has_died

    def has_keeper(self, directory: str | None) -> bool:
        return directory in self.keepers

    def is_left(self, directory: str) -> bool:
        return directory in self.served | self.dead

    def kill_daemon(self) -> None:
        self.killed += 1
        self.daemon, self.has_died, self.hangs = False, True, False

    async def start_daemon(self) -> Tried:
        tried = await self._tried(None)
        self.daemon, self.has_died = not tried.code, bool(tried.code)
        return tried

    async def passphrase(self) -> str:
        if self.is_locked:
            raise PassphraseAway("the keyring is locked")
        return self.words

    async def mount(self, mount: PersistentMount, passphrase: str) -> Tried:
        self.dead.discard(mount.directory)  # as the command clears it, whatever comes then
        tried = await self._tried(mount.directory)
        if passphrase != RIGHT:
            return Tried(Exit.PASSPHRASE, "that is not the passphrase")
        if not tried.code:
            self.served.add(mount.directory)
        return tried

    async def _tried(self, what: str | None) -> Tried:
        self.began.append((what, asyncio.get_running_loop().time()))
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.cancelled.append(str(what))
            raise
        return self.fails.get(what, Tried(0))

    def remember(self, state: ServiceState) -> None:
        self.state = state

    def conditions(self) -> dict[str, str]:
        return {each.directory: each.condition for each in self.state.drives}

    def tries(self, what: str | None) -> int:
        return sum(each == what for each, _ in self.began)


class Notices(ServiceNotices):
    """Tells us instead of a service manager."""

    def __init__(self) -> None:
        super().__init__(None)
        self.ready_at: list[float] = []
        self.well_at: list[float] = []
        self.words: list[str] = []

    def ready(self) -> None:
        self.ready_at.append(asyncio.get_running_loop().time())

    def well(self) -> None:
        self.well_at.append(asyncio.get_running_loop().time())

    def status(self, words: str) -> None:
        self.words.append(words)


def served(
    station: Workstation,
    then: Callable[[], Awaitable[None]],
    before: ServiceState | None = None,
) -> Notices:
    """Run a service of *station* while *then* runs, and end it."""
    notices = Notices()

    async def main() -> None:
        loop = ServiceLoop(station, notices, LoopClock(), BOOT, before)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(loop.run())
            await then()
            serving.cancel()

    run_virtual(main, "service")
    return notices


def test_what_is_listed_is_mounted_and_then_the_service_is_ready() -> None:
    station = Workstation(A, B)

    async def then() -> None:
        await asyncio.sleep(20)

    notices = served(station, then)
    assert station.served == {A.directory, B.directory}
    assert [each for each, _ in station.began] == [None, A.directory, B.directory]
    assert len(notices.ready_at) == 1
    assert notices.ready_at[0] >= station.began[-1][1] + station.takes_s
    assert notices.words[-1] == "2 of 2 mounted"


def test_what_runs_already_is_taken_as_it_is() -> None:
    station = Workstation(A)
    station.daemon, station.served = True, {A.directory}

    async def then() -> None:
        await asyncio.sleep(60)

    served(station, then)
    assert not station.began
    assert station.conditions() == {A.directory: "mounted"}


def test_a_mount_that_fails_is_tried_again_after_growing_pauses_and_said(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("the bucket cannot be reached")
    station = Workstation(A, B)
    station.fails[A.directory] = Tried(Exit.BUCKET_AWAY, "the bucket cannot be reached")

    async def then() -> None:
        await asyncio.sleep(900)
        tries = station.tries(A.directory)
        assert 10 < tries < 25  # a minute apart in the end
        assert station.served == {B.directory}
        assert station.state.drives[0].cause == "the bucket cannot be reached"
        station.fails.clear()
        await asyncio.sleep(70)
        assert station.served == {A.directory, B.directory}
        assert not station.state.drives[0].cause

    notices = served(station, then)
    assert notices.ready_at[0] - notices.well_at[0] < 10  # what is away holds up nobody


def test_the_service_is_ready_after_a_minute_though_a_first_mount_takes_longer() -> None:
    station = Workstation(A)
    station.takes_s = 50

    async def then() -> None:
        await asyncio.sleep(80)
        assert station.conditions() == {A.directory: "mounting"}

    notices = served(station, then)
    assert 60 <= notices.ready_at[0] - notices.well_at[0] < 62


def test_the_watchdog_hears_often_whatever_hangs(expected_warnings: list[str]) -> None:
    expected_warnings.append("has not answered")
    station = Workstation(A)
    station.daemon = station.hangs = True
    station.takes_s = 1e6

    async def then() -> None:
        await asyncio.sleep(300)

    at = served(station, then).well_at
    assert max(later - earlier for earlier, later in itertools.pairwise(at)) <= 15


def test_a_daemon_that_does_not_answer_for_half_a_minute_is_killed_and_comes_back(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("has not answered")
    station = Workstation(A)
    station.daemon, station.served = True, {A.directory}

    async def then() -> None:
        await asyncio.sleep(10)
        station.hangs = True
        await asyncio.sleep(28)
        assert not station.killed
        await asyncio.sleep(15)
        await asyncio.sleep(10)

    served(station, then)
    assert station.killed == 1
    assert station.daemon
    assert station.tries(None) == 1
    assert station.tries(A.directory) == 0


def test_what_has_a_keeper_is_its_keepers_to_bring_back() -> None:
    station = Workstation(A)
    station.daemon, station.served = True, {A.directory}

    async def then() -> None:
        await asyncio.sleep(10)
        station.keepers = {None, A.directory}
        station.daemon, station.has_died = False, True
        station.served, station.dead = set(), {A.directory}
        await asyncio.sleep(60)

        station.daemon = True
        await asyncio.sleep(60)

    served(station, then)
    assert not station.began
    assert "is being started again" in station.state.drives[0].cause


def test_a_mount_that_lost_its_process_and_its_keeper_is_mounted_again_until_it_is_there(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("away")
    station = Workstation(A)
    station.daemon, station.served = True, {A.directory}

    async def then() -> None:
        await asyncio.sleep(10)
        station.served, station.dead = set(), {A.directory}
        station.fails[A.directory] = Tried(Exit.BUCKET_AWAY, "away")
        await asyncio.sleep(30)
        assert not station.dead  # cleared by the first try
        station.fails.clear()
        await asyncio.sleep(70)

    served(station, then)
    assert station.served == {A.directory}


def test_what_a_person_unmounts_stays_away_until_the_next_start() -> None:
    station = Workstation(A)

    async def unmounted() -> None:
        await asyncio.sleep(20)
        station.served.clear()
        await asyncio.sleep(300)

    async def wait() -> None:
        await asyncio.sleep(60)

    served(station, unmounted)
    assert station.tries(A.directory) == 1
    assert station.conditions() == {A.directory: "unmounted"}
    crashed = station.state
    served(station, wait, crashed)
    assert station.tries(A.directory) == 1
    served(station, wait, ServiceState())
    assert station.tries(A.directory) == 2
    station.served.clear()
    served(station, wait, ServiceState("another run", drives=crashed.drives))
    assert station.tries(A.directory) == 3


def test_what_a_person_unmounts_while_the_service_is_away_stays_away() -> None:
    before = ServiceState(BOOT, drives=[DriveState(A.project, A.directory, "mounted")])

    async def wait() -> None:
        await asyncio.sleep(60)

    unmounted = Workstation(A)
    served(unmounted, wait, before)
    assert unmounted.tries(A.directory) == 0
    died = Workstation(A)
    died.dead = {A.directory}
    served(died, wait, before)
    assert died.served == {A.directory}


def test_what_a_person_was_unmounting_when_the_service_died_stays_away() -> None:
    """The daemon has let it go, and its process has not ended: that is what it saw last."""
    station = Workstation(A)

    async def unmounting() -> None:
        await asyncio.sleep(20)
        station.keepers.add(A.directory)
        station.served.clear()
        await asyncio.sleep(20)

    async def wait() -> None:
        await asyncio.sleep(60)

    served(station, unmounting)
    assert station.conditions() == {A.directory: "waiting"}
    crashed = station.state
    station.keepers.clear()
    served(station, wait, crashed)
    assert station.tries(A.directory) == 1
    assert station.conditions() == {A.directory: "unmounted"}
    # One that has died is there for the kernel, and comes back.
    station.dead = {A.directory}
    served(station, wait, crashed)
    assert station.served == {A.directory}


def test_who_lists_a_mount_while_the_service_runs_has_mounted_it() -> None:
    station = Workstation()

    async def then() -> None:
        await asyncio.sleep(20)
        station.list.append(A)  # and unmounted it before anybody looked
        await asyncio.sleep(60)

    served(station, then)
    assert station.tries(A.directory) == 0
    assert station.state.drives == [DriveState(A.project, A.directory, "unmounted")]


def test_a_daemon_that_a_person_ended_stays_away_until_the_next_start() -> None:
    station = Workstation()

    async def then() -> None:
        await asyncio.sleep(20)
        station.daemon = False
        await asyncio.sleep(100)

    async def wait() -> None:
        await asyncio.sleep(20)

    served(station, then)
    assert station.tries(None) == 1
    assert station.state.is_daemon_ended
    served(station, wait, station.state)
    assert station.tries(None) == 1
    served(station, wait, ServiceState())
    assert station.tries(None) == 2


def test_a_wrong_passphrase_is_tried_once_and_the_right_one_as_soon_as_it_is_there(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("is not mounted")
    station = Workstation(A)
    station.words = "of another workstation"

    async def then() -> None:
        await asyncio.sleep(3600)
        assert station.tries(A.directory) == 1
        assert station.state.drives[0].cause == WRONG_ONE
        station.words = RIGHT
        await asyncio.sleep(70)

    served(station, then)
    assert station.served == {A.directory}


def test_what_keeps_the_daemon_away_is_said_of_each_drive_and_once_in_a_line(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("the daemon could not be started")
    station = Workstation(A, B)
    station.fails[None] = Tried(Exit.PASSPHRASE, WRONG_ONE)  # the device key is under it as well

    async def then() -> None:
        await asyncio.sleep(300)
        assert [each.cause for each in station.state.drives] == [WRONG_ONE, WRONG_ONE]
        assert station.state.words() == f"{WRONG_ONE}; 0 of 2 mounted"
        station.fails.clear()
        await asyncio.sleep(70)

    notices = served(station, then)
    assert notices.ready_at[0] - notices.well_at[0] < 10  # a login waits for nothing
    assert station.served == {A.directory, B.directory}
    assert [each.cause for each in station.state.drives] == ["", ""]


def test_a_drive_that_waits_for_a_daemon_that_a_person_ended_says_so() -> None:
    station = Workstation(A)

    async def then() -> None:
        await asyncio.sleep(20)
        station.daemon, station.served, station.dead = False, set(), {A.directory}
        await asyncio.sleep(20)

    served(station, then)
    assert station.state.drives[0].condition == "waiting"
    assert station.state.drives[0].cause == "the daemon was stopped by `lucidnode exit`"


def test_what_fails_again_and_again_for_one_cause_is_logged_once(
    expected_warnings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_warnings += ["the first cause", "the second cause"]
    station = Workstation(A)

    async def then() -> None:
        for words in ("the first cause", "the second cause"):
            station.fails[A.directory] = Tried(1, words)
            await asyncio.sleep(600)

    served(station, then)
    assert len(caplog.records) == 2


def test_a_locked_keyring_is_waited_for(expected_warnings: list[str]) -> None:
    expected_warnings.append("the keyring is locked")
    station = Workstation(A)
    station.is_locked = True

    async def then() -> None:
        await asyncio.sleep(600)
        assert station.state.drives[0].cause == "the keyring is locked"
        station.is_locked = False
        await asyncio.sleep(70)

    served(station, then)
    assert station.began[-1][0] == A.directory
    assert station.served == {A.directory}


def test_a_damaged_list_is_said_and_what_was_listed_goes_on() -> None:
    station = Workstation(A)

    async def then() -> None:
        await asyncio.sleep(20)
        station.is_list_damaged = True
        await asyncio.sleep(10)
        assert station.state.daemon == "the list is damaged"
        station.served, station.dead = set(), {A.directory}
        await asyncio.sleep(10)

    served(station, then)
    assert station.served == {A.directory}


def test_at_its_end_what_was_begun_is_interrupted_and_seen_to_end() -> None:
    station = Workstation(A)
    station.daemon = True
    station.takes_s = 100

    async def then() -> None:
        await asyncio.sleep(20)

    served(station, then)
    assert station.cancelled == [A.directory]
