"""A daemon or a mount whose process dies is there again within seconds, and says so."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import http.server
import itertools
import json
import os
import shutil
import signal
import socketserver
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cli_fixture import LUCIDNODE, Workstation, until, workstation

from lucidnode.cli.exit_codes import Exit
from lucidnode.fs.hand_over import AT_ONCE
from lucidnode.fs.kernel.mountpoint import mounted_at
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import Refused
from lucidnode.node.client.kept import hold

pytestmark = pytest.mark.timeout(120)

BACK_S = 40.0
"""A mount takes some two seconds on an idle machine."""

BREAKING = Path(__file__).parents[1] / "breaking"
"""With this in its PYTHONPATH a server meets a broken invariant on SIGUSR2."""


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    """Return a workstation with a project `demo`. It has a secret of the store in its environment."""
    folder = tmp_path_factory.mktemp("back") / "a"
    environment = {
        "AWS_SECRET_ACCESS_KEY": "shown to nobody",
        "AWS_PROFILE": "shown to the daemon only",
        "UNRELATED": "shown to nobody",
        "PYTHONPATH": str(BREAKING),
        "TMPDIR": str(folder.parent),  # what a fault of ours is reported with lies there
    }
    with workstation(folder, environment) as one:
        one.unlocked("init", f"file://{one.folder}/bucket")
        one.unlocked("project", "create", "demo")
        yield one


@pytest.fixture
def drive(station: Workstation) -> Iterator[Path]:
    mountpoint = station.folder / "drive"
    station.unlocked("mount", "demo", mountpoint)
    yield mountpoint
    station.run("umount", mountpoint)


def readable(path: Path) -> bool:
    try:
        return path.read_bytes() != b""
    except OSError:
        return False


def server(station: Workstation, kind: str) -> int:
    """Return the process that serves; its keeper comes before it."""
    return station.processes(kind)[-1]


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Have a process do nothing for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def names_made_in(directory: Path) -> Iterator[Iterator[str]]:
    """Yield what is made in *directory* from now on, as soon as it is: some names at a time."""
    libc = ctypes.CDLL(None)
    descriptor = libc.inotify_init1(0)
    in_create = 0x100
    assert libc.inotify_add_watch(descriptor, os.fsencode(directory), in_create) > 0
    with open(descriptor, "rb", buffering=0) as events:
        yield (events.read(4096).decode(errors="replace") for _ in itertools.count())


def synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def topics(station: Workstation) -> list[tuple[str, str | None]]:
    return [(alert["topic"], alert["mountpoint"]) for alert in station.status()["alerts"]]


def test_a_mount_that_is_killed_comes_back_with_what_was_synced(
    station: Workstation, drive: Path
) -> None:
    synced(drive / "take", b"first")
    held = os.open(drive / "take", os.O_RDWR)
    ended = server(station, "mount-process")
    os.kill(ended, signal.SIGKILL)
    until(lambda: gone(ended))
    assert (drive / "take").read_bytes() == b"first"  # who asks meanwhile waits
    with pytest.raises(OSError, match="not connected"):
        os.write(held, b"into a mount that is gone")
    with pytest.raises(OSError, match="not connected"):
        os.close(held)
    synced(drive / "take", b"second")
    assert ("came-back", str(drive)) in topics(station)
    assert "is unmounted" in station.ok("umount", drive).err
    assert mounted_at(drive) is None
    until(lambda: not station.processes("mount-process"))


def test_a_daemon_that_is_killed_comes_back_and_its_mounts_go_on(
    station: Workstation, drive: Path
) -> None:
    synced(drive / "plan", b"of today")
    killed = server(station, "daemon")
    os.kill(killed, signal.SIGKILL)
    synced(drive / "plan", b"of tomorrow")
    assert (drive / "plan").read_bytes() == b"of tomorrow"
    until(lambda: station.run("status").code == Exit.OK, BACK_S)
    assert ("came-back", None) in topics(station)
    until(
        lambda: [each["mountpoint"] for each in station.status()["mounts"]] == [str(drive)], BACK_S
    )
    station.ok("umount", drive)
    station.ok("exit")
    until(lambda: not station.processes())


def test_a_mount_that_a_new_daemon_does_not_know_yet_is_mounted_for_who_would_end_it(
    station: Workstation, drive: Path
) -> None:
    synced(drive / "plan", b"of today")
    with stopped(server(station, "mount-process")):
        os.kill(server(station, "daemon"), signal.SIGKILL)
        until(lambda: station.run("status").code == Exit.OK, BACK_S)
        assert station.status()["mounts"] == []
        for words in (
            ["exit"],
            ["config", "set", "cache.place", station.folder / "elsewhere"],
            ["leave", "--yes", "--passphrase-file", station.words],
        ):
            refused = station.run(*words)
            assert refused.code == Exit.MOUNT_POINT
            assert f"still mounted: {drive}" in refused.line
        with pytest.raises(Refused, match="still mounted"):
            asyncio.run(told_to_exit(station.home))
    until(lambda: len(station.status()["mounts"]) == 1, BACK_S)
    assert (drive / "plan").read_bytes() == b"of today"


def test_a_mount_in_the_foreground_that_has_no_daemon_is_mounted_and_ends_in_order(
    station: Workstation,
) -> None:
    drive = station.folder / "by hand"
    words = ("mount", "demo", drive, "--foreground", "--passphrase-file", station.words)
    with subprocess.Popen(
        [LUCIDNODE, *words], env=station.environment, stderr=subprocess.PIPE, text=True
    ) as serving:
        until(lambda: mounted_at(drive) is not None and station.status()["mounts"], BACK_S)
        for pid in station.processes("daemon"):  # its keeper first
            os.kill(pid, signal.SIGKILL)
        synced(drive / "plan", b"that waits")
        assert f"still mounted: {drive}" in station.run("exit").line
        moved = station.run("cache", "move", station.folder / "elsewhere")
        assert f"still mounted: {drive}" in moved.line
        subprocess.run(["fusermount3", "-u", drive], check=True)
        serving.terminate()  # while it waits for the daemon
        serving.send_signal(AT_ONCE)
        said = serving.communicate(timeout=BACK_S)[1]
    assert serving.returncode == 0, said
    assert "changes wait for the next mount" in said
    assert "no daemon runs here" in station.ok("exit").err
    station.unlocked("daemon")
    lost = station.run("leave", "--yes", "--passphrase-file", station.words).line
    assert f"not all that was saved in the drive at {drive} is in the cloud, and it is lost" in lost
    station.unlocked("mount", "demo", drive)
    assert (drive / "plan").read_bytes() == b"that waits"
    station.ok("umount", drive)
    assert not list(station.home.glob("projects/*/mount.server"))


def test_who_mounts_while_leave_asks_has_not_left(station: Workstation) -> None:
    station.unlocked("daemon")
    lock = station.home / "projects" / "of another terminal" / "mount.keeper"
    lock.parent.mkdir(parents=True)
    held: list[int] = []

    def yes_to_a_drive() -> str:
        held.append(hold(lock, "/mnt/drive"))
        return "y"

    code, shown = station.on_terminal(
        *(LUCIDNODE, "leave", "--passphrase-file", str(station.words)),
        answers=(("for good?", yes_to_a_drive),),
    )
    os.close(held.pop())
    shutil.rmtree(lock.parent)
    assert (code, "still mounted: /mnt/drive" in shown) == (Exit.MOUNT_POINT, True), shown


async def told_to_exit(home: Path) -> None:
    """Tell the daemon of *home* to end, as a command does that has looked a moment before."""
    async with DaemonClient(home / SOCKET_FILE) as client:
        await client.orders.give("exit")


LOST_ITS_SERVER = {errno.ECONNABORTED, errno.ENOTCONN, errno.ESTALE}
"""What a program may be told while a mount comes back: never that a name is not there."""


@contextlib.contextmanager
def takes_made_in(drive: Path) -> Iterator[tuple[list[Path], Counter[int | None]]]:
    """Make file after file in *drive*; yield which were made and synced, and what went wrong."""
    made: list[Path] = []
    failed: Counter[int | None] = Counter()
    is_over = threading.Event()
    synced(drive / "reel", b"was there before")

    def make() -> None:
        while not is_over.is_set():
            take = drive / f"take {len(made) + sum(failed.values())}"
            try:
                synced(take, b"a take")
                made.append(take)
                (drive / "reel").stat()
            except OSError as error:
                failed[error.errno] += 1

    program = threading.Thread(target=make)
    program.start()
    try:
        yield made, failed
    finally:
        is_over.set()
        program.join()


def test_the_directory_below_never_shows_while_a_mount_comes_back(
    station: Workstation, drive: Path
) -> None:
    with takes_made_in(drive) as (made, failed):

        def goes_on() -> None:
            enough = len(made) + 20
            until(lambda: len(made) >= enough, BACK_S)

        # The second takes the place of one that has taken a place.
        for end in (signal.SIGKILL, signal.SIGUSR2):
            goes_on()
            ending = server(station, "mount-process")
            os.kill(ending, end)
            until(partial(gone, ending), BACK_S)
            goes_on()
    assert not failed.keys() - LOST_ITS_SERVER
    assert [take for take in made if take.read_bytes() != b"a take"] == []
    assert ("came-back", str(drive)) in topics(station)
    assert "is unmounted" in station.ok("umount", drive).err
    assert mounted_at(drive) is None
    assert list(drive.iterdir()) == []
    assert not list(drive.parent.glob(".*lucidnode*"))


def test_a_mount_comes_back_where_the_system_exchanges_nothing(station: Workstation) -> None:
    long = station.folder / ("a" * 255)  # no name beside it fits
    station.unlocked("mount", "demo", long)
    synced(long / "reel", b"kept")
    os.kill(server(station, "mount-process"), signal.SIGKILL)
    until(lambda: readable(long / "reel"), BACK_S)
    station.ok("umount", long)
    assert mounted_at(long) is None


def test_a_mount_comes_back_over_what_programs_wrote_below_it_meanwhile_and_tells_of_it(
    station: Workstation, drive: Path
) -> None:
    synced(drive / "reel", b"in the project")
    below = drive / "written while it was away"
    keeper, serving = station.processes("mount-process")[0], server(station, "mount-process")
    with stopped(keeper):
        os.kill(serving, signal.SIGKILL)
        subprocess.run(["umount", "--lazy", drive], check=True)
        below.write_bytes(b"on this disk")
    until(lambda: readable(drive / "reel"), BACK_S)
    told = [alert for alert in station.status()["alerts"] if alert["topic"] == "below"]
    assert [below.name in alert["cause"] for alert in told] == [True]
    assert not below.exists()
    station.ok("umount", drive)
    assert below.read_bytes() == b"on this disk"
    # Mounted by hand it is refused as before: nobody shall lose sight of it.
    refused = station.run("mount", "demo", drive, "--passphrase-file", station.words)
    assert (refused.code, "not empty" in refused.err) == (Exit.MOUNT_POINT, True)
    below.unlink()


def test_a_daemon_that_meets_a_broken_invariant_comes_back_and_its_mounts_go_on(
    station: Workstation, drive: Path
) -> None:
    broken = server(station, "daemon")
    os.kill(broken, signal.SIGUSR2)
    until(lambda: gone(broken))
    synced(drive / "cut", b"while it is away")
    until(lambda: station.run("status").code == Exit.OK, BACK_S)
    assert ("came-back", None) in topics(station)
    until(
        lambda: [each["mountpoint"] for each in station.status()["mounts"]] == [str(drive)], BACK_S
    )
    assert (drive / "cut").read_bytes() == b"while it is away"


def test_conflicts_are_named_after_the_next_mount_until_somebody_settles_them(
    station: Workstation, drive: Path
) -> None:
    (drive / "cuts").mkdir()
    copy = drive / "cuts" / "a (conflict, berta, 2026-03-01 10-00-00).prproj"
    for path in (copy, drive / "cuts" / "a.prproj"):
        path.write_text(path.name)
    station.ok("umount", drive)
    station.unlocked("mount", "demo", drive)
    assert station.ok("conflicts", "list", "demo").out == f"{copy}\n"
    [mount] = station.facts("conflicts list")["mounts"]
    assert mount["conflicts"] == [str(copy.relative_to(drive))]
    assert "conflict copies" in station.ok("status").out
    assert station.ok("conflicts", "dismiss", copy).err == "1 conflict settled\n"
    assert station.ok("conflicts", "list").out == ""
    assert len(list((drive / "cuts").iterdir())) == len(("kept", "both"))


def test_exit_ends_a_daemon_that_is_about_to_come_back(station: Workstation, drive: Path) -> None:
    station.ok("umount", drive)
    os.kill(server(station, "daemon"), signal.SIGKILL)
    station.ok("exit")
    assert not station.processes("daemon")


def test_what_died_with_its_keeper_is_cleared_by_the_next_mount(
    station: Workstation, drive: Path
) -> None:
    synced(drive / "clip", b"kept")
    station.kill()
    until(lambda: not station.processes())
    station.unlocked("mount", "demo", drive)
    assert (drive / "clip").read_bytes() == b"kept"
    station.kill("mount-process")
    until(lambda: "has lost its process and its keeper" in station.ok("status").out)
    station.ok("umount", drive)
    until(lambda: "has lost its process" not in station.ok("status").out)


def test_umount_leaves_nobody_who_would_bring_a_dead_mount_back(
    station: Workstation, drive: Path
) -> None:
    os.kill(server(station, "mount-process"), signal.SIGKILL)
    station.ok("umount", drive)
    assert mounted_at(drive) is None
    assert not station.processes("mount-process")


def test_a_daemon_that_died_with_its_keeper_is_there_again_while_a_project_is_mounted(
    station: Workstation, drive: Path
) -> None:
    station.ok("umount", drive)
    station.ok("exit")
    station.unlocked("daemon", "--no-mdns")
    station.unlocked("mount", "demo", drive)
    synced(drive / "clip", b"kept" * 100_000)
    station.ok("umount", drive)
    station.unlocked("mount", "demo", drive)
    station.ok("cache", "clear")
    with stopped(station.processes("mount-process")[0]):  # who would start it
        station.kill("daemon")
        until(lambda: "is being started again" in station.run("status").err)
    until(lambda: readable(drive / "clip"), BACK_S + 20)
    assert (drive / "clip").read_bytes() == b"kept" * 100_000
    until(lambda: len(station.processes("daemon")) == len(("keeper", "daemon")))  # who started ends
    assert ("came-back", None) in topics(station)
    for pid in station.processes("daemon"):
        started = Path(f"/proc/{pid}")
        assert b"--no-mdns" in (started / "cmdline").read_bytes().split(b"\0")
        assert b"AWS_PROFILE" in (started / "environ").read_bytes()
        assert b"AWS_SECRET_ACCESS_KEY" not in (started / "environ").read_bytes()
    for pid in station.processes("mount-process"):
        assert b"AWS_" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_mount_whose_process_ends_while_it_is_unmounted_is_unmounted(
    station: Workstation, drive: Path
) -> None:
    pid, shown = server(station, "mount-process"), station.status()
    station.kill()
    until(lambda: gone(pid))

    class Daemon(http.server.BaseHTTPRequestHandler):
        """Answers as the real one did before it heard of the end."""

        def do_GET(self) -> None:
            body = json.dumps(shown).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def address_string(self) -> str:
            return "a command"

    (station.home / "daemon.sock").unlink(missing_ok=True)
    with socketserver.ThreadingUnixStreamServer(str(station.home / "daemon.sock"), Daemon) as late:
        thread = threading.Thread(target=late.serve_forever)
        thread.start()
        try:
            assert "is unmounted" in station.ok("umount", drive).err
        finally:
            late.shutdown()
            thread.join()
    assert mounted_at(drive) is None


def test_who_serves_can_be_read_by_no_other_program_of_the_user_and_knows_no_more_than_it_needs(
    station: Workstation, drive: Path
) -> None:
    assert mounted_at(drive) is not None
    for kind, knows in {"daemon": True, "mount-process": False}.items():
        for pid in station.processes(kind):
            process = Path("/proc") / str(pid)
            # The kernel gives root the files of a process that is not dumpable.
            limits = (process / "limits").read_text()
            assert "Max core file size        0                    0 " in limits
            words = (process / "environ").read_bytes()
            assert (b"AWS_PROFILE" in words) == knows
            assert b"AWS_SECRET_ACCESS_KEY" not in words
            assert b"UNRELATED" not in words


def test_a_mount_comes_back_though_its_keeper_is_killed_while_it_is_exchanged(
    station: Workstation, drive: Path
) -> None:
    """Whether the two had changed places by then or not, and nothing is left beside."""
    synced(drive / "reel", b"kept")
    keeper, serving = station.processes("mount-process")[0], server(station, "mount-process")
    beside = drive.with_name(f".{drive.name}.lucidnode")
    with names_made_in(drive.parent) as made:
        os.kill(serving, signal.SIGKILL)
        while beside.name not in next(made):
            pass
        os.kill(keeper, signal.SIGKILL)
    until(lambda: readable(drive / "reel"), BACK_S)
    until(lambda: mounted_at(beside) is None and not os.path.lexists(beside))
    synced(drive / "reel", b"and written to")
    station.ok("umount", drive)
    assert mounted_at(drive) is None
    assert list(drive.iterdir()) == []
