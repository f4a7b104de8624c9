"""Two workstations, each with a store that can turn hostile: what people and programs see of it."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Iterator

import pytest
from cli_fixture import until
from seats_fixture import Seat, two_seats
from seaweed_fixture import Seaweed, running_seaweed

from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.objects import ObjectBucket
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.client.clock import SystemClock

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(180)]

MENDED_S = 30.0


@pytest.fixture(scope="module")
def seaweed() -> Iterator[Seaweed]:
    with running_seaweed() as store:
        yield store


@pytest.fixture(scope="module")
def seats(
    seaweed: Seaweed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Seat, Seat]]:
    with two_seats(tmp_path_factory.mktemp("hostile"), seaweed, "hostile") as both:
        yield both


def committed_slots(seaweed: Seaweed, project: str) -> list[int]:
    """Return the numbers of the journal entries that the bucket holds."""
    bucket = ObjectBucket(
        seaweed.address("studio", "hostile"),
        credential_source(seaweed.owner, Network()),
        Network(),
        SystemClock(),
    )
    listed = asyncio.run(bucket.list(f"p/{project}/journal"))
    return [int(each.key.rpartition("/")[2]) for each in listed]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("portal", "login"),
        ("expired", "expired"),
        ("redirect-loop", "redirects"),
        ("hang", "does not answer"),
    ],
)
def test_work_goes_on_people_are_told_and_all_is_well_when_it_is_over(
    seats: tuple[Seat, Seat], seaweed: Seaweed, rule: str, words: str
) -> None:
    here, there = seats
    name = f"written-during-{rule}"
    with here.store.rules(rule):
        begun = time.monotonic()
        requests = here.store.requests()
        (here.drive / name).write_text(rule)
        assert (here.drive / name).read_text() == rule
        # It is not waited for: the store is not well again before the end of this block.
        until(lambda: any(words in text for text in here.alerts()))
        assert here.state(name) != "cloud"
        rate = (here.store.requests() - requests) / (time.monotonic() - begun)
        assert rate < 40, "it is asked again without a rate"
        assert there.alerts() == []
    until(lambda: here.state(name) == "cloud", MENDED_S)
    # The name may come first, marked as on its way: it was held up for longer than a moment.
    until((there.drive / name).exists, MENDED_S)
    until(lambda: (there.drive / name).read_text() == rule, MENDED_S)
    until(lambda: here.alerts() == [], MENDED_S)
    slots = committed_slots(seaweed, here.status()["mounts"][0]["project"])
    assert slots == list(range(1, len(slots) + 1)), "a slot was left out"


def test_a_store_that_hands_out_everything_but_listings_takes_no_commit_and_people_are_told_why(
    seats: tuple[Seat, Seat], seaweed: Seaweed
) -> None:
    here, there = seats
    (there.drive / "read-meanwhile").write_bytes(b"theirs")
    until((here.drive / "read-meanwhile").exists, MENDED_S)
    project = here.status()["mounts"][0]["project"]
    until(lambda: there.state("read-meanwhile") == "cloud", MENDED_S)
    unlisted = here.drive / "unlisted"

    def is_told() -> bool:
        # A listing of some seconds ago is good enough: what is saved until then is committed.
        unlisted.write_text(str(time.monotonic()))
        return any("the journal cannot be listed" in text for text in here.alerts())

    with here.store.rules("denied list"):
        until(is_told)
        slots = committed_slots(seaweed, project)
        waiting = here.station.run("wait", unlisted, "--timeout", "2")
        assert waiting.code == 15
        assert "the journal cannot be listed, because the bucket 'studio'" in waiting.err
        until(lambda: any("listings alone" in text for text in here.alerts()))
        assert (here.drive / "read-meanwhile").read_bytes() == b"theirs"
        assert committed_slots(seaweed, project) == slots
    here.station.ok("wait", unlisted, "--timeout", str(MENDED_S))
    until(lambda: here.alerts() == [], MENDED_S)


def test_a_block_in_an_archive_is_refused_at_once_and_read_when_it_is_back(
    seats: tuple[Seat, Seat],
) -> None:
    here, there = seats
    (there.drive / "old").write_bytes(os.urandom(300_000))
    until(lambda: there.state("old") == "cloud", MENDED_S)
    until((here.drive / "old").exists, MENDED_S)
    with here.store.rules("archived get block/*"):
        begun = time.monotonic()
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            (here.drive / "old").read_bytes()
        assert time.monotonic() - begun < 40, "it was asked again and again, for a minute"

    def is_back() -> bool:
        try:
            return len((here.drive / "old").read_bytes()) == 300_000
        except OSError:  # an answer of the archive was still on its way
            return False

    until(is_back)
