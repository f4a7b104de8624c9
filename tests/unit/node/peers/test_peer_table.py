"""Who is on the ring, and whom to ask for a block."""

from __future__ import annotations

import hashlib
from typing import cast

from lucidnode.node.blocks.fetch import FetchAttempt, PassedOver
from lucidnode.node.client.ids import BlockId, DeviceId
from lucidnode.node.peers.link import PeerLink
from lucidnode.node.peers.peer_table import ABSENCE_GRACE_S, RELIEF_REQUESTS, PeerTable
from lucidnode.node.peers.sessions import ClientSession

ME, A, B = DeviceId("0" * 32), DeviceId("a" * 32), DeviceId("b" * 32)
BLOCKS = [BlockId(hashlib.sha256(str(n).encode()).digest()) for n in range(300)]


class Wire:
    """A link that leads nowhere: only its identity counts here."""

    def __init__(self, device: DeviceId) -> None:
        self.device = device


def wire(device: DeviceId) -> PeerLink:
    return cast(PeerLink, Wire(device))


def office(*devices: DeviceId) -> tuple[PeerTable, dict[DeviceId, PeerLink]]:
    peers, links = PeerTable(ME, 4), {}
    for device in devices:
        links[device] = wire(device)
        peers.reached(links[device], cast(ClientSession, object()), 4)
    return peers, links


def test_alone_everything_is_ours_and_nobody_is_asked() -> None:
    peers, _ = office()
    assert all(peers.owns(b) and not peers.route(b) for b in BLOCKS)


def test_the_owner_asks_the_second_for_what_it_holds_others_ask_the_owners() -> None:
    peers, _ = office(A, B)
    for block in BLOCKS:
        first, second = peers.owners(block)
        if first == ME:
            assert peers.route(block) == [FetchAttempt(second, through=False)]
        elif second == ME:
            assert peers.route(block) == [FetchAttempt(first, through=True)]
        else:
            assert peers.route(block) == [
                FetchAttempt(first, through=True),
                FetchAttempt(second, through=True),
            ]


def test_who_goes_away_keeps_its_blocks_for_a_while_and_is_not_asked() -> None:
    peers, links = office(A, B)
    owners = [peers.owners(b) for b in BLOCKS]
    peers.lost(links[A], now=100.0)
    assert [peers.owners(b) for b in BLOCKS] == owners
    assert all(ask.device != A for b in BLOCKS for ask in peers.route(b))
    assert peers.holders() == [B]
    peers.tidy(now=100.0 + ABSENCE_GRACE_S)
    assert [peers.owners(b) for b in BLOCKS] == owners
    peers.tidy(now=100.1 + ABSENCE_GRACE_S)
    assert all(A not in peers.owners(b) for b in BLOCKS)


def test_who_is_gone_stays_off_the_ring_when_another_comes() -> None:
    peers, links = office(A)
    peers.lost(links[A], now=100.0)
    peers.tidy(now=200.0)
    peers.reached(wire(B), cast(ClientSession, object()), 4)
    assert peers.shares().keys() == {ME, B}


def test_who_comes_back_has_its_old_blocks_and_a_clean_record() -> None:
    peers, links = office(A, B)
    owners = [peers.owners(b) for b in BLOCKS]
    failed = peers.met(A)
    failed.health.failed()
    peers.lost(links[A], now=100.0)
    peers.tidy(now=200.0)
    peers.reached(wire(A), cast(ClientSession, object()), 4)
    assert [peers.owners(b) for b in BLOCKS] == owners
    assert peers.met(A).usable


def test_the_end_of_a_link_that_was_replaced_changes_nothing() -> None:
    peers, links = office(A)
    peers.reached(wire(A), cast(ClientSession, object()), 4)
    peers.lost(links[A], now=100.0)
    assert peers.met(A).usable


def test_a_banned_peer_owns_nothing_is_not_asked_and_stays_so() -> None:
    peers, _ = office(A, B)
    peers.ban(peers.met(A))
    peers.reached(wire(A), cast(ClientSession, object()), 4)
    assert peers.shares().keys() == {ME, B}
    assert peers.holders() == [B]


def test_owners_that_are_not_asked_are_told_of_with_the_reason() -> None:
    peers, links = office(A, B)
    [block] = [b for b in BLOCKS if peers.owners(b) == [A, B]][:1]
    assert peers.passed_over(block) == []
    peers.met(A).health.failed()
    assert peers.passed_over(block) == [PassedOver(A, "resting")]
    peers.met(A).health.probed(alive=True)
    peers.met(A).health.failed(lost_hedge=True)
    peers.lost(links[B], now=100.0)
    assert peers.passed_over(block) == [PassedOver(A, "slow"), PassedOver(B, "away")]


def test_a_busy_owner_is_relieved_by_a_copy_but_still_the_one_to_read_through() -> None:
    peers, _ = office(A, B)
    [block] = [b for b in BLOCKS if peers.owners(b) == [A, B]][:1]
    plain = [FetchAttempt(A, through=True), FetchAttempt(B, through=True)]
    peers.met(A).under_way = RELIEF_REQUESTS - 1
    assert peers.route(block) == plain
    peers.met(A).under_way = RELIEF_REQUESTS
    assert peers.route(block) == [FetchAttempt(B, through=False), *plain]
    peers.met(B).under_way = RELIEF_REQUESTS
    assert peers.route(block) == plain


def test_who_is_no_member_any_more_is_forgotten() -> None:
    peers, links = office(A, B)
    peers.forget(A)
    peers.lost(links[A], now=1.0)
    assert peers.shares().keys() == {ME, B}
    assert peers.get(A) is None
