"""Ports that a firewall lets in: the usual ones, unless somebody has them."""

from __future__ import annotations

import contextlib
import socket

import pytest

from lucidnode.node.peers.errors import PortTaken
from lucidnode.node.peers.listener import bind

HERE = "127.0.0.1"


def _port(bound: socket.socket) -> int:
    port: int = bound.getsockname()[1]
    return port


def test_the_usual_port_is_taken_and_another_if_somebody_has_it() -> None:
    with contextlib.ExitStack() as stack:
        usual = stack.enter_context(bind(HERE, 0))
        port = _port(usual)
        assert _port(stack.enter_context(bind(HERE, 0, port))) not in {0, port}
        with pytest.raises(PortTaken, match=str(port)):
            bind(HERE, port)
        usual.close()
        assert _port(stack.enter_context(bind(HERE, 0, port))) == port


def test_a_port_that_was_chosen_is_taken_whatever_is_usual() -> None:
    with bind(HERE, 0) as free:
        chosen = _port(free)
    with bind(HERE, 0) as usual, bind(HERE, chosen, _port(usual)) as bound:
        assert _port(bound) == chosen
