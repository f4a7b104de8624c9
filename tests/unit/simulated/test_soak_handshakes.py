"""Whoever reaches a control port, or is dialled: typed errors are all that comes of what he says."""

from __future__ import annotations

from lab.soak_handshakes import run_seed


def test_no_preamble_hello_or_first_message_does_more_than_be_refused_or_read() -> None:
    happened = run_seed(1)
    wanted = {
        *("stranger dials: PeerRefused", "stranger dials: PeerLost"),
        *("member dials: PeerRefused", "member dials: PeerLost"),
        *("member dials: TLS refused", "member dials: TLS waits"),
        *("member answers: PeerRefused", "member answers: PeerLost", "member answers: TLS refused"),
        *("first message: Malformed", "first message: read"),
    }
    assert not wanted - set(happened), "something never happened"
