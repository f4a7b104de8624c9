"""A past that begins at a checkpoint answers as the whole one does, for a fraction of its requests."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure can be repeated
from typing import Any

import pytest
from checkpoint_fixture import EVERY, CheckpointDaemon, Office
from committer_fixture import KEYS, Daemon
from disk_fixture import fill_disk, small_disk
from past_fixture import KEY, Access, seen
from user_fixture import do_something

from lucidnode.fs.checkpoints.newcomer import Newcomer
from lucidnode.fs.checkpoints.pieces import digest_of, pieces, plaintext_of
from lucidnode.fs.errors import NoSpace, NoSuchPast, OlderNeeded
from lucidnode.fs.format.block import seal
from lucidnode.fs.format.checkpoint import (
    CheckpointContents,
    CheckpointPart,
    CheckpointPiece,
    seal_checkpoint,
)
from lucidnode.fs.history.deletions import deleted_in, deletion_at
from lucidnode.fs.history.differences import differences
from lucidnode.fs.history.file_history import Event, events_of
from lucidnode.fs.history.past import Past
from lucidnode.fs.history.past_at_hand import PastAtHand, past_at_hand
from lucidnode.fs.history.past_places import Path as Names
from lucidnode.fs.history.past_places import Place
from lucidnode.fs.history.past_reader import read_on
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.journal import entry_hash

AHEAD = 20
"""Entries that are asked for before it is known that they are needed, and those at its ends."""

STEP = 5
ENTRIES = 47
NEWEST = 40
"""The newest checkpoint in all of these."""

ROOT_ROW = (1, 4, 511, 0, 0, 0, 2, 0, 0, 0, 0, b"", 0)


class Life(Office):
    """A project in which something was done, with checkpoints, and each state of it as it was seen."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.states: dict[Seq, dict[bytes, Any]] = {}
        self.paths: set[Names] = {()}

    async def live(self, seed: int, entries: int = ENTRIES, junk: int = 0) -> None:
        """Do something until there are *entries*, of which number *junk* is no entry of anybody's."""
        random = Random(seed)
        async with self.desk("a") as desk:
            self.states[Seq(0)] = seen(desk.node.replica.tree)
            while (head := desk.node.replica.pending.head().seq) < entries:
                if head + 1 == junk:
                    self.bucket.entries[junk] = self.bucket.entries[head]
                do_something(desk.node, random)
                await self.clock.until(lambda: not desk.node.replica.pending.has_work())
                await self.clock.pass_by(random.choice([1, 1, 100]))
                head = desk.node.replica.pending.head().seq
                self.states[head] = found = seen(desk.node.replica.tree)
                self.paths |= {tuple(path[1:].split(b"/")) for path in found}
                if head % EVERY == 0:
                    await self.all_checked(head)
            self.access = Access(desk)

    def reader(self) -> CheckpointDaemon:
        return CheckpointDaemon(self.bucket, Daemon(self.bucket, b"a".ljust(32, b".")))

    @contextlib.asynccontextmanager
    async def opened(self, daemon: CheckpointDaemon, step: int = STEP) -> AsyncIterator[PastAtHand]:
        async with past_at_hand(
            self.path / "home",
            daemon,  # type: ignore[arg-type]  # it commits nothing
            self.access,
            self.clock,
            lambda: contextlib.nullcontext(lambda _seq: None),
            step=step,
        ) as at_hand:
            await at_hand.open()
            yield at_hand

    @contextlib.asynccontextmanager
    async def whole(self) -> AsyncIterator[Past]:
        """Have the past from the first entry on, in another home."""
        with contextlib.closing(Past.open(self.path / "other", KEY, "a")) as past:
            await read_on(past, self.reader(), self.access, self.clock, lambda _seq: None)  # type: ignore[arg-type]
            yield past


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Life:
    life = Life(tmp_path_factory.mktemp("life"))
    asyncio.run(life.live(1))
    return life


@pytest.fixture
def life(lived: Life, tmp_path: Path) -> Life:
    """Return what was lived, for who reads it in a home of his own or changes the bucket."""
    life = copy.copy(lived)
    life.path = tmp_path
    life.bucket = copy.copy(lived.bucket)
    life.bucket.entries = dict(lived.bucket.entries)
    life.bucket.manifests = dict(lived.bucket.manifests)
    life.bucket.blocks = dict(lived.bucket.blocks)
    return life


def events(past: Past, path: Names) -> list[Event]:
    try:
        return events_of(past, path)
    except OlderNeeded:
        return []


async def test_the_end_is_read_from_the_newest_checkpoint(life: Life) -> None:
    daemon = life.reader()
    async with life.opened(daemon) as at_hand:
        assert at_hand.past.since == NEWEST
        assert seen(at_hand.past.now) == life.states[max(life.states)]
    entries = daemon.requests.count("entry")
    assert entries <= (max(life.states) - NEWEST) + AHEAD
    again = life.reader()
    async with life.opened(again) as at_hand:
        assert at_hand.past.since == NEWEST
    assert again.requests.count("entry") == 2, "the one behind the head, and the head"
    assert "block" not in again.requests


async def test_every_state_is_what_it_was_for_a_few_requests(life: Life) -> None:
    for seq, expected in list(life.states.items())[::9]:
        daemon = life.reader()
        async with life.opened(daemon) as at_hand:
            before = daemon.requests.count("entry")
            async with at_hand.state(seq) as tree:
                assert seen(tree) == expected, seq
            asked = daemon.requests.count("entry") - before
            assert at_hand.past.since
            assert asked <= EVERY + AHEAD, seq


async def test_what_is_told_is_what_the_whole_past_tells_of_the_same_time(life: Life) -> None:
    async with life.whole() as whole, life.opened(life.reader()) as at_hand:
        for since in (NEWEST, 31, 12, 3, 0):
            await at_hand.reach(Seq(since))
            past = at_hand.past
            assert past.since == since
            for path in life.paths:
                expected = [each for each in events(whole, path) if each.seq > since]
                assert events(past, path) == expected, (since, path)
            gone = [each for each in deleted_in(whole, ROOT) if each.facts.seq > since]
            with contextlib.suppress(OlderNeeded):
                assert deleted_in(past, ROOT) == gone
            last = past.head().seq
            assert differences(past, Seq(since), last) == differences(whole, Seq(since), last)


async def test_a_moment_is_the_entry_that_the_whole_past_finds(life: Life) -> None:
    async with life.whole() as whole, life.opened(life.reader()) as at_hand:
        for wall_ns in whole.log.times()[::17]:
            for aside in (-1, 0, 1):
                when = datetime.fromtimestamp(wall_ns / 1e9 + aside, UTC)
                told = await at_hand.point(when.isoformat(), when)
                limit = int(when.timestamp() * 1_000_000) * 1000
                assert told == sum(each <= limit for each in whole.log.times())


async def test_what_was_deleted_is_found_however_long_ago(life: Life) -> None:
    async with life.whole() as whole, life.opened(life.reader()) as at_hand:
        oldest = min(deleted_in(whole, ROOT), key=lambda each: each.facts.seq)
        assert oldest.facts.seq < NEWEST - STEP
        place = Place(ROOT, oldest.place.name)
        assert await at_hand.answered(lambda past: deletion_at(past, place)) == oldest
        with pytest.raises(NoSuchPast):
            await at_hand.answered(lambda past: deletion_at(past, Place(ROOT, b"never")))
        assert at_hand.past.since == 0


async def test_another_entry_than_others_went_on_from_is_not_taken(life: Life) -> None:
    async with life.opened(life.reader()) as at_hand:
        life.bucket.entries[30] = life.bucket.entries[29]
        with pytest.raises(Unavailable):
            await at_hand.reach(Seq(20))
        assert at_hand.past.since == 30


async def test_what_is_far_behind_begins_anew(life: Life) -> None:
    later = {seq: life.bucket.manifests.pop(seq) for seq in sorted(life.bucket.manifests)[-2:]}
    entries = {seq: life.bucket.entries.pop(seq) for seq in sorted(life.bucket.entries) if seq > 25}
    async with life.opened(life.reader()) as at_hand:
        assert (at_hand.past.since, at_hand.past.head().seq) == (20, 25)
    life.bucket.manifests |= later
    life.bucket.entries |= entries
    async with life.opened(life.reader()) as at_hand:
        assert at_hand.past.since == NEWEST


async def test_a_look_into_a_snapshot_reads_nothing_of_now(life: Life) -> None:
    daemon = life.reader()
    async with past_at_hand(
        life.path / "home",
        daemon,  # type: ignore[arg-type]  # it commits nothing
        life.access,
        life.clock,
        lambda: contextlib.nullcontext(lambda _seq: None),
        step=STEP,
    ) as at_hand:
        await at_hand.open_for(Seq(13))
        async with at_hand.copied(Seq(13)) as path:
            with contextlib.closing(Replica.open(path, life.access.keys().replica, "a")) as replica:
                assert seen(replica.tree) == life.states[Seq(13)]
        assert not at_hand.is_open
    assert daemon.requests.count("entry") <= EVERY + AHEAD


async def test_earlier_pasts_leave_nothing(life: Life) -> None:
    async with life.opened(life.reader()) as at_hand:
        async with at_hand.copied(Seq(13)) as replica:
            assert replica.exists()
            (directory,) = (life.path / "home" / "history").glob("earlier-*")
            assert replica.parent == directory
        assert not directory.exists()


async def test_the_whole_past_does_where_it_is_nearly_read(life: Life) -> None:
    with contextlib.closing(Past.open(life.path / "home", life.access.keys().replica, "a")) as past:
        await read_on(past, life.reader(), life.access, life.clock, lambda _seq: None, Seq(35))  # type: ignore[arg-type]
    async with life.opened(life.reader()) as at_hand:
        assert at_hand.past.since == 0


async def test_an_entry_that_counted_as_empty_ends_the_way_back_and_the_whole_past_tells(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("what lies in the place of journal entry 8 is none")
    life = Life(tmp_path)
    await life.live(2, 12, junk=8)
    async with life.whole() as whole, life.opened(life.reader(), step=1) as at_hand:
        assert at_hand.past.since == EVERY
        await at_hand.reach(Seq(8))
        assert at_hand.past.since == 8
        await at_hand.reach(Seq(7))
        assert at_hand.past.since == 0
        assert at_hand.past.head() == whole.head()
        for path in life.paths:
            assert events(at_hand.past, path) == events(whole, path)
        async with at_hand.state(Seq(5)) as tree:
            assert seen(tree) == life.states[Seq(5)]


async def test_one_that_was_killed_before_it_was_noted_where_it_begins_begins_anew(
    life: Life,
) -> None:
    past = Past.open(life.path / "home", life.access.keys().replica, "a", "recent")
    codec = life.codec(life.reader())
    loader = Newcomer(past.replica, life.reader(), codec, Alerts(life.clock), life.clock)
    assert await loader.load(halfway=False) == NEWEST
    past.close()
    async with life.opened(life.reader()) as at_hand:
        assert at_hand.past.since == NEWEST
        assert seen(at_hand.past.now) == life.states[max(life.states)]
        await at_hand.reach(Seq(35))
        with at_hand.past.at(Seq(35)) as tree:
            assert seen(tree) == life.states[Seq(35)]


async def test_a_full_disk_is_told_and_with_room_it_begins_as_ever(life: Life) -> None:
    full = True
    room = 0
    with small_disk(life.path / "home", "4m") as disk:
        while full:
            filler = fill_disk(disk)
            os.truncate(filler, filler.stat().st_size - room)
            room += 64 * 1024
            full = False
            try:
                async with life.opened(life.reader()) as at_hand:
                    assert seen(at_hand.past.now) == life.states[max(life.states)]
            except NoSpace:
                full = True
            filler.unlink()
            async with life.opened(life.reader()) as at_hand:
                assert at_hand.past.since == NEWEST
                assert seen(at_hand.past.now) == life.states[max(life.states)]
            Past.forget(disk / "history" / "recent")
    assert room > 5 * 64 * 1024, "it was full at more than one place"


def lie(life: Life, seq: int) -> None:
    """Have a member make the checkpoint at *seq* anew, with a tree in which there is nothing."""
    made: list[CheckpointPiece] = []
    for content in pieces([((0, 1), ROOT_ROW)], is_base=True):
        name, ciphertext = seal(KEYS, plaintext_of(content))
        life.bucket.blocks[name.id] = ciphertext
        digest = digest_of(content)
        made.append(CheckpointPiece(name.id, name.epoch, name.nonce, name.size, digest))
    daemon = life.reader()
    unsigned = seal_checkpoint(
        KEYS,
        Seq(seq),
        entry_hash(life.bucket.entries[seq]),
        daemon.daemon.device,
        CheckpointContents((CheckpointPart(0, Seq(seq), tuple(made)),)),
        bytes(32),
    )
    life.bucket.manifests[seq] = daemon.signed(unsigned)


async def test_a_false_checkpoint_that_what_follows_does_not_fit_is_no_base(
    life: Life, expected_warnings: list[str]
) -> None:
    expected_warnings.append("stands on another history")
    lie(life, NEWEST)
    async with life.whole() as whole, life.opened(life.reader()) as at_hand:
        assert at_hand.past.since == 0
        assert seen(at_hand.past.now) == life.states[max(life.states)]
        for path in life.paths:
            assert events(at_hand.past, path) == events(whole, path)


async def test_a_false_checkpoint_that_what_led_to_it_does_not_fit_is_no_base(life: Life) -> None:
    lie(life, NEWEST)
    for seq in [seq for seq in life.bucket.entries if seq > NEWEST]:
        del life.bucket.entries[seq]
    async with life.opened(life.reader()) as at_hand:
        assert at_hand.past.since == NEWEST
        async with at_hand.state(Seq(NEWEST - 2)) as tree:
            assert seen(tree) == life.states[Seq(NEWEST - 2)]
        assert at_hand.past.since == 0


async def test_a_false_checkpoint_is_no_base_of_an_earlier_state(
    life: Life, expected_warnings: list[str]
) -> None:
    expected_warnings.append("stands on another history")
    lie(life, 10)
    async with life.opened(life.reader()) as at_hand, at_hand.state(Seq(14)) as tree:
        assert seen(tree) == life.states[Seq(14)]
