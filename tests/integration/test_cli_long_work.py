"""Work that takes long: what a person sees of it, and what `umount` and `exit` leave undone."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_fixture import LUCIDNODE, PASSPHRASE, Uplink, Workstation, until, workstation
from seaweed_fixture import running_seaweed

from lucidnode.fs.hand_over import STANDSTILL_S

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(180)]

MB = 10**6


@pytest.fixture(scope="module")
def uplink() -> Iterator[Uplink]:
    with running_seaweed() as store:
        uplink = Uplink(store.endpoint)
        yield uplink
        uplink.cut()


@pytest.fixture(scope="module")
def station(uplink: Uplink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    """Return a workstation behind *uplink*, with a project `demo`."""
    keys = {"AWS_ACCESS_KEY_ID": "AKOWNER", "AWS_SECRET_ACCESS_KEY": "owner-secret-0123456789"}
    with workstation(tmp_path_factory.mktemp("cli") / "a", keys) as one:
        one.unlocked("init", "s3://studio", "--endpoint-url", uplink.endpoint)
        one.unlocked("project", "create", "demo")
        yield one


def plain(shown: str) -> str:
    """Return what was shown on a terminal without its control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def test_umount_shows_what_is_left_and_ends_when_it_is_in_the_cloud(
    station: Workstation, uplink: Uplink
) -> None:
    mountpoint = station.folder / "mount"
    code, shown = station.on_terminal(LUCIDNODE, "mount", "demo", str(mountpoint))
    assert code == 0
    assert PASSPHRASE not in shown
    assert "mounting demo…" in shown
    uplink.rate = MB / 4
    (mountpoint / "clip").write_bytes(os.urandom(10 * MB))
    waiting = station.ok("status").out
    assert re.search(r"your work\s+safe on this disk; .*: [\d.]+ MB in \d+ blocks", waiting)
    code, shown = station.on_terminal(
        LUCIDNODE, "umount", str(mountpoint), answers=((" MB left", uplink.hurry),)
    )
    assert code == 0
    assert re.search(r"uploading .* [\d.]+ MB left", plain(shown))
    assert plain(shown).strip().endswith(f"{mountpoint} is unmounted")
    assert station.facts("status")["uploads"]["bytes"] == 0
    # All of it: a workstation that knows the bucket alone reads it.
    for path in station.home.glob("projects/*/replica.db*"):
        path.unlink()
    station.ok("cache", "clear")
    station.unlocked("mount", "demo", mountpoint)
    assert (mountpoint / "clip").stat().st_size == 10 * MB
    station.ok("umount", mountpoint)


def test_umount_waits_for_a_drive_that_looks_for_a_new_daemon(
    station: Workstation, uplink: Uplink
) -> None:
    mountpoint = station.folder / "mount"
    station.unlocked("mount", "demo", mountpoint)
    # The drive looks for it behind the blocks that are on their way, and there are more than those.
    uplink.rate = 4 * MB
    (mountpoint / "take").write_bytes(os.urandom(60 * MB))
    served_by = station.processes("mount-process")[-1]
    os.kill(served_by, signal.SIGSTOP)
    try:
        os.kill(station.processes("daemon")[-1], signal.SIGKILL)
        until(lambda: station.run("status").code == 0)
        assert station.status()["mounts"] == []
        code, shown = station.on_terminal(
            *(LUCIDNODE, "umount", str(mountpoint)),
            answers=(
                ("asking the drive", lambda: os.kill(served_by, signal.SIGCONT)),
                (" MB left", uplink.hurry),
            ),
        )
    finally:
        uplink.hurry()
        if served_by in station.processes("mount-process"):
            os.kill(served_by, signal.SIGCONT)
    assert code == 0
    assert plain(shown).strip().endswith(f"{mountpoint} is unmounted")
    assert station.facts("status")["uploads"]["bytes"] == 0


def unmounting(station: Workstation, mountpoint: Path) -> tuple[str, float]:
    """Unmount; return what was said, and the seconds it took."""
    began = time.monotonic()
    said = station.ok("umount", mountpoint, timeout=90).err
    return said, time.monotonic() - began


def test_without_a_bucket_umount_and_exit_say_what_waits(
    station: Workstation, uplink: Uplink
) -> None:
    mountpoint = station.folder / "mount"
    station.unlocked("mount", "demo", mountpoint)
    uplink.cut()
    try:
        (mountpoint / "late").write_bytes(os.urandom(3 * MB))
        said, in_vain = unmounting(station, mountpoint)
        assert len(said.splitlines()) == 1
        assert re.search(r"is unmounted; 3\.\d MB in \d blocks wait on this disk", said)
        assert "changes wait for the next mount" in said
        said = station.ok("exit").err
        assert re.search(r"has stopped; 3\.\d MB in \d blocks are safe on this disk", said)
    finally:
        uplink.heal()
    station.unlocked("mount", "demo", mountpoint)
    assert (mountpoint / "late").stat().st_size == 3 * MB
    said, with_success = unmounting(station, mountpoint)
    assert said == f"{mountpoint} is unmounted\n"
    # Beside what the same costs on this machine where all moves.
    assert in_vain - with_success < 1.5 * STANDSTILL_S, "what does not move is waited for once"
    assert station.ok("exit").err == "the daemon has stopped\n"


def test_cache_clear_says_what_it_freed(station: Workstation) -> None:
    mountpoint = station.folder / "mount"
    station.unlocked("mount", "demo", mountpoint)
    (mountpoint / "more").write_bytes(os.urandom(2 * MB))
    station.ok("umount", mountpoint)
    until(station.stages_nothing)  # all that was sent is in the cache
    held = station.facts("cache show")
    code, shown = station.on_terminal(LUCIDNODE, "cache", "clear")
    assert code == 0
    assert f"{held['blocks']} blocks dropped from the cache" in plain(shown)
    assert "freed " in shown
    assert station.facts("cache show")["blocks"] == 0
    assert re.search(r"cached\s+nothing", station.ok("cache", "show").out)


def test_nothing_moves_on_what_is_no_terminal(station: Workstation, tmp_path: Path) -> None:
    mountpoint = station.folder / "mount"
    shown = station.unlocked("mount", "demo", mountpoint)
    assert (shown.out, shown.err) == ("", f"demo is mounted at {mountpoint}\n")
    shown = station.ok("umount", mountpoint)
    assert (shown.out, shown.err) == ("", f"{mountpoint} is unmounted\n")
