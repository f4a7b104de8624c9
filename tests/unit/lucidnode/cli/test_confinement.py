"""What a process that has keys gives up: others of its user, cores, and what its starter knew."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lucidnode.cli import confinement

SECRETS = {
    "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c",
    "AWS_SECURITY_TOKEN": "d",
}  # fmt: skip
MACHINE = {"AWS_PROFILE": "studio", "AWS_CONFIG_FILE": "/etc/aws", "AWS_ROLE_ARN": "arn"}
NETWORK = {"HTTPS_PROXY": "http://proxy:1", "no_proxy": "nas"}
OTHERS = {"HOME": "/home/ada", "LC_ALL": "C", "SSH_AUTH_SOCK": "/agent", "MY_TOKEN": "x"}
ALL = SECRETS | MACHINE | NETWORK | OTHERS

PTRACE_ATTACH = 16


def test_a_daemon_inherits_no_key_and_one_with_credentials_nothing_of_the_machines() -> None:
    ours = {"HOME": "/home/ada", "LC_ALL": "C"}
    assert confinement.of_a_mount(ALL) == ours
    assert confinement.of_a_daemon(ALL, has_credentials=True) == ours | NETWORK
    assert confinement.of_a_daemon(ALL, has_credentials=False) == ours | NETWORK | MACHINE


def attacked(hide: Callable[[], None]) -> tuple[list[str], tuple[int, int]]:
    """Return what a program of the same user gets of a process that did *hide*, and its core limit.

    Both are somebody who is not root.
    """
    ready, tells = os.pipe()
    if (victim := os.fork()) == 0:
        try:
            os.setresuid(65534, 65534, 65534)
            # A change of user hides the memory as well: as after exec, all is open again.
            ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
            hide()
            os.write(tells, str(resource.getrlimit(resource.RLIMIT_CORE)[0]).encode())
            signal.pause()
        finally:
            os._exit(0)
    limit = int(os.read(ready, 100))
    said, says = os.pipe()
    if (thief := os.fork()) == 0:
        try:
            os.setresuid(65534, 65534, 65534)
            found = []
            for name in ("mem", "environ", "maps"):
                try:
                    Path(f"/proc/{victim}/{name}").open("rb", 0).close()
                    found.append(name)
                except OSError:
                    continue
            if ctypes.CDLL(None, use_errno=True).ptrace(PTRACE_ATTACH, victim, 0, 0) == 0:
                found.append("ptrace")
            os.write(says, ",".join(found).encode() or b"nothing")
        finally:
            os._exit(0)
    os.waitpid(thief, 0)
    answer = os.read(said, 1000).decode().split(",")
    os.kill(victim, signal.SIGKILL)
    os.waitpid(victim, 0)
    return answer, (limit, limit)


def test_no_program_of_the_same_user_gets_at_its_memory_and_no_core_is_dumped() -> None:
    answer, (soft, _) = attacked(confinement.hide_memory)
    assert (answer, soft) == (["nothing"], 0)


def test_without_it_a_program_of_the_same_user_would() -> None:
    """Else the test above would prove nothing on this machine."""
    answer, _ = attacked(lambda: None)
    assert "mem" in answer


def test_confining_takes_the_rest_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    if (child := os.fork()) == 0:
        os.environ |= SECRETS
        confinement.confine(confinement.of_a_daemon(os.environ, has_credentials=False))
        os._exit(len(SECRETS.keys() & os.environ.keys()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
