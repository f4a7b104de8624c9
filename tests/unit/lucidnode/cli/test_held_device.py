"""What a keeper holds of a mount whose process has died."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from lucidnode.cli.held_device import HELD_S, HeldDevice
from lucidnode.fs.kernel.left_mount import MountKeeper


class Hand:
    """A clock whose hand a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.contextmanager
def server_of(held: HeldDevice) -> Iterator[MountKeeper]:
    """Be the next server; *held* hears it until it has died."""
    with held.begins() as line, listening(held):
        yield MountKeeper(line)
    held.died()


@contextlib.contextmanager
def listening(held: HeldDevice) -> Iterator[None]:
    is_over = threading.Event()

    def listen() -> None:
        while not is_over.is_set():
            held.look()

    keeper = threading.Thread(target=listen)
    keeper.start()
    try:
        yield
    finally:
        is_over.set()
        keeper.join()


@pytest.fixture
def device() -> Iterator[tuple[int, int]]:
    """Return two connected descriptors: whoever reads the second sees that nobody has the first."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        yield ours.detach(), theirs.fileno()


def is_held(other: int) -> bool:
    try:
        return os.read(other, 1) != b""
    except BlockingIOError:
        return True


def test_what_a_dead_server_left_is_held_for_a_while_from_its_end(device: tuple[int, int]) -> None:
    mine, other = device
    hand = Hand()
    held = HeldDevice(hand)
    with server_of(held) as keeper:
        assert keeper.left() is None
        keeper.hold(mine, "0:53")
        os.close(mine)
        hand.now += 1000 * HELD_S
        assert keeper.left() == "0:53"
    assert held.look_in_s(None) == HELD_S
    with server_of(held) as keeper:  # one that dies before it has mounted
        assert keeper.left() == "0:53"
        hand.now += HELD_S / 2
    hand.now += HELD_S / 4
    held.look()
    assert is_held(other)
    hand.now += HELD_S / 4
    held.look()
    assert not is_held(other)
    assert held.look_in_s(None) is None
    held.close()


def test_a_server_that_mounted_elsewhere_has_what_was_left_die(device: tuple[int, int]) -> None:
    mine, other = device
    held = HeldDevice(Hand())
    with server_of(held) as keeper:
        keeper.hold(mine, "0:53")
        os.close(mine)
    with server_of(held) as keeper:
        keeper.let_go()
        assert keeper.left() is None
        assert not is_held(other)
    held.close()


def test_who_has_no_keeper_any_more_hears_nothing() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        theirs.close()
        keeper = MountKeeper(ours)
        assert keeper.left() is None
        keeper.hold(ours.fileno(), "0:53")
        with pytest.raises(OSError, match="could not be exchanged"):
            keeper.exchange()
