"""Interrupts, whichever comes first: they, or the request that they are about."""

from __future__ import annotations

from lucidnode.fs.kernel.interrupts import MAX_REMEMBERED, Interrupts


async def test_a_request_is_given_up_when_its_interrupt_comes() -> None:
    interrupts = Interrupts()
    with interrupts.of(4) as given_up:
        interrupts.came(6)
        assert not given_up.done()
        interrupts.came(4)
        interrupts.came(4)
        assert given_up.done()


async def test_an_interrupt_that_comes_first_is_remembered_once() -> None:
    interrupts = Interrupts()
    interrupts.came(4)
    with interrupts.of(4) as given_up:
        assert given_up.done()
    with interrupts.of(4) as given_up:
        assert not given_up.done()


async def test_of_those_that_nobody_asks_for_the_oldest_are_forgotten() -> None:
    interrupts = Interrupts()
    for unique in range(MAX_REMEMBERED + 1):
        interrupts.came(unique)
    for unique, early in ((0, False), (1, True)):
        with interrupts.of(unique) as given_up:
            assert given_up.done() == early
