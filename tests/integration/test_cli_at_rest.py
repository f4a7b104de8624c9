"""A workstation's secrets on its disk and in its memory: real daemons, and who comes for the secrets."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_fixture import LUCIDNODE, PASSPHRASE, Workstation, until, workstation
from fake_logind import FakeLogind, bus

from lucidnode import membership, node_key
from lucidnode.cli.exit_codes import Exit
from lucidnode.node import sealed_file
from lucidnode.node.client.mountinfo import mounts

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]

_SERVING = ("keep", "daemon", "mount-process")

SEALED_NOW = "are sealed on its disk from now on"


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    folder = tmp_path_factory.mktemp("rest")
    with (
        bus(folder) as address,
        workstation(folder / "a", {"DBUS_SYSTEM_BUS_ADDRESS": address}) as one,
    ):
        one.unlocked("init", f"file://{folder}/bucket")
        one.unlocked("project", "create", "demo")
        yield one


@pytest.fixture
def unlocked(station: Workstation) -> Workstation:
    station.unlocked("unlock")
    return station


def asks(ended: object) -> bool:
    return "no terminal to ask for the passphrase" in str(ended)


def mounted(station: Workstation) -> list[Path]:
    found = mounts(Path("/proc/self/mountinfo").read_bytes())
    return [each.directory for each in found if each.directory.is_relative_to(station.folder)]


def memory(pid: int) -> bytes:
    """Return what process *pid* has in its memory, as root may read it."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", 0) as mem:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            bounds, mode = line.split()[:2]
            begin, end = (int(part, 16) for part in bounds.split("-"))
            if mode.startswith("rw"):
                with contextlib.suppress(OSError, OverflowError, ValueError):
                    mem.seek(begin)
                    found.append(mem.read(end - begin))
    return b"\0".join(found)


def agent_pid(station: Workstation) -> int:
    return next(pid for pid in station.processes("keep") if pid in station.processes("daemon"))


# -- unlocked, and locked --------------------------------------------------------------------------


def test_the_passphrase_is_asked_for_once_and_again_after_lock(station: Workstation) -> None:
    drive = station.folder / "drive"
    station.ok("lock")
    assert asks(station.run("project", "list"))
    code, shown = station.on_terminal(LUCIDNODE, "unlock", answers=(("Passphrase", PASSPHRASE),))
    assert (code, "unlocked until `lucidnode lock`" in shown) == (0, True)
    station.ok("mount", "demo", drive)
    (drive / "clip").write_bytes(b"before")

    assert "what is mounted stays so (1 drive)" in station.ok("lock").err
    # What goes on: the drive, and what only the daemon is asked for.
    (drive / "clip").write_bytes(b"after")
    with (drive / "clip").open("rb") as file:
        os.fsync(file.fileno())
    assert station.status()["mounts"]
    # What does not: whatever needs the member's keys, or the node key.
    for words in (["project", "list"], ["credentials", "show"]):
        ended = station.run(*words)
        assert (ended.code, asks(ended)) == (Exit.USAGE, True), words
    # A passphrase from a file serves its own command. A daemon that dies comes back, with its key.
    station.unlocked("project", "list")
    killed = station.processes("daemon")[-1]
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(station.processes("daemon")) == 2 and killed not in station.processes())
    until(lambda: readable(drive / "clip"))
    assert asks(station.run("project", "list"))
    station.unlocked("mount", "demo", station.folder / "then", "--at", "0")
    assert "no process of Lucidnode has a key" in station.ok("lock", "--unmount").err
    # Who unmounted, and never had a key, may still end.
    assert not [pid for kind in _SERVING for pid in station.processes(kind)]
    assert not mounted(station)
    station.unlocked("mount", "demo", drive)
    assert (drive / "clip").read_bytes() == b"after"
    station.ok("umount", drive)


def readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def test_keys_are_gone_from_the_agents_memory_once_it_is_locked(unlocked: Workstation) -> None:
    mine = membership.unlock(unlocked.home, PASSPHRASE)
    secrets = mine.keys.sign_seed, mine.keys.box_secret, mine.name_key
    pid = agent_pid(unlocked)
    held = memory(pid)
    assert all(secret in held for secret in secrets)
    unlocked.ok("lock")
    held = memory(pid)
    assert not [secret for secret in secrets if secret in held]
    assert PASSPHRASE.encode() not in held


def test_keys_that_nobody_uses_for_the_time_are_locked(unlocked: Workstation) -> None:
    # The least that can be set is a minute, and nobody waits for that here.
    unlocked.change_settings(lock_after_s=0)
    assert asks(unlocked.run("project", "list"))
    unlocked.change_settings(lock_after_s=None)


def test_a_wrong_passphrase_unlocks_nothing(station: Workstation) -> None:
    station.run("exit")
    wrong = station.secret_file("wrong", "another passphrase\n")
    assert station.run("unlock", "--passphrase-file", wrong).code == Exit.PASSPHRASE
    assert not station.processes()


# -- what holds the node key -----------------------------------------------------------------------


def test_a_machine_that_nobody_attends_starts_its_daemon_with_the_key_in_a_file(
    station: Workstation,
) -> None:
    station.run("exit")
    file = station.folder / "node-key"
    station.unlocked("keys", "hold", "file", "--file", file)
    station.ok("daemon")
    assert asks(station.run("project", "list"))  # it opens nothing of what is in the projects
    station.ok("exit")
    file.unlink()
    ended = station.run("daemon")
    assert "note: the key in a file that only its user can read cannot be had" in ended.err
    assert asks(ended)
    station.unlocked("keys", "hold", "passphrase")  # the passphrase opens it as ever


def test_the_keyring_of_a_login_holds_the_key_and_another_login_has_it_not(
    station: Workstation, tmp_path: Path
) -> None:
    station.run("exit")
    (tmp_path / "run").mkdir(mode=0o700)
    inside = (
        "printf login | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; "
        f"{LUCIDNODE} keys hold keyring --passphrase-file {station.words} && "
        f"{LUCIDNODE} daemon && {LUCIDNODE} exit"
    )
    environment = {
        **station.environment,
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
    }
    done = subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", inside],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert station.ok("keys", "hold").out == "in the keyring\n"
    ended = station.run("daemon")  # without that session
    assert "note: the key in the keyring cannot be had" in ended.err
    assert asks(ended)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    key = node_key.open_kept(station.home, membership.unlock(station.home, PASSPHRASE).keys)
    assert key not in kept
    station.unlocked("keys", "hold", "passphrase")


# -- who comes for them ----------------------------------------------------------------------------


def test_the_thief_of_a_machine_that_sleeps_finds_no_key_in_its_memory(
    station: Workstation,
) -> None:
    drive = station.folder / "drive"
    address = station.environment["DBUS_SYSTEM_BUS_ADDRESS"]
    with contextlib.closing(FakeLogind(address)) as logind:
        station.unlocked("unlock")
        station.ok("mount", "demo", drive)
        (drive / "clip").write_bytes(b"kept")
        station.ok("config", "set", "lock.on-suspend", "unmount")  # counts at once
        logind.sleep()
        # Now the machine is in the thief's hands. (Who unmounted, and never had a key, may still end.)
        for kind in _SERVING:
            assert not station.processes(kind)
        assert not mounted(station)
    station.ok("config", "unset", "lock.on-suspend")
    station.unlocked("mount", "demo", drive)
    assert (drive / "clip").read_bytes() == b"kept"
    station.ok("umount", drive)


def test_another_user_of_the_machine_gets_at_no_process_and_no_socket(
    unlocked: Workstation,
) -> None:
    drive = unlocked.folder / "drive"
    unlocked.ok("mount", "demo", drive)
    pids = unlocked.processes()
    assert len(pids) >= len(("daemon", "its keeper", "mount", "its keeper"))
    said, tells = os.pipe()
    if (child := os.fork()) == 0:
        with contextlib.suppress(BaseException):
            os.setresgid(65534, 65534, 65534)
            os.setgroups([])
            os.setresuid(65534, 65534, 65534)
            os.write(tells, json.dumps(_reached(unlocked.home, pids)).encode())
        os._exit(0)
    os.close(tells)
    os.waitpid(child, 0)
    assert json.loads(os.read(said, 65536)) == []
    unlocked.ok("umount", drive)


def _reached(home: Path, pids: list[int]) -> list[str]:
    """Return what this process can get at; to be run as somebody else."""
    found = []
    for pid in pids:
        for name in ("environ", "mem", "maps", "auxv", "fd/0", "root/etc/hostname"):
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/{name}").open("rb", 0).close()
                found.append(f"{pid} {name}")
        if ctypes.CDLL(None, use_errno=True).ptrace(16, pid, 0, 0) == 0:  # PTRACE_ATTACH
            found.append(f"{pid} ptrace")
    for path in ("agent.sock", "daemon.sock", "node.key", "device.pem", "member.json", ""):
        with contextlib.suppress(OSError):
            os.stat(home / path, follow_symlinks=False) if path else os.listdir(home)
            found.append(f"home/{path}")
    return found


# -- homes of before -------------------------------------------------------------------------------


def test_a_home_of_before_is_sealed_once_in_words_and_its_daemon_goes_on(
    station: Workstation,
) -> None:
    station.run("exit")
    secrets = made_as_before(station)
    station.ok("daemon")  # needs nothing, as before
    pids = station.processes("daemon")
    assert SEALED_NOW in station.unlocked("project", "list").err
    assert not station.unlocked("project", "list").err
    assert not [secret for secret in secrets if secret in on_disk(station)]
    # The daemon that began before goes on, and writes nothing in clear again.
    station.ok("webhook", "remove", "0123abcd")
    assert station.processes("daemon") == pids
    assert b"0123abcd" not in station.opened("webhooks.json")
    assert not [secret for secret in secrets if secret in on_disk(station)]
    station.ok("exit")
    station.unlocked("daemon")


def on_disk(station: Workstation) -> bytes:
    return b"".join(path.read_bytes() for path in station.home.iterdir() if path.is_file())


def made_as_before(station: Workstation) -> list[bytes]:
    """Put the home of *station* into the form that release 0.1 left; return its secrets."""
    secrets = []
    hook = {"id": "0123abcd", "url": "https://127.0.0.1:1/hook", "secret": "5ec" * 21}
    (station.home / "webhooks.json").write_text(json.dumps({"webhooks": [hook], "places": {}}))
    for name in ("device.pem", "webhook.secret"):
        secrets.append(station.opened(name))
        (station.home / name).write_bytes(secrets[-1])
    mine = membership.unlock(station.home, PASSPHRASE)
    sealed_file.hold(station.home, node_key.open_kept(station.home, mine.keys))
    settings = json.loads((station.home / "node.json").read_text())
    lan_key = sealed_file.opened_text(station.home, "lan_key", settings["lan_key"])
    station.change_settings(lan_key=lan_key)
    (station.home / "node.key").unlink()
    return [*secrets, b"BEGIN PRIVATE KEY", b"5ec" * 21, lan_key.encode()]
