"""Each thing that goes wrong at the command line: one line that helps, and its exit code."""

from __future__ import annotations

import contextlib
import errno
import http.server
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cli_fixture import LUCIDNODE, PASSPHRASE, Workstation, until, workstation
from disk_fixture import small_disk
from seaweed_fixture import Seaweed, running_seaweed

from lucidnode.cli.exit_codes import Exit
from lucidnode.fs.kernel.mountpoint import mounted_at

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def store() -> Iterator[Seaweed]:
    with running_seaweed() as seaweed:
        yield seaweed


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    """Return a workstation with a project `demo`, mounted nowhere. Tests leave it so."""
    with workstation(tmp_path_factory.mktemp("cli") / "a") as one:
        one.unlocked("init", f"file://{one.folder}/bucket")
        one.unlocked("project", "create", "demo")
        yield one


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Workstation]:
    """Return a workstation of no studio."""
    with workstation(tmp_path / "new") as one:
        yield one


@pytest.fixture
def mounted(station: Workstation) -> Iterator[Path]:
    """Mount the project `demo`."""
    mountpoint = station.folder / "mounted"
    station.unlocked("mount", "demo", mountpoint)
    yield mountpoint
    station.run("umount", mountpoint)


def mounting(station: Workstation, directory: Path | str, before: str = "") -> tuple[int, str]:
    ended = station.run(
        "mount", "demo", directory, "--passphrase-file", station.words, before=before
    )
    return ended.code, ended.line


def founding(station: Workstation, url: str, *more: str) -> tuple[int, str]:
    ended = station.run("init", url, *more, "--passphrase-file", station.words)
    assert not (station.home / "node.json").exists()
    return ended.code, ended.line


def s3(station: Workstation, store: Seaweed, who: str = "owner") -> None:
    credentials = getattr(store, who)
    station.environment["AWS_ACCESS_KEY_ID"] = credentials.access_key
    station.environment["AWS_SECRET_ACCESS_KEY"] = credentials.secret_key


# -- passphrase, ticket, code ------------------------------------------------------------------------


def test_wrong_passphrase(station: Workstation) -> None:
    wrong = station.secret_file("wrong", "not the one\n")
    ended = station.run("project", "list", "--passphrase-file", wrong)
    assert ended.code == Exit.PASSPHRASE
    assert ended.line == "that is not the passphrase of this workstation: try again"


def test_a_passphrase_file_that_others_can_read_is_refused(station: Workstation) -> None:
    loose = station.secret_file("loose", PASSPHRASE)
    loose.chmod(0o644)
    ended = station.run("project", "list", "--passphrase-file", loose)
    assert ended.code == Exit.USAGE
    assert f"run `chmod 600 {loose}` first" in ended.line


ASKING = (
    ("project", "create", "demo"),
    ("project", "list"),
    ("invite",),
    ("repair", "demo"),
    ("mount", "demo", "drive"),
)
"""Every command that asks for the passphrase of a member."""


def test_nobody_is_asked_for_a_passphrase_where_there_is_no_studio(fresh: Workstation) -> None:
    for words in ASKING:
        ended = fresh.run(*words)  # which would fail otherwise: there is no terminal to ask on
        assert ended.code == Exit.NO_STUDIO, words
        assert "run `lucidnode init` or `lucidnode join`" in ended.line


def test_nobody_is_asked_for_a_passphrase_that_could_open_nothing(fresh: Workstation) -> None:
    fresh.unlocked("init", f"file://{fresh.folder}/bucket")
    (fresh.home / "member.json").write_text("{}")
    for words in ASKING[0], ASKING[-1]:
        ended = fresh.run(*words)
        assert ended.code == Exit.FAILED, words
        assert "member.json is damaged" in ended.line


def test_nobody_is_asked_for_a_passphrase_where_no_daemon_can_start(fresh: Workstation) -> None:
    fresh.unlocked("init", f"file://{fresh.folder}/bucket")
    fresh.unlocked("keys", "hold", "file", "--file", fresh.folder / "node-key")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        fresh.change_settings(dashboard_port=taken.getsockname()[1])
        for words in ASKING[0], ASKING[-1]:
            ended = fresh.run(*words)
            assert ended.code == Exit.PORT_TAKEN, words


def test_nobody_is_asked_for_a_passphrase_because_of_a_name_that_cannot_be(
    station: Workstation, fresh: Workstation
) -> None:
    for one, *words in (
        (station, "project", "create", "a/b"),
        (station, "invite", "--for", "a/b"),
        (fresh, "init", f"file://{fresh.folder}/bucket", "--name", " "),
        (fresh, "join", "@ticket", "--device-name", "a/b"),
    ):
        ended = one.run(*words)
        assert ended.code == Exit.FAILED, words
        assert ended.line.startswith("a name needs visible characters")


def test_nobody_makes_up_a_passphrase_for_a_bucket_that_is_gone(
    station: Workstation, fresh: Workstation
) -> None:
    ticket, code = station.unlocked("invite", "--unattended").out.split()
    bucket = station.folder / "bucket"
    with contextlib.ExitStack() as back:
        back.callback(bucket.with_name("gone").rename, bucket)
        bucket.rename(bucket.with_name("gone"))
        ended = fresh.run("join", ticket, "--code-file", fresh.secret_file("code", code))
    assert ended.code == Exit.BUCKET_WRONG
    assert not (fresh.home / "member.json").exists()


def test_no_terminal_to_ask_the_passphrase(station: Workstation) -> None:
    station.ok("lock")
    ended = station.run("project", "list")
    assert ended.code == Exit.USAGE
    assert "--passphrase-file" in ended.line


def test_tickets(station: Workstation, fresh: Workstation) -> None:
    ticket, code = station.unlocked("invite", "--unattended").out.split()
    right = fresh.secret_file("right", code)
    wrong = fresh.secret_file("wrong", "AAAA-AAAA-AAAA-AAAA")
    words = ("--passphrase-file", fresh.words)

    broken = ticket[:99] + ("a" if ticket[99] != "a" else "b") + ticket[100:]
    ended = fresh.run("join", broken, "--code-file", right, *words)
    assert ended.code == Exit.TICKET
    assert ended.line.startswith("the ticket is damaged")
    assert ended.line.endswith("copy all of it again, or ask for a new one")

    ended = fresh.run("join", ticket, "--code-file", wrong, *words)
    assert (ended.code, ended.line) == (Exit.PASSPHRASE, "that is not the code of this ticket")

    ended = fresh.run("join", "@absent", "--code-file", right, *words)
    assert ended.code == Exit.USAGE

    fresh.ok("join", ticket, "--code-file", right, *words)
    with workstation(fresh.folder.parent / "late") as late:
        code_file = late.secret_file("code", code)
        ended = late.run("join", ticket, "--code-file", code_file, "--passphrase-file", late.words)
    assert ended.code == Exit.TICKET
    assert ended.line == "this ticket was used already, or withdrawn: ask for a new one"


def test_a_home_that_belongs_to_a_studio(station: Workstation) -> None:
    ended = station.run("init", "file:///srv/x", "--passphrase-file", station.words)
    assert ended.code == Exit.FAILED
    assert "name another directory with --home" in ended.line


# -- bucket ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("/srv/x", "write s3://BUCKET/PREFIX, file:///PATH, az://CONTAINER/PREFIX or gs://"),
        ("s3://studio/../x", "the prefix"),
        ("file://srv/x", "three slashes"),
        ("http://example/x", "write s3://"),
    ],
)
def test_a_bucket_url_that_is_none(fresh: Workstation, url: str, advice: str) -> None:
    code, line = founding(fresh, url)
    assert code == Exit.USAGE
    assert advice.lower() in line.lower()


def test_wrong_directories_for_a_bucket(station: Workstation, fresh: Workstation) -> None:
    assert founding(fresh, "file:///etc") == (
        Exit.BUCKET_WRONG,
        "the directory /etc has other things in it: name an empty or a new directory",
    )
    code, line = founding(fresh, f"file://{fresh.folder}/no/bucket")
    assert code == Exit.BUCKET_WRONG
    assert "directory above it does not exist" in line
    code, line = founding(fresh, f"file://{station.folder}/bucket")
    assert code == Exit.BUCKET_WRONG
    assert "use `lucidnode join`, or choose another prefix" in line


def test_wrong_buckets_of_a_store(store: Seaweed, fresh: Workstation) -> None:
    to = ("--endpoint-url", store.endpoint)
    s3(fresh, store, "guest")
    code, line = founding(fresh, "s3://absent", *to)
    assert code == Exit.BUCKET_WRONG
    assert "may not create it: check its name, or create it first" in line
    fresh.environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
    code, line = founding(fresh, "s3://absent", *to)
    assert code == Exit.BUCKET_WRONG
    assert "the secret does not belong to the access key" in line
    del fresh.environment["AWS_SECRET_ACCESS_KEY"]
    code, line = founding(fresh, "s3://absent", *to)
    assert code == Exit.BUCKET_WRONG
    assert "give an access key and its secret" in line

    s3(fresh, store)
    fresh.unlocked("init", "s3://taken", *to)
    with workstation(fresh.folder.parent / "second") as second:
        s3(second, store)
        code, line = founding(second, "s3://taken", *to)
        assert code == Exit.BUCKET_WRONG
        assert "there is a studio in this bucket already" in line
        s3(second, store, "guest")
        code, line = founding(second, "s3://taken/other", *to)
        assert code == Exit.BUCKET_WRONG


def test_a_server_that_is_no_store(fresh: Workstation) -> None:
    fresh.environment |= {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Web) as web:
        threading.Thread(target=web.serve_forever).start()
        endpoint = f"http://127.0.0.1:{web.server_port}"
        code, line = founding(fresh, "s3://studio", "--endpoint-url", endpoint)
        web.shutdown()
    assert code == Exit.BUCKET_WRONG
    assert "no S3 store: check the endpoint URL" in line


class _Web(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its signature
        pass


def test_nobody_at_the_endpoint(fresh: Workstation) -> None:
    fresh.environment |= {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{held.getsockname()[1]}"
        code, line = founding(fresh, "s3://studio", "--endpoint-url", endpoint)
    assert code == Exit.BUCKET_AWAY
    assert line == (
        f"nobody answers at {endpoint} (the connection is refused): check the endpoint and network"
    )


def test_a_bucket_that_vanished_or_was_emptied(station: Workstation, fresh: Workstation) -> None:
    ticket, code = station.unlocked("invite", "--unattended").out.split()
    bucket = station.folder / "bucket"
    bucket.rename(station.folder / "elsewhere")
    try:
        ended = fresh.run(
            "join", ticket, "--code-file", fresh.secret_file("code", code),
            "--passphrase-file", fresh.words,
        )  # fmt: skip
    finally:
        (station.folder / "elsewhere").rename(bucket)
    assert ended.code == Exit.BUCKET_WRONG
    assert "check the path, or mount the share it is on" in ended.line


# -- mount point -------------------------------------------------------------------------------------


def test_directories_that_cannot_be_mounted_on(station: Workstation) -> None:
    full, absent = station.folder / "full", station.folder / "absent"
    full.mkdir(exist_ok=True)
    (full / "file").touch()
    for directory, advice in [
        (full, "choose an empty directory"),
        (full / "file", "is not a directory"),
        (absent / "mount", f"{absent} does not exist: create it first"),
        (station.home / "mount", "choose another directory"),
        (station.home, "choose another directory"),
        (station.folder, "choose an empty directory"),
        (Path("/sys/nowhere"), "cannot make /sys/nowhere"),
    ]:
        code, line = mounting(station, directory)
        assert code == Exit.MOUNT_POINT, line
        assert advice in line
    assert not (station.home / "mount").exists()


def test_something_else_is_mounted_there(station: Workstation) -> None:
    busy = station.folder / "busy"
    busy.mkdir()
    code, line = mounting(station, busy, before=f"mount -t tmpfs none {busy}")
    assert code == Exit.MOUNT_POINT
    assert f"mounted at {busy} already (tmpfs)" in line


def test_mounting_twice_and_stopping_the_daemon_below_a_mount(
    station: Workstation, mounted: Path
) -> None:
    code, line = mounting(station, mounted)
    assert code == Exit.MOUNT_POINT
    assert f"unmount it first with `lucidnode umount {mounted}`" in line
    code, line = mounting(station, station.folder / "again")
    assert code == Exit.MOUNT_POINT
    assert f"demo is mounted already, at {mounted}" in line
    assert not (station.folder / "again").exists(), "made for the mount that failed"
    ended = station.run("exit")
    assert ended.code == Exit.MOUNT_POINT
    assert ended.line == f"still mounted: {mounted}; run `lucidnode umount {mounted}` first"


def test_a_dead_mount_keeps_programs_out_until_the_next_one_is_there(
    station: Workstation, mounted: Path
) -> None:
    station.kill("mount-process")
    # What is asked while it dies is told that the connection was aborted.
    until(lambda: _is_dead(mounted))
    with pytest.raises(OSError, match="not connected"):
        (mounted / "stray").touch()
    bare = []
    with ThreadPoolExecutor(1) as background:
        again = background.submit(station.unlocked, "mount", "demo", mounted)
        while not again.done():
            bare.append(mounted_at(mounted) is None)
    again.result()
    # There is a moment when nothing is mounted; it does not last as long as a key is made.
    assert sum(bare) < len(bare) / 10
    (mounted / "no stray").touch()


def _is_dead(mount: Path) -> bool:
    try:
        os.statvfs(mount)  # of which the kernel remembers nothing
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def test_umount_names_who_uses_the_mount(station: Workstation, mounted: Path) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=mounted) as sleeper:
        ended = station.run("umount", mounted)
        within = subprocess.run(
            [LUCIDNODE, "umount", "."],
            cwd=mounted,
            env=station.environment,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        sleeper.kill()
    assert ended.code == Exit.MOUNT_POINT
    assert ended.line == (f"{mounted} is in use by sleep (process {sleeper.pid}): close that first")
    assert within.stderr == f"lucidnode: {ended.line}\n", "the command itself is none"
    assert os.path.ismount(mounted)


def test_umount_waits_for_no_copy_of_the_mount_and_names_who_has_it(
    station: Workstation, mounted: Path
) -> None:
    copying = [
        "unshare",
        "-m",
        "--propagation",
        "private",
        "sh",
        "-c",
        "echo copied; exec sleep 60",
    ]
    with subprocess.Popen(copying, stdout=subprocess.PIPE) as sleeper:
        assert sleeper.stdout is not None
        assert sleeper.stdout.readline() == b"copied\n"
        began = time.monotonic()
        ended = station.ok("umount", mounted)
        took = time.monotonic() - began
        sleeper.kill()
    assert f"sleep (process {sleeper.pid}) held a copy of the mount" in ended.err
    # The hand-over of an idle mount takes no time; what would not come was waited for a minute.
    assert took < 40
    assert station.facts("status")["mounts"] == []


def test_a_directory_of_anybody_with_a_strange_name_stops_nothing(
    station: Workstation, mounted: Path
) -> None:
    strange = station.folder / "a\r\x0b\u2028b"
    strange.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "strange", strange], check=True)
    try:
        station.ok("umount", mounted)
        station.unlocked("mount", "demo", mounted)
    finally:
        subprocess.run(["umount", strange], check=True)


def test_umount_of_what_is_not_ours(station: Workstation) -> None:
    for directory in ("/proc", station.folder, "/nowhere"):
        ended = station.run("umount", directory)
        assert ended.code == Exit.MOUNT_POINT
        assert ended.line.startswith(f"no project is mounted at {directory}: ")


def test_a_mount_is_found_by_any_name_of_its_directory(station: Workstation) -> None:
    link = station.folder / "link"
    link.symlink_to(station.folder)
    station.unlocked("mount", "demo", "link/by-link")
    assert "is unmounted" in station.ok("umount", "./by-link/").err


def test_no_fuse(station: Workstation) -> None:
    mountpoint = station.folder / "without"
    code, line = mounting(station, mountpoint, before="mount -t tmpfs none /dev")
    assert code == Exit.NO_FUSE
    assert line.startswith("/dev/fuse is missing or not permitted: install FUSE 3")
    code, line = mounting(station, mountpoint, before="mount --bind /dev/null /dev/fuse")
    assert code == Exit.NO_FUSE
    assert line == (
        f"the kernel does not let us mount at {mountpoint}: install fuse3, or ask an "
        "administrator to permit FUSE"
    )
    assert not mountpoint.exists()


def test_unknown_project(station: Workstation) -> None:
    ended = station.run("mount", "dmeo", "m", "--passphrase-file", station.words)
    assert ended.code == Exit.NO_PROJECT
    assert ended.line == "no project 'dmeo' that you can open: did you mean demo?"


# -- disk and ports ----------------------------------------------------------------------------------


def test_a_cache_disk_too_small_to_begin_with(fresh: Workstation) -> None:
    cache = fresh.folder / "disk"
    cache.mkdir()
    ended = fresh.run(
        "init", f"file://{fresh.folder}/bucket", "--cache-dir", cache / "cache",
        "--passphrase-file", fresh.words, before=f"mount -t tmpfs -o size=8m none {cache}",
    )  # fmt: skip
    assert ended.code == Exit.DISK_FULL
    assert ended.line == (
        f"the disk of {cache}/cache has only 8 MB free, and a cache there wants 68 MB, of which "
        "0 MB are left to others: make room there, or name another disk with --cache-dir"
    )


def test_a_disk_that_is_good_enough_to_found_on_is_good_enough_to_mount(fresh: Workstation) -> None:
    with small_disk(fresh.folder / "disk", "72m") as disk:
        fresh.unlocked("init", f"file://{fresh.folder}/bucket", "--cache-dir", disk / "cache")
        fresh.unlocked("project", "create", "demo")
        mountpoint = fresh.folder / "mount"
        fresh.unlocked("mount", "demo", mountpoint)
        (mountpoint / "notes").write_bytes(bytes(2**20))
        assert fresh.facts("cache show")["limit"] < 72 * 2**20
        fresh.ok("umount", mountpoint)
        fresh.ok("exit")


def test_a_cache_disk_that_filled_up_can_still_be_read_through(fresh: Workstation) -> None:
    disk = fresh.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "none", disk], check=True)
    try:
        bucket = f"file://{fresh.folder}/bucket"
        fresh.unlocked("init", bucket, "--cache-dir", disk / "cache")
        fresh.unlocked("project", "create", "demo")
        mountpoint = fresh.folder / "mount"
        fresh.unlocked("mount", "demo", mountpoint)
        (mountpoint / "notes").write_text("all the same")
        full = disk / "other"
        with pytest.raises(OSError, match="No space"):
            full.write_bytes(bytes(80 * 2**20))

        def is_told() -> bool:
            # What is sent and removed from staging meanwhile makes room again: it is filled up too.
            with contextlib.suppress(OSError), full.open("ab", buffering=0) as end:
                while end.write(bytes(4096)):
                    pass
            with contextlib.suppress(OSError):
                (mountpoint / f"reel {time.monotonic_ns()}").mkdir()
            return any("is full" in alert["cause"] for alert in fresh.status()["alerts"])

        until(is_told)
        full.unlink()
        # One fault that the cache met is shown for ten minutes, though its disk works again.
        until(
            lambda: {alert["topic"] for alert in fresh.status()["alerts"]} <= {"cache-disk"},
            said=lambda: fresh.status()["alerts"],
        )
        fresh.ok("umount", mountpoint)
        full.write_bytes(bytes(70 * 2**20))
        code, line = mounting(fresh, mountpoint)
        assert code == Exit.DISK_FULL
        assert "MB free" in line
        assert "wants 71 MB, of which 4 MB are left to others: make room there, mount with" in line
        fresh.unlocked("mount", "demo", mountpoint, "--read-only")
        assert (mountpoint / "notes").read_text() == "all the same"
        fresh.ok("umount", mountpoint)
        fresh.ok("exit")
    finally:
        fresh.leave()
        subprocess.run(["umount", "-l", disk], check=True)


def test_ports_that_are_taken(station: Workstation) -> None:
    station.run("exit")
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        for words in (["daemon"], ["daemon", "--foreground"]):
            ended = station.run(*words, "--port", str(port), "--passphrase-file", station.words)
            assert ended.code == Exit.PORT_TAKEN
            last = ended.err.splitlines()[-1]
            assert last == (
                f"lucidnode: port {port} is taken: stop the program that listens there, or choose "
                "another with --port"
            )
            assert len(ended.err.splitlines()) == 1 or "--foreground" in words
        station.change_settings(dashboard_port=port)
        try:
            ended = station.run("daemon", "--passphrase-file", station.words)
        finally:
            station.change_settings(dashboard_port=None)
        assert ended.code == Exit.PORT_TAKEN
        assert "set another `dashboard_port` in node.json" in ended.line
    ended = station.run("daemon", "--peer", "nonsense")
    assert ended.code == Exit.USAGE
    assert "--peer" in ended.line


# -- daemon ------------------------------------------------------------------------------------------


def test_no_daemon_and_no_studio(station: Workstation, fresh: Workstation) -> None:
    station.run("exit")
    for words in (["status"], ["peers"], ["savings"], ["cache", "show"]):
        ended = station.run(*words)
        assert ended.code == Exit.NO_DAEMON
        assert "start it with `lucidnode daemon`" in ended.line
        ended = fresh.run(*words)
        assert ended.code == Exit.NO_STUDIO
        assert "run `lucidnode init` or `lucidnode join`" in ended.line
    for one in (station, fresh):
        assert one.ok("exit").err == "no daemon runs here\n"


def test_a_daemon_that_died_is_started_again_and_runs_once(station: Workstation) -> None:
    station.unlocked("daemon")
    assert station.unlocked("daemon").err == "the daemon runs already\n"
    ended = station.run("daemon", "--no-mdns")
    assert ended.code == Exit.FAILED
    assert ended.line.endswith("run `lucidnode exit` first")
    station.kill()
    until(lambda: not station.processes())
    assert station.run("status").code == Exit.NO_DAEMON
    both = [threading.Thread(target=station.unlocked, args=("cache", "clear")) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    until(lambda: len(station.processes()) == len(("keeper", "daemon")))  # who started them ends


def test_a_damaged_member_file(station: Workstation) -> None:
    file = station.home / "member.json"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"A", b"B", 3))
    try:
        ended = station.run("project", "list", "--passphrase-file", station.words)
    finally:
        file.write_bytes(whole)
    assert ended.code == Exit.FAILED
    assert "member.json is damaged" in ended.line


def test_a_home_that_cannot_be_used(fresh: Workstation) -> None:
    bucket = f"file://{fresh.folder}/bucket"
    words = ("--passphrase-file", fresh.words)
    below_a_file = fresh.words / "home"
    ended = fresh.run("--home", below_a_file, "init", bucket, *words)
    assert (ended.code, ended.line) == (
        Exit.FAILED,
        f"cannot use {below_a_file}: Not a directory",
    )
    ended = fresh.run("--home", fresh.folder / ("long" * 30), "init", bucket, *words)
    assert ended.code == Exit.FAILED
    assert "too long a name for a socket" in ended.line


def test_words_that_mean_nothing(fresh: Workstation) -> None:
    for words in (["nonsense"], ["mount"], ["cache", "nonsense"], ["status", "--nonsense"]):
        ended = fresh.run(*words)
        assert ended.code == Exit.USAGE
        assert "--help`" in ended.line
    ended = fresh.run()
    assert ended.code == Exit.USAGE
    assert ended.err.startswith("Usage: lucidnode")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["mout", "demo"], "Did you mean 'mount'?"),
        (["stop"], "Did you mean 'exit'?"),
        (["cache", "shwo"], "Did you mean 'show'?"),
        (["status", "--jsn"], "--json"),
        (["config", "set", "cache.limt", "1GB"], "did you mean cache.limit?"),
        (["zzzzzz"], "No such command 'zzzzzz' (see `lucidnode --help`)"),
    ],
)
def test_a_word_that_was_mistyped_is_told_what_was_meant(
    fresh: Workstation, typed: list[str], said: str
) -> None:
    ended = fresh.run(*typed)
    assert (ended.code, said in ended.line) == (Exit.USAGE, True), ended.err


def test_swapped_arguments_are_noticed_before_a_passphrase_is_asked_for(
    station: Workstation,
) -> None:
    ended = station.run("mount", station.folder / "my drive", "demo")
    assert ended.code == Exit.USAGE
    assert f"`lucidnode mount PROJECT '{station.folder}/my drive'`" in ended.line


def test_a_project_has_a_name_that_a_shell_leaves_alone_or_its_hint_quotes_it(
    station: Workstation,
) -> None:
    for name in ("..", "-x"):
        ended = station.run(*("project", "create", "--passphrase-file", station.words, "--", name))
        assert (ended.code, "means something else to a shell" in ended.line) == (1, True)
    said = station.unlocked("project", "create", "two words").err
    assert "`lucidnode mount 'two words' DIR`" in said


def test_a_passphrase_file_of_an_editor_that_begins_with_a_mark_is_read(
    station: Workstation,
) -> None:
    file = station.secret_file("marked", f"\ufeff{PASSPHRASE}\r\n")
    assert station.run("project", "list", "--passphrase-file", file).code == Exit.OK


def test_a_bucket_that_refuses_is_named_by_whatever_needs_it(fresh: Workstation) -> None:
    disk, mountpoint = fresh.folder / "share", fresh.folder / "mount"
    with small_disk(disk, "64m"):
        fresh.unlocked("init", f"file://{disk}/bucket")
        fresh.unlocked("project", "create", "demo")
        fresh.unlocked("mount", "demo", mountpoint)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        (mountpoint / "notes").write_text("waits here")
        said = "refuses access (Read-only file system): mount it so that it can be written"
        for words in ("invite",), ("project", "create", "other"):
            ended = fresh.run(*words, "--passphrase-file", fresh.words, timeout=50)
            assert ended.code == Exit.BUCKET_WRONG
            assert said in ended.line
        assert said[:30] in fresh.ok("status", "--alerts").out
        ended = fresh.ok("umount", mountpoint)
        assert "for the next mount of this project: The directory" in ended.err
        assert "refuses access (Read-only file system)" in ended.err
        assert "slow" not in ended.err
        assert "still uploads" not in ended.err
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        fresh.unlocked("project", "create", "other")
        fresh.leave()
