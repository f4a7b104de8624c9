"""`scripts/lan` as a person uses it: up, used, damaged, repaired, down."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.daemon_socket import ask
from lab.mounts import mounted_below
from lab.places import SCRIPTS, Places

pytestmark = [pytest.mark.lan, pytest.mark.fuse, pytest.mark.timeout(180)]

LAN = [sys.executable, "-P", "-m", "lab"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
RUN = f"{os.getpid() % 16**5:x}"
"""Ends the name of each lab: what a killed run left is in nobody's way."""

OFFICE, OTHER, PLAIN, CRASH, STOPPED, LOOP = (
    f"{name}{RUN}" for name in ("office", "other", "plain", "crash", "stopped", "loop")
)


def lan(*words: str) -> str:
    """Run `scripts/lan` and return what it prints."""
    done = subprocess.run(
        [*LAN, *words], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*words: str) -> str:
    """Run `scripts/lan`, which must say no in one line; returns the line."""
    done = subprocess.run(
        [*LAN, *words], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def traces(name: str) -> list[str]:
    """Return whatever of lab *name* is still on this machine."""
    places = Places.of(name)
    found = [str(places.root)] if places.root.exists() else []
    found += [str(point) for point in mounted_below(places.root)]
    found += [str(each) for each in Path("/run/netns").glob(f"lucidnode-{name}-*")]
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and places.is_marked((entry / "environ").read_bytes()):
                found.append(f"process {entry.name}")
    return found


def appears(path: Path, content: bytes) -> bool:
    """Return whether *path* has *content* within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == content:
                return True
    return False


@contextlib.contextmanager
def coming_up(name: str, *, until: str) -> Iterator[subprocess.Popen[str]]:
    """Yield `up` of a lab of two at the moment when it says *until*; waits for its end after."""
    words = [*LAN, "up", "--name", name, "--nodes", "2"]
    said = []
    with subprocess.Popen(
        words, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as up:
        assert up.stderr is not None
        for line in up.stderr:
            said.append(line)
            if until in line:
                yield up
                up.communicate()
                return
    pytest.fail("".join(said))


@pytest.fixture(scope="module")
def office() -> Iterator[dict[str, Any]]:
    """Yield a lab of two workstations with a real S3 server, as `up` described it."""
    try:
        described: dict[str, Any] = json.loads(
            lan("up", "--name", OFFICE, "--nodes", "2", "--wan-mbit", "500", "--wan-ms", "4")
        )
        yield described
    finally:
        lan("down", "--name", OFFICE)
    assert traces(OFFICE) == []


def mount_of(lab: dict[str, Any], name: str) -> Path:
    return next(Path(node["mount"]) for node in lab["nodes"] if node["name"] == name)


def status(name: str, node: str) -> dict[str, Any]:
    described = json.loads(lan("status", "--name", name, "--json"))
    return next(each for each in described["nodes"] if each["name"] == node)


def test_up_describes_the_lab_as_status_does(office: dict[str, Any]) -> None:
    assert json.loads(lan("status", "--name", OFFICE, "--json")) == office


def test_description_names_real_things(office: dict[str, Any]) -> None:
    assert [node["name"] for node in office["nodes"]] == ["a", "b"]
    assert set(office["s3"]) == {"endpoint", "access_key", "secret_key", "bucket"}
    for node in office["nodes"]:
        assert Path(node["mount"]).is_mount()
        assert Path(node["cache_dir"]).is_dir()
        assert ask(Path(node["socket"]), "status")["peers"] == 1
        assert all(Path(f"/proc/{pid}").exists() for pid in node["pids"].values())


def test_metrics_are_served_where_the_description_says(office: dict[str, Any]) -> None:
    fetch = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
    for node in office["nodes"]:
        said = lan(
            "exec", "--name", OFFICE, node["name"], "python", "-c", fetch, node["metrics_url"]
        )
        assert "lucidnode_" in said


def test_what_one_workstation_writes_another_reads(office: dict[str, Any]) -> None:
    (mount_of(office, "a") / "note").write_bytes(b"from a")
    assert appears(mount_of(office, "b") / "note", b"from a")


def test_commands_run_in_the_network_of_their_workstation(office: dict[str, Any]) -> None:
    for node in office["nodes"]:
        shown = lan("exec", "--name", OFFICE, node["name"], "ip", "-br", "-4", "addr")
        assert node["address"] in shown


def test_exit_code_of_a_command_is_kept(office: dict[str, Any]) -> None:
    words = [*LAN, "exec", "--name", OFFICE, "a", "bash", "-c", "exit 42"]
    assert subprocess.run(words, env=ENVIRONMENT, check=False).returncode == 42


def test_killed_workstation_comes_back_with_what_it_wrote(office: dict[str, Any]) -> None:
    mount = mount_of(office, "b")
    (mount / "kept").write_bytes(b"closed before the power cut")
    lan("kill", "--name", OFFICE, "b")
    assert status(OFFICE, "b")["pids"] == {"daemon": None, "mount": None}
    lan("restart", "--name", OFFICE, "b")
    assert appears(mount / "kept", b"closed before the power cut")
    assert appears(mount_of(office, "a") / "kept", b"closed before the power cut")


def test_restarted_workstation_has_new_processes(office: dict[str, Any]) -> None:
    before = status(OFFICE, "b")["pids"]
    lan("restart", "--name", OFFICE, "b")
    after = status(OFFICE, "b")["pids"]
    assert not set(before.values()) & set(after.values())
    assert None not in after.values()


def test_cut_workstation_is_shown_as_cut(office: dict[str, Any]) -> None:
    lan("cut", "--name", OFFICE, "b")
    assert not status(OFFICE, "b")["connected"]
    lan("heal", "--name", OFFICE, "b")
    assert status(OFFICE, "b")["connected"]


def test_lab_that_is_up_is_not_started_again(office: dict[str, Any]) -> None:
    assert "is up" in refused("up", "--name", OFFICE)


def test_unknown_workstation_is_refused_with_the_known_ones(office: dict[str, Any]) -> None:
    assert "there are a, b" in refused("cut", "--name", OFFICE, "z")


def test_second_lab_lives_beside_the_first(office: dict[str, Any]) -> None:
    """Same addresses, other network: also their S3 servers must not meet."""
    try:
        other = json.loads(lan("up", "--name", OTHER, "--nodes", "1"))
        assert other["s3"]["endpoint"] == office["s3"]["endpoint"]
        (mount_of(other, "a") / "mine").write_bytes(b"other")
        assert not (mount_of(office, "a") / "mine").exists()
        lan("down", "--name", OTHER)
        assert traces(OTHER) == []
        (mount_of(office, "a") / "still").write_bytes(b"here")
        assert appears(mount_of(office, "b") / "still", b"here")
    finally:
        lan("down", "--name", OTHER)


def test_directory_can_be_the_bucket() -> None:
    try:
        lab = json.loads(lan("up", "--name", PLAIN, "--nodes", "1", "--bucket", "file"))
        assert lab["s3"] is None
        assert lab["bucket_url"].startswith("file:///")
        (mount_of(lab, "a") / "note").write_bytes(b"on disk")
    finally:
        lan("down", "--name", PLAIN)


def test_down_removes_what_a_crash_left() -> None:
    # The network, the cloud and the first workstation are there, and more is to come.
    with coming_up(CRASH, until="workstations") as up:
        up.kill()
    assert traces(CRASH) != []
    lan("down", "--name", CRASH)
    assert traces(CRASH) == []


def test_interrupted_up_leaves_nothing() -> None:
    with coming_up(STOPPED, until="studio") as up:
        up.send_signal(signal.SIGTERM)
    assert up.returncode == 1
    assert traces(STOPPED) == []


def test_lab_that_is_not_up_cannot_be_used() -> None:
    assert "is not up" in refused("status", "--name", "nowhere", "--json")


def test_lab_without_root_or_namespaces_does_the_same_on_loopback() -> None:
    try:
        lab = json.loads(lan("up", "--name", LOOP, "--nodes", "2", "--loopback"))
        assert [node["address"] for node in lab["nodes"]] == ["127.0.0.1", "127.0.0.1"]
        (mount_of(lab, "a") / "note").write_bytes(b"over loopback")
        assert appears(mount_of(lab, "b") / "note", b"over loopback")
    finally:
        lan("down", "--name", LOOP)
    assert traces(LOOP) == []
