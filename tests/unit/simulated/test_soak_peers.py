"""A hostile member on the LAN: whatever it says in either direction, typed errors are all that comes."""

from __future__ import annotations

from lab.soak_peers import run_seed


def test_whatever_a_peer_says_the_node_links_and_serves_as_before() -> None:
    happened = run_seed(1)
    wanted = {
        "announcement ignored",
        "announcement taken",
        "answer: PeerLied",
        "answer: PeerLost",
        "answer: the block",
        "heard Heads",
        "heard Push",
        "heard PeerSummary",
        "heard PeerTotals",
        "link answered by it",
        "link dialled by it",
        "message malformed",
        "preamble refused",
        "request: 200",
        "request: 401",
    }
    assert not wanted - set(happened), "something never happened"
