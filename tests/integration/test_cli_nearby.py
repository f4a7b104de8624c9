"""`lucidnode join` alone: whoever invites is found by multicast, and a short code is typed."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_fixture import LUCIDNODE, Ended, Workstation, workstation

from lucidnode.cli.exit_codes import Exit

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(200)]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextmanager
def _network() -> Iterator[tuple[list[str], list[str]]]:
    """Make a network of two machines; gives what runs a command on each."""
    names = [f"near-{side}-{secrets.token_hex(3)}" for side in "ab"]
    try:
        for name in names:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        a, b = names
        _ip("link", "add", "lan0", "netns", a, "type", "veth", "peer", "lan0", "netns", b)
        for number, name in enumerate(names, 1):
            _ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "lan0")
            _ip("-n", name, "link", "set", "lan0", "up")
        yield (["ip", "netns", "exec", a], ["ip", "netns", "exec", b])
    finally:
        for name in names:
            _ip("netns", "del", name)


def _join(inside: list[str], station: Workstation, code: str) -> Ended:
    done = subprocess.run(
        [
            *inside,
            *(LUCIDNODE, "join", "--code-file", station.secret_file("code", code)),
            *("--passphrase-file", station.words, "--name", "Bo"),
        ],
        env=station.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_who_is_near_joins_with_a_short_code_and_both_show_the_same_words(tmp_path: Path) -> None:
    with (
        _network() as (one, other),
        workstation(tmp_path / "a") as ada,
        workstation(tmp_path / "b") as bo,
    ):
        ada.unlocked("init", f"file://{tmp_path}/bucket", "--name", "Ada")
        nobody = _join(other, bo, "AAAA-AAAA")
        assert "nobody on this network invites" in nobody.line
        inviting = subprocess.Popen(
            [
                *(*one, LUCIDNODE, "invite", "--nearby", "--role", "viewer"),
                *("--passphrase-file", ada.words),
            ],
            env=ada.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert inviting.stdout is not None
        code = inviting.stdout.readline().strip()
        assert len(code) == 9, code
        wrong = _join(other, bo, "AAAA-AAAA")
        assert wrong.code == Exit.PASSPHRASE, wrong
        joined = _join(other, bo, code)
        assert joined.code == Exit.OK, joined
        assert "invited by Ada (" in joined.err
        _, said = inviting.communicate(timeout=60)
        assert inviting.returncode == 0, said
        assert "a wrong code was typed; 2 tries are left" in said
        words = joined.err.partition("on both sides: ")[2].split()[0]
        assert f"on both sides: {words}" in said or "joined already" in said, (said, words)
        members = json.loads(ada.unlocked("members", "list", "--json").out)["members"]
        assert [(one["member"], one["role"]) for one in members] == [
            ("Ada", "owner"),
            ("Bo", "viewer"),
        ]
