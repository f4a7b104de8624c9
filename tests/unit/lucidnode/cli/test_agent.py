"""The agent: gives keys to its user's commands until it is locked, by word or by time."""

from __future__ import annotations

import faulthandler
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from lucidnode.cli import agent
from lucidnode.cli.agent import AGENT_SOCKET, Agent, HeldKeys
from lucidnode.cli.agent_of_home import agent_of
from lucidnode.cli.secret_memory import SecretMemory
from lucidnode.node.config import NodeConfig, save_config

NODE_KEY, MINE = b"n" * 32, b"a membership"
HELD = HeldKeys(NODE_KEY, MINE)
TAKE, LOCK = b"T", b"L"
KEEP, OPEN = b"K" + NODE_KEY + MINE, b"O" + NODE_KEY + MINE


class Asked:
    """An agent with a clock of its own, asked without a socket."""

    def __init__(self, after_s: float | None = None) -> None:
        self.now = 1000.0
        self.after_s = after_s
        self.agent = Agent(
            Path("/nowhere"), memoryview(NODE_KEY), lambda: self.after_s, lambda: self.now
        )

    def ask(self, question: bytes) -> bytes:
        return bytes(self.agent.answered(memoryview(question)))


def test_it_begins_with_nothing_for_commands_and_the_key_of_the_daemon() -> None:
    asked = Asked()
    assert asked.ask(TAKE) == b""
    assert bytes(asked.agent.node_key) == NODE_KEY


@pytest.mark.parametrize("question", [KEEP, OPEN])
def test_what_it_holds_it_gives_until_it_is_locked(question: bytes) -> None:
    asked = Asked()
    asked.ask(question)
    assert asked.ask(TAKE) == asked.ask(TAKE) == NODE_KEY + MINE
    asked.ask(LOCK)
    assert asked.ask(TAKE) == b""
    assert bytes(asked.agent.node_key) == NODE_KEY  # its daemon can be started again


def test_once_locked_a_passphrase_from_a_file_opens_nothing_and_a_typed_one_does() -> None:
    asked = Asked()
    asked.ask(KEEP)
    asked.ask(LOCK)
    asked.ask(KEEP)
    assert asked.ask(TAKE) == b""
    asked.ask(OPEN)
    assert asked.ask(TAKE) == NODE_KEY + MINE


def test_keys_that_nobody_uses_for_the_time_are_locked_and_using_them_begins_it_anew() -> None:
    asked = Asked(after_s=60)
    asked.ask(OPEN)
    for _ in range(3):
        asked.now += 59
        assert asked.ask(TAKE) == NODE_KEY + MINE
    asked.now += 60
    assert asked.ask(TAKE) == b""
    asked.ask(KEEP)  # of a service: what is locked stays locked
    assert asked.ask(TAKE) == b""


def test_what_no_person_has_begun_does_not_put_off_the_locking() -> None:
    asked = Asked(after_s=60)
    asked.ask(OPEN)
    for _ in range(2):
        asked.now += 29
        assert asked.ask(b"U") == NODE_KEY + MINE
    asked.now += 2
    assert asked.ask(b"U") == b""


def test_a_time_that_is_set_meanwhile_counts() -> None:
    asked = Asked()
    asked.ask(OPEN)
    asked.now += 3600
    asked.after_s = 1800
    assert asked.ask(TAKE) == b""


@pytest.mark.parametrize("question", [b"", b"X", b"t", b"T" + b"x" * 100, b"\0" * 40])
def test_other_questions_change_nothing(question: bytes) -> None:
    asked = Asked()
    asked.ask(OPEN)
    asked.ask(question)
    assert asked.ask(TAKE) == NODE_KEY + MINE


def test_what_it_held_is_gone_from_its_memory_when_it_is_locked() -> None:
    asked = Asked()
    asked.ask(OPEN)
    held = asked.agent.answered(memoryview(TAKE))
    assert bytes(held) == NODE_KEY + MINE
    asked.agent.lock()
    assert bytes(held) == bytes(len(NODE_KEY + MINE))


# -- by its socket ---------------------------------------------------------------------------------


def started(home: Path, after_s: Callable[[], float | None] = lambda: None) -> Agent:
    one = Agent(home / AGENT_SOCKET, memoryview(b""), after_s)
    one.start()
    return one


def test_commands_of_this_user_ask_it_by_its_socket(tmp_path: Path) -> None:
    assert agent.take(tmp_path) is None  # there is none
    assert not agent.lock(tmp_path)
    one = started(tmp_path)
    assert (tmp_path / AGENT_SOCKET).stat().st_mode & 0o777 == 0o600
    assert agent.take(tmp_path) is None
    agent.keep(tmp_path, HELD, opens=False)
    assert agent.take(tmp_path) == HELD
    assert agent.lock(tmp_path)
    agent.keep(tmp_path, HELD, opens=False)
    assert agent.take(tmp_path) is None
    agent.keep(tmp_path, HELD, opens=True)
    assert agent.take(tmp_path) == HELD
    assert repr(HELD) == "HeldKeys()"
    one.end()
    assert agent.take(tmp_path) is None


def test_another_user_is_told_nothing_even_where_he_reaches_the_socket(tmp_path: Path) -> None:
    started(tmp_path)
    agent.keep(tmp_path, HELD, opens=True)
    tmp_path.chmod(0o777)
    (tmp_path / AGENT_SOCKET).chmod(0o777)
    said, tells = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.chdir(tmp_path)  # past the directories above, which are not his
            os.setresuid(65534, 65534, 65534)
            for question in (TAKE, LOCK):
                os.write(tells, b"[" + _answer_to(question) + b"]")
        finally:
            os._exit(0)
    os.close(tells)
    os.waitpid(child, 0)
    assert os.read(said, 1000) == b"[][]"
    assert agent.take(tmp_path) == HELD  # nor has he locked it


def _answer_to(question: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(5)
        connection.connect(AGENT_SOCKET)
        try:
            connection.send(question)
            return connection.recv(1000)
        except (ConnectionResetError, BrokenPipeError):  # it was not even read
            return b""


def test_a_command_hands_no_key_to_an_agent_of_somebody_else(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(str(tmp_path / AGENT_SOCKET))
        ready, is_ready = os.pipe()
        if (child := os.fork()) == 0:
            try:
                os.setresuid(65534, 65534, 65534)
                door.listen(1)  # who listens is who the kernel says is there
                os.write(is_ready, b".")
                connection, _ = door.accept()
                os._exit(len(connection.recv(1000)) and 1)
            finally:
                os._exit(2)
        os.read(ready, 1)
        agent.keep(tmp_path, HELD, opens=True)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_question_that_never_comes_or_is_endless_keeps_nobody_out(tmp_path: Path) -> None:
    started(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(str(tmp_path / AGENT_SOCKET))
        connection.send(b"K" * 100_000)  # more than there is room for: cut, and no key of anybody's
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(str(tmp_path / AGENT_SOCKET))
    agent.keep(tmp_path, HELD, opens=True)
    assert agent.take(tmp_path) == HELD


def test_the_time_is_that_of_the_settings_and_damaged_ones_change_nothing(tmp_path: Path) -> None:
    config = NodeConfig("", "", "", "file:///b", lock_after_s=0)
    save_config(tmp_path, config)
    one = agent_of(tmp_path, memoryview(NODE_KEY))
    for damage in (False, True):
        if damage:
            (tmp_path / "node.json").write_text("{")
        one.answered(memoryview(OPEN))
        assert bytes(one.answered(memoryview(TAKE))) == b""


# -- its memory ------------------------------------------------------------------------------------


def test_secrets_of_any_length_are_received_whole_and_wiped_where_they_lay() -> None:
    memory = SecretMemory(1)
    for size in (0, 1, 4095, 4096, 4097, 3 * 65536 + 1):
        secret = os.urandom(size)
        left = memoryview(secret)

        def read_into(room: memoryview) -> int:
            nonlocal left
            some = min(len(room), len(left), 1000)
            room[:some] = left[:some]
            left = left[some:]
            return some

        memory.receive_all(read_into)
        held = memory.held
        assert bytes(held) == secret
        memory.wipe()
        assert bytes(held) == bytes(size)
        assert len(memory.held) == 0
    with pytest.raises(ValueError, match="too large"):
        SecretMemory(1).put(bytes(5000))


def test_a_child_holds_no_copy_of_a_secret() -> None:
    memory = SecretMemory()
    memory.put(b"secret")
    if (child := os.fork()) == 0:
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _ = bytes(memory.held)  # its pages are not there
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
