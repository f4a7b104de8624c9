"""Asking to join: what is kept of it until the answer comes opens with the passphrase alone."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from lucidnode.asking import ASKED_FILE, SILENT_S, Joiner, has_asked
from lucidnode.fs.errors import WrongPassphrase
from lucidnode.fs.format.sodium import PassphraseCost
from lucidnode.fs.membership import passphrase_seal
from lucidnode.fs.membership.asking_ticket import AskingTicket
from lucidnode.fs.membership.member import Label
from lucidnode.node.bucket.address import DirectoryAddress
from lucidnode.node.bucket.directory import prepare_directory
from lucidnode.node.bucket.network import Network
from lucidnode.node.client.clock import Clock, SystemClock

BO = Label("Bo", "edit-2")
CHEAP = PassphraseCost(passes=1, kibibytes=8)


def ticket_of(folder: Path, invitation: bytes = b"i" * 16) -> AskingTicket:
    return AskingTicket(
        bucket=f"file://{folder}/bucket",
        studio=bytes(16),
        genesis=bytes(32),
        invitation=invitation,
        ask_key=b"a" * 32,
        request_url="",
        answer_url="",
        expires_ns=2**62,
        host="Ada",
    )


def joiner(
    folder: Path, passphrase: str, invitation: bytes = b"i" * 16, clock: Clock | None = None
) -> Joiner:
    ticket = ticket_of(folder, invitation)
    return Joiner(folder / "home", ticket, passphrase, Network(), clock or SystemClock(), CHEAP)


class Later:
    """A clock on which nothing but sleep takes time, and *until_s* nobody sleeps past."""

    def __init__(self, until_s: float) -> None:
        self.now, self._until_s = 0.0, until_s

    def boot(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return int(self.now * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > self._until_s:
            raise TimeoutError


async def test_what_was_asked_goes_on_with_the_same_passphrase_and_with_no_other(
    tmp_path: Path,
) -> None:
    await prepare_directory(DirectoryAddress(tmp_path / "bucket"), create=True)
    assert not has_asked(tmp_path / "home", ticket_of(tmp_path))
    words = await joiner(tmp_path, "right words").ask(BO)
    # So nobody is asked to make up another passphrase.
    assert has_asked(tmp_path / "home", ticket_of(tmp_path))
    assert not has_asked(tmp_path / "home", ticket_of(tmp_path, b"o" * 16))
    kept = json.loads((tmp_path / "home" / ASKED_FILE).read_text())
    assert kept.keys() == {"format", "invitation", "sealed"}
    with pytest.raises(WrongPassphrase, match="with which you began to join"):
        await joiner(tmp_path, "other words").ask(BO)
    assert await joiner(tmp_path, "right words").ask(BO) == words


async def test_what_a_release_of_before_asked_goes_on_and_is_in_clear_no_more(
    tmp_path: Path,
) -> None:
    await prepare_directory(DirectoryAddress(tmp_path / "bucket"), create=True)
    words = await joiner(tmp_path, "right words").ask(BO)
    path = tmp_path / "home" / ASKED_FILE
    sealed = base64.b64decode(json.loads(path.read_text())["sealed"])
    before = passphrase_seal.unseal(b"LNW1", "right words", sealed)
    secret = json.loads(before)["box_secret"]
    path.write_bytes(before)
    assert await joiner(tmp_path, "new words").ask(BO) == words
    assert secret not in path.read_text()


async def test_a_damaged_file_is_asked_anew(tmp_path: Path) -> None:
    await prepare_directory(DirectoryAddress(tmp_path / "bucket"), create=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ASKED_FILE).write_bytes(b'{"format":1,"sealed":')
    assert await joiner(tmp_path, "right words").ask(BO)


async def test_who_is_answered_by_nobody_for_long_is_told_what_may_be_the_matter(
    tmp_path: Path,
) -> None:
    await prepare_directory(DirectoryAddress(tmp_path / "bucket"), create=True)
    told: list[str] = []
    for until_s, hears in ((SILENT_S - 5, False), (SILENT_S + 10, True)):
        one = joiner(tmp_path, "right words", clock=Later(until_s))
        await one.ask(BO)
        with pytest.raises(TimeoutError):
            await one.answer(told.append)
        assert bool(told) == hears
    assert "off or locked" in told[0]
