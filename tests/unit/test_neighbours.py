"""Who is on the ring, and whom to ask for a block."""

from __future__ import annotations

import hashlib
from typing import cast

from lucidnode.node.client.ids import BlockId, DeviceId
from lucidnode.node.fetch import Ask
from lucidnode.node.peers.grants import Access
from lucidnode.node.peers.link import Link
from lucidnode.node.peers.neighbours import GRACE, RELIEF, Neighbours

ME, A, B = DeviceId("0" * 32), DeviceId("a" * 32), DeviceId("b" * 32)
BLOCKS = [BlockId(hashlib.sha256(str(n).encode()).digest()) for n in range(300)]


class Wire:
    """A link that leads nowhere: only its identity counts here."""

    def __init__(self, device: DeviceId) -> None:
        self.device = device


def wire(device: DeviceId) -> Link:
    return cast(Link, Wire(device))


def office(*devices: DeviceId) -> tuple[Neighbours, dict[DeviceId, Link]]:
    neighbours, links = Neighbours(ME, 4), {}
    for device in devices:
        links[device] = wire(device)
        neighbours.reached(links[device], cast(Access, object()), 4)
    return neighbours, links


def test_alone_everything_is_ours_and_nobody_is_asked() -> None:
    neighbours, _ = office()
    assert all(neighbours.owns(b) and not neighbours.route(b) for b in BLOCKS)


def test_the_owner_asks_the_second_for_what_it_holds_others_ask_the_owners() -> None:
    neighbours, _ = office(A, B)
    for block in BLOCKS:
        first, second = neighbours.owners(block)
        if first == ME:
            assert neighbours.route(block) == [Ask(second, through=False)]
        elif second == ME:
            assert neighbours.route(block) == [Ask(first, through=True)]
        else:
            assert neighbours.route(block) == [Ask(first, through=True), Ask(second, through=True)]


def test_who_goes_away_keeps_its_blocks_for_a_while_and_is_not_asked() -> None:
    neighbours, links = office(A, B)
    owners = [neighbours.owners(b) for b in BLOCKS]
    neighbours.lost(links[A], now=100.0)
    assert [neighbours.owners(b) for b in BLOCKS] == owners
    assert all(ask.device != A for b in BLOCKS for ask in neighbours.route(b))
    assert neighbours.holders() == [B]
    neighbours.tidy(now=100.0 + GRACE)
    assert [neighbours.owners(b) for b in BLOCKS] == owners
    neighbours.tidy(now=100.1 + GRACE)
    assert all(A not in neighbours.owners(b) for b in BLOCKS)


def test_who_is_gone_stays_off_the_ring_when_another_comes() -> None:
    neighbours, links = office(A)
    neighbours.lost(links[A], now=100.0)
    neighbours.tidy(now=200.0)
    neighbours.reached(wire(B), cast(Access, object()), 4)
    assert neighbours.shares().keys() == {ME, B}


def test_who_comes_back_has_its_old_blocks_and_a_clean_record() -> None:
    neighbours, links = office(A, B)
    owners = [neighbours.owners(b) for b in BLOCKS]
    failed = neighbours.met(A)
    failed.standing.failed()
    neighbours.lost(links[A], now=100.0)
    neighbours.tidy(now=200.0)
    neighbours.reached(wire(A), cast(Access, object()), 4)
    assert [neighbours.owners(b) for b in BLOCKS] == owners
    assert neighbours.met(A).usable


def test_the_end_of_a_link_that_was_replaced_changes_nothing() -> None:
    neighbours, links = office(A)
    neighbours.reached(wire(A), cast(Access, object()), 4)
    neighbours.lost(links[A], now=100.0)
    assert neighbours.met(A).usable


def test_a_banned_peer_owns_nothing_is_not_asked_and_stays_so() -> None:
    neighbours, _ = office(A, B)
    neighbours.ban(neighbours.met(A))
    neighbours.reached(wire(A), cast(Access, object()), 4)
    assert neighbours.shares().keys() == {ME, B}
    assert neighbours.holders() == [B]


def test_a_busy_owner_is_relieved_by_a_copy_but_still_the_one_to_read_through() -> None:
    neighbours, _ = office(A, B)
    [block] = [b for b in BLOCKS if neighbours.owners(b) == [A, B]][:1]
    plain = [Ask(A, through=True), Ask(B, through=True)]
    neighbours.met(A).under_way = RELIEF - 1
    assert neighbours.route(block) == plain
    neighbours.met(A).under_way = RELIEF
    assert neighbours.route(block) == [Ask(B, through=False), *plain]
    neighbours.met(B).under_way = RELIEF
    assert neighbours.route(block) == plain


def test_who_is_no_member_any_more_is_forgotten() -> None:
    neighbours, links = office(A, B)
    neighbours.forget(A)
    neighbours.lost(links[A], now=1.0)
    assert neighbours.shares().keys() == {ME, B}
    assert neighbours.get(A) is None
