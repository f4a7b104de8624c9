"""Laws of committing through the daemon: blocks first, once, and never forgotten."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from committer_fixture import VirtualClock
from journal_fixture import PROJECT, SEED, NoCache, Node, Shelf, entry, unsigned

from lucidnode.fs.format import sodium
from lucidnode.node.bucket.bucket import Listed
from lucidnode.node.bucket.keys import block_key, journal_key
from lucidnode.node.cache.mark import CacheMark
from lucidnode.node.cache.staging import Staging
from lucidnode.node.cache.verified import block_id
from lucidnode.node.client import wire
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import NotThere, Refused, Unavailable
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.journal import empty_link, entry_hash, signed, signing_message
from lucidnode.node.client.staging import stage
from lucidnode.node.journal.log_slots import FRESH_S


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with Staging.open(CacheMark(tmp_path, None), NoCache(), SystemClock()) as staging:
        yield Node(staging, Shelf())


async def test_an_entry_exists_only_after_its_blocks(node: Node) -> None:
    body = secrets.token_bytes(5000)
    block = block_id(body)
    stage(node.staging.directory, PROJECT, block, body)
    async with asyncio.TaskGroup() as group:
        work = group.create_task(node.uploads.run())
        reply = await node.journal.commit(
            PROJECT, Seq(1), wire.CommitRequest(unsigned(1), [bytes(block)])
        )
        work.cancel()
    assert reply.outcome == "committed"
    assert node.bucket.blocks_at_create == [{block_key(PROJECT, block)}]
    assert await node.bucket.get(journal_key(PROJECT, Seq(1))) == reply.body


async def test_the_second_of_two_writers_gets_the_winner_s_entry(node: Node) -> None:
    first = await node.journal.commit(PROJECT, Seq(1), wire.CommitRequest(unsigned(1), []))
    second = await node.journal.commit(PROJECT, Seq(1), wire.CommitRequest(unsigned(1), []))
    assert (first.outcome, second.outcome) == ("committed", "lost")
    assert second.body == first.body
    assert node.announced == [1]


async def test_others_are_told_of_an_entry_while_it_is_seen_once_more(
    node: Node,
) -> None:
    """What they do then costs them nothing if it does not stand: they decide by what they see themselves."""
    told: list[list[int]] = []
    node.bucket.on_size = lambda: told.append(list(node.announced))
    reply = await node.journal.commit(PROJECT, Seq(1), wire.CommitRequest(unsigned(1), []))
    assert reply.outcome == "committed"
    assert told[-1] == [1]
    assert node.announced == [1]


async def test_what_this_daemon_has_signed_is_told_apart_from_what_a_copy_of_it_has(
    node: Node,
) -> None:
    first = await node.journal.commit(PROJECT, Seq(1), wire.CommitRequest(unsigned(1), []))
    assert node.journal.has_signed(entry_hash(first.body))
    lost = await node.journal.commit(PROJECT, Seq(1), wire.CommitRequest(unsigned(1), []))
    assert lost.outcome == "lost"
    assert lost.signed_here
    copied = entry(2, entry_hash(first.body))
    await node.bucket.create(journal_key(PROJECT, Seq(2)), copied)
    assert not node.journal.has_signed(entry_hash(copied))
    request = wire.CommitRequest(unsigned(2, previous=entry_hash(first.body)), [])
    lost = await node.journal.commit(PROJECT, Seq(2), request)
    assert (lost.outcome, lost.body, lost.signed_here) == ("lost", copied, False)
    assert node.elsewhere == [True]
    await node.journal.entry(PROJECT, Seq(1))
    assert node.elsewhere == [True], "what was signed here is nobody else's"
    await node.journal.entry(PROJECT, Seq(2))
    assert node.elsewhere == [True, True]


async def test_while_it_is_forbidden_nothing_is_committed_whoever_asks(node: Node) -> None:
    node.forbidden = "a copy"
    request = wire.CommitRequest(unsigned(1), [])
    reply = await node.journal.commit(PROJECT, Seq(1), request)
    assert (reply.outcome, reply.why) == ("unknown", "a copy")
    assert node.bucket.objects == {}
    node.forbidden = ""
    assert (await node.journal.commit(PROJECT, Seq(1), request)).outcome == "committed"


async def test_asking_again_with_the_same_request_is_the_same_commit(node: Node) -> None:
    request = wire.CommitRequest(unsigned(1), [])
    first = await node.journal.commit(PROJECT, Seq(1), request)
    assert await node.journal.commit(PROJECT, Seq(1), request) == first


async def test_what_a_commit_asks_of_the_bucket_is_three_requests_and_four_after_a_pause(
    tmp_path: Path,
) -> None:
    """Each has a use of its own (docs/design/0001-metadata.md); one more would be noticed here."""

    class Counting(Shelf):
        def __init__(self) -> None:
            super().__init__()
            self.asked: list[tuple[str, str]] = []

        async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
            self.asked.append(("GET", key))
            return await super().get(key, span)

        async def size(self, key: str) -> int | None:
            self.asked.append(("HEAD", key))
            return await super().size(key)

        async def create(self, key: str, body: bytes) -> None:
            self.asked.append(("PUT", key))
            await super().create(key, body)

    async with Staging.open(CacheMark(tmp_path, None), NoCache(), SystemClock()) as staging:
        node = Node(staging, bucket := Counting(), clock := VirtualClock())
        keys = {seq: journal_key(PROJECT, Seq(seq)) for seq in (1, 2, 3)}
        costs = {}
        previous = bytes(32)
        for seq, pause_s in ((1, 0.0), (2, 0.0), (3, FRESH_S)):
            clock.now += pause_s
            bucket.asked.clear()
            made = unsigned(seq, previous=previous)
            reply = await node.journal.commit(PROJECT, Seq(seq), wire.CommitRequest(made, []))
            assert reply.outcome == "committed"
            costs[seq] = sorted(bucket.asked)
            previous = entry_hash(reply.body)
    assert costs == {
        1: [("HEAD", keys[1]), ("PUT", keys[1])],
        2: [("GET", keys[1]), ("HEAD", keys[2]), ("PUT", keys[2])],
        3: [("GET", keys[2]), ("GET", keys[2]), ("HEAD", keys[3]), ("PUT", keys[3])],
    }


async def test_an_unsettled_commit_is_finished_by_the_next_daemon(
    node: Node, tmp_path: Path
) -> None:
    node.bucket.is_away = True
    request = wire.CommitRequest(unsigned(1), [])
    reply = await node.journal.commit(PROJECT, Seq(1), request)
    assert (reply.outcome, reply.why) == ("unknown", "away")
    node.bucket.is_away = False
    async with Staging.open(CacheMark(tmp_path, None), NoCache(), SystemClock()) as staging:
        successor = Node(staging, node.bucket)
        await successor.journal.resume()
        assert await node.bucket.get(journal_key(PROJECT, Seq(1))) == signed(
            request.unsigned, sodium.sign(SEED, signing_message(request.unsigned))
        )
        assert await staging.prepared() == {}


async def test_an_entry_for_another_place_is_refused(node: Node) -> None:
    for other in (unsigned(2), unsigned(1, ProjectId("ef" * 16))):
        with pytest.raises(Refused):
            await node.journal.commit(PROJECT, Seq(1), wire.CommitRequest(other, []))


async def written(node: Node, *numbers: int) -> None:
    """Have others commit these entries."""
    for seq in numbers:
        await node.bucket.create(journal_key(PROJECT, Seq(seq)), entry(seq))


async def test_what_was_seen_last_can_be_told(node: Node) -> None:
    await written(node, 1, 2, 3)
    for seq in (1, 2, 3):
        await node.journal.entry(PROJECT, Seq(seq))
    assert [seq for seq, _ in node.journal.newest(2)[PROJECT]] == [2, 3]


async def test_an_alert_for_a_lost_entry_ends_once_the_bucket_shows_it_again(
    node: Node, expected_warnings: list[str]
) -> None:
    """Whether or not anybody asks: a store that denied what it has may be well by now."""
    expected_warnings.append("no longer has journal entry 1")
    await written(node, 1)
    await node.journal.entry(PROJECT, Seq(1))
    original = node.bucket.objects.pop(journal_key(PROJECT, Seq(1)))
    with pytest.raises(NotThere):
        await node.journal.proven(PROJECT, Seq(1))
    looking = asyncio.ensure_future(node.journal.look_for_lost())
    await asyncio.sleep(0.1)
    assert len(node.alerts.current()) == 1
    node.bucket.objects[journal_key(PROJECT, Seq(1))] = original
    async with asyncio.timeout(10):
        while node.alerts.current():
            await asyncio.sleep(0.01)
    looking.cancel()


async def test_a_gap_that_others_have_built_on_is_an_alert(
    node: Node, expected_warnings: list[str]
) -> None:
    expected_warnings.append("no longer has journal entry 2")
    await written(node, 1, 2, 3)
    for seq in (1, 2, 3):
        await node.journal.entry(PROJECT, Seq(seq))
    del node.bucket.objects[journal_key(PROJECT, Seq(2))]
    looking = asyncio.ensure_future(node.journal.look_for_lost())
    async with asyncio.timeout(20):
        while not node.alerts.current():
            await asyncio.sleep(0.01)
    looking.cancel()


async def test_what_was_seen_first_is_told_until_the_workstation_has_started_again(
    node: Node, expected_warnings: list[str]
) -> None:
    expected_warnings.append("no longer has journal entry 2")
    await written(node, 1, 2, 3)
    for seq in (1, 2, 3):
        await node.journal.entry(PROJECT, Seq(seq))
    told = node.journal.newest(8)
    original = node.bucket.objects.pop(journal_key(PROJECT, Seq(2)))
    with pytest.raises(NotThere):
        await node.journal.proven(PROJECT, Seq(2))
    await written(node, 2)
    await node.journal.proven(PROJECT, Seq(2))
    [alert] = node.alerts.current()
    assert "lucidnode repair" in alert.remedy
    assert node.journal.newest(8) == told
    node.bucket.objects[journal_key(PROJECT, Seq(2))] = original
    await node.journal.entry(PROJECT, Seq(2))
    assert node.alerts.current() == []
    await node.journal.forget(PROJECT)
    assert node.journal.newest(8) == {}


@pytest.mark.parametrize("seen", [(1, 2, 3), (1, 3)])
async def test_a_lost_history_is_given_up_once_our_mount_has_gone_on_without_it(
    node: Node, expected_warnings: list[str], seen: tuple[int, ...]
) -> None:
    """The daemon had seen it by a peer's word; the mount, which commits, had not."""
    expected_warnings += ["no longer has journal entry", "goes on without the lost journal entry"]
    await written(node, 1, 2, 3)
    for seq in seen:
        await node.journal.entry(PROJECT, Seq(seq))
    before = entry_hash(node.bucket.objects[journal_key(PROJECT, Seq(1))])
    for seq in (2, 3):
        del node.bucket.objects[journal_key(PROJECT, Seq(seq))]
    with pytest.raises(NotThere):
        await node.journal.proven(PROJECT, Seq(seen[1]))
    request = wire.CommitRequest(unsigned(2, previous=before), [])
    reply = await node.journal.commit(PROJECT, Seq(2), request)
    assert reply.outcome == "committed"
    assert node.alerts.current() == []
    assert node.journal.newest(8) == {PROJECT: [(Seq(1), before), (Seq(2), entry_hash(reply.body))]}
    with pytest.raises(NotThere):  # a peer that has the lost one makes us look
        await node.journal.proven(PROJECT, Seq(3))
    assert node.alerts.current() == [], "nothing would ever end it"
    assert await node.journal.kept(PROJECT, Seq(2)) == reply.body
    with pytest.raises(NotThere):
        await node.journal.kept(PROJECT, Seq(3))


async def test_only_what_a_writer_signed_or_what_is_proven_is_remembered(node: Node) -> None:
    await written(node, 1)
    key = journal_key(PROJECT, Seq(1))
    sound = node.bucket.objects[key]
    node.bucket.objects[key] = sound[:200] + bytes([sound[200] ^ 1]) + sound[201:]
    await node.journal.entry(PROJECT, Seq(1))
    assert node.journal.newest(8) == {}
    node.bucket.objects[key] = sound
    await node.journal.proven(PROJECT, Seq(1))
    assert node.journal.newest(8) == {PROJECT: [(Seq(1), entry_hash(sound))]}


async def test_no_entry_is_created_on_top_of_one_that_is_not_there(
    node: Node, expected_warnings: list[str]
) -> None:
    expected_warnings.append("no longer has journal entry 1")
    await written(node, 1)
    request = wire.CommitRequest(unsigned(2, previous=b"?" * 32), [])
    assert (await node.journal.commit(PROJECT, Seq(2), request)).outcome == "unchained"
    assert journal_key(PROJECT, Seq(2)) not in node.bucket.objects
    [alert] = node.alerts.current()
    assert "lucidnode repair" in alert.remedy


@pytest.mark.parametrize("link", [lambda h: h, empty_link])
async def test_an_entry_is_created_on_top_of_one_that_was_applied_or_counted_as_empty(
    node: Node, link: Callable[[bytes], bytes]
) -> None:
    first = await node.journal.commit(PROJECT, Seq(1), wire.CommitRequest(unsigned(1), []))
    request = wire.CommitRequest(unsigned(2, previous=link(entry_hash(first.body))), [])
    assert (await node.journal.commit(PROJECT, Seq(2), request)).outcome == "committed"


async def test_what_the_bucket_lost_is_put_back_as_it_was(node: Node, tmp_path: Path) -> None:
    first = await node.journal.commit(PROJECT, Seq(1), wire.CommitRequest(unsigned(1), []))
    after = unsigned(2, previous=entry_hash(first.body))
    second = await node.journal.commit(PROJECT, Seq(2), wire.CommitRequest(after, []))
    before = dict(node.bucket.objects)
    node.bucket.objects.clear()
    async with Staging.open(CacheMark(tmp_path, None), NoCache(), SystemClock()) as staging:
        successor = Node(staging, node.bucket)
        await successor.journal.resume()
        assert successor.journal.newest(8) == node.journal.newest(8)
        assert (await successor.journal.put_back(PROJECT, Seq(2))).outcome == "unchained"
        for reply, seq in ((first, 1), (second, 2)):
            assert await successor.journal.put_back(PROJECT, Seq(seq)) == reply
    assert node.bucket.objects == before


async def test_nothing_is_put_back_over_what_others_have_committed_since(node: Node) -> None:
    await node.journal.commit(PROJECT, Seq(1), wire.CommitRequest(unsigned(1), []))
    node.bucket.objects.clear()
    await written(node, 1)
    theirs = node.bucket.objects[journal_key(PROJECT, Seq(1))]
    assert await node.journal.put_back(PROJECT, Seq(1)) == wire.CommitReply("lost", theirs)
    with pytest.raises(NotThere):
        await node.journal.put_back(PROJECT, Seq(2))


@pytest.mark.parametrize(
    ("spoiled", "warning"),
    [
        (lambda body: b"not an entry", "counts as empty"),
        (lambda body: body[:200] + b"!" + body[201:], "answers in its place"),
    ],
    ids=["replaced", "damaged"],
)
async def test_an_entry_that_was_spoiled_after_others_built_on_it_is_an_alert(
    node: Node, spoiled: Callable[[bytes], bytes], warning: str, expected_warnings: list[str]
) -> None:
    """A listing does not tell, and nobody who has an entry needs it from the bucket again."""
    expected_warnings += ["no longer has journal entry 2", warning]
    await written(node, 1, 2, 3)
    for seq in (1, 2, 3):
        await node.journal.entry(PROJECT, Seq(seq))
    key = journal_key(PROJECT, Seq(2))
    right = node.bucket.objects[key]
    node.bucket.objects[key] = spoiled(right)
    looking = asyncio.ensure_future(node.journal.look_for_lost())
    async with asyncio.timeout(60):
        while not any(alert.topic.startswith("history") for alert in node.alerts.current()):
            await asyncio.sleep(0.01)
        node.bucket.objects[key] = right
        while node.alerts.current():
            await asyncio.sleep(0.01)
    looking.cancel()


async def test_what_is_no_entry_is_looked_at_again_however_old_it_is(
    node: Node, expected_warnings: list[str]
) -> None:
    expected_warnings.append("counts as empty")
    await written(node, *range(1, 71))
    right = dict(node.bucket.objects)
    for seq in (2, 3, 5):
        node.bucket.objects[journal_key(PROJECT, Seq(seq))] = b"not an entry"
    for seq in range(1, 71):
        await node.journal.entry(PROJECT, Seq(seq))
    looking = asyncio.ensure_future(node.journal.look_for_lost())
    node.bucket.objects = right
    async with asyncio.timeout(60):
        while node.alerts.is_on(f"journal:{PROJECT}:foreign"):
            await asyncio.sleep(0.01)
    looking.cancel()


@pytest.mark.parametrize("how", ["gone", "replaced", "of the same size"])
async def test_an_older_entry_that_is_lost_is_an_alert_until_it_is_back(
    tmp_path: Path, how: str, expected_warnings: list[str]
) -> None:
    """Before somebody joins and needs it, and perhaps no workstation has it any more."""
    expected_warnings += ["no longer has journal entry 2 of", "no longer has journal entry 3 of"]
    if how != "gone":
        expected_warnings.append("counts as empty")
    if how == "of the same size":
        expected_warnings.append("answers in its place")
    clock = VirtualClock()
    async with Staging.open(CacheMark(tmp_path, None), NoCache(), SystemClock()) as staging:
        node = Node(staging, Shelf(), clock)
        await written(node, *range(1, 71))
        for seq in range(1, 71):
            await node.journal.entry(PROJECT, Seq(seq))
        right = dict(node.bucket.objects)
        for seq in (2, 3):
            key = journal_key(PROJECT, Seq(seq))
            if how == "gone":
                del node.bucket.objects[key]
            else:
                size = len(right[key]) if how == "of the same size" else 12
                node.bucket.objects[key] = bytes([seq]) * size
        looking = asyncio.ensure_future(node.journal.look_for_lost())
        await clock.until(lambda: node.journal.lost(PROJECT) == [2, 3], 3600)
        node.bucket.objects = right
        await clock.until(lambda: not node.alerts.current(), 600)
        looking.cancel()


async def test_older_entries_that_are_well_cost_a_listing_and_an_entry_in_two_minutes(
    tmp_path: Path,
) -> None:
    class Counting(Shelf):
        def __init__(self) -> None:
            super().__init__()
            self.asked = Counter[str]()

        async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
            self.asked["GET"] += 1
            return await super().get(key, span)

        async def list(
            self, prefix: str, after: str | None = None, limit: int = 1000
        ) -> list[Listed]:
            self.asked["LIST"] += 1
            return await super().list(prefix, after, limit)

    bucket = Counting()
    async with Staging.open(CacheMark(tmp_path, None), NoCache(), SystemClock()) as staging:
        node = Node(staging, bucket)
        await written(node, *range(1, 71))
        for newest, spent in ((64, {}), (70, {"GET": 30, "LIST": 30})):
            for seq in range(1, newest + 1):
                await node.journal.entry(PROJECT, Seq(seq))
            bucket.asked.clear()
            for _ in range(120):  # the rounds of an hour
                await node.journal._look_out._look_at_older(PROJECT)
            assert bucket.asked == spent


async def committed(node: Node, *numbers: int) -> list[bytes]:
    """Commit entries that follow one another; return them."""
    previous = b"\0" * 32
    bodies = []
    for seq in numbers:
        request = wire.CommitRequest(unsigned(seq, previous=previous), [])
        reply = await node.journal.commit(PROJECT, Seq(seq), request)
        assert reply.outcome == "committed"
        bodies.append(reply.body)
        previous = entry_hash(reply.body)
    return bodies


async def test_what_was_spoiled_is_put_back_over_what_lies_there(
    node: Node, expected_warnings: list[str]
) -> None:
    expected_warnings.append("counts as empty")
    bodies = await committed(node, 1, 2, 3)
    before = dict(node.bucket.objects)
    node.bucket.objects[journal_key(PROJECT, Seq(2))] = b"not an entry"
    assert (await node.journal.entry(PROJECT, Seq(2))).body is None
    reply = await node.journal.put_back(PROJECT, Seq(2))
    assert reply == wire.CommitReply("committed", bodies[1])
    assert node.bucket.objects == before
    assert (await node.journal.entry(PROJECT, Seq(2))).body == bodies[1]


async def test_what_others_counted_as_empty_and_went_on_from_is_not_put_back(
    node: Node, expected_warnings: list[str]
) -> None:
    expected_warnings.append("counts as empty")
    await committed(node, 1, 2, 3)
    spoiled = [b"not an entry", b"nor this"]
    for seq, body in zip((2, 3), spoiled, strict=True):
        node.bucket.objects[journal_key(PROJECT, Seq(seq))] = body
    after = unsigned(4, previous=empty_link(entry_hash(spoiled[1])))
    body = signed(after, sodium.sign(SEED, signing_message(after)))
    await node.bucket.create(journal_key(PROJECT, Seq(4)), body)
    assert (await node.journal.put_back(PROJECT, Seq(2))).outcome == "lost"
    assert node.bucket.objects[journal_key(PROJECT, Seq(2))] == spoiled[0]


async def test_an_entry_of_the_studio_is_never_written_over(node: Node) -> None:
    await committed(node, 1)
    node.bucket.objects.clear()
    await written(node, 1)
    theirs = dict(node.bucket.objects)
    assert (await node.journal.put_back(PROJECT, Seq(1))).outcome == "lost"
    assert node.bucket.objects == theirs


async def test_a_gap_that_was_never_read_here_is_not_taken_and_is_an_alert(
    node: Node, expected_warnings: list[str]
) -> None:
    """A workstation that was away while the bucket lost an entry would commit in its place."""
    expected_warnings.append("has no journal entry 2")
    first, second, _ = await committed(node, 1, 2, 3)
    await node.journal.forget(PROJECT)
    await node.journal.entry(PROJECT, Seq(1))
    key = journal_key(PROJECT, Seq(2))
    del node.bucket.objects[key]
    request = wire.CommitRequest(unsigned(2, previous=entry_hash(first)), [])
    assert (await node.journal.commit(PROJECT, Seq(2), request)).outcome == "unknown"
    assert key not in node.bucket.objects
    [alert] = node.alerts.current()
    assert "--put-back" in alert.remedy
    node.bucket.objects[key] = second
    await node.journal.entry(PROJECT, Seq(2))
    assert node.alerts.current() == []


async def test_no_slot_is_taken_while_it_cannot_be_seen_that_nobody_has_built_on_it(
    tmp_path: Path,
) -> None:
    class Unlisted(Shelf):
        is_listed = False

        async def list(
            self, prefix: str, after: str | None = None, limit: int = 1000
        ) -> list[Listed]:
            if not self.is_listed:
                raise Unavailable("no listing now")
            return await super().list(prefix, after, limit)

    async with Staging.open(CacheMark(tmp_path, None), NoCache(), SystemClock()) as staging:
        node = Node(staging, bucket := Unlisted(), VirtualClock())
        request = wire.CommitRequest(unsigned(1), [])
        reply = await node.journal.commit(PROJECT, Seq(1), request)
        assert (reply.outcome, reply.why) == (
            "unknown",
            "the journal cannot be listed, because no listing now",
        )
        assert bucket.objects == {}
        bucket.is_listed = True
        assert (await node.journal.commit(PROJECT, Seq(1), request)).outcome == "committed"


async def test_a_gap_that_opened_during_long_uploads_is_not_taken(
    node: Node, expected_warnings: list[str]
) -> None:
    expected_warnings.append("has no journal entry 1")
    body = secrets.token_bytes(5000)
    block = block_id(body)
    looked = asyncio.Event()
    node.bucket.on_list = looked.set
    request = wire.CommitRequest(unsigned(1), [bytes(block)])
    stage(node.staging.directory, PROJECT, block, body)
    async with asyncio.TaskGroup() as group:
        committing = group.create_task(node.journal.commit(PROJECT, Seq(1), request))
        await looked.wait()
        await written(node, 2)
        await node.clock.sleep(11)
        work = group.create_task(node.uploads.run())
        assert (await committing).outcome == "unknown"
        work.cancel()
    assert journal_key(PROJECT, Seq(1)) not in node.bucket.objects


async def test_peers_are_told_of_what_counts_as_empty_here_besides_the_newest(
    node: Node, expected_warnings: list[str]
) -> None:
    """So who has seen an entry there hears that a newcomer did not find it."""
    expected_warnings.append("counts as empty")
    await written(node, *range(1, 21))
    node.bucket.objects[journal_key(PROJECT, Seq(3))] = b"not an entry"
    for seq in range(1, 21):
        await node.journal.entry(PROJECT, Seq(seq))
    told = node.journal.newest(8)[PROJECT]
    assert [seq for seq, _ in told] == [3, *range(14, 21)]
    assert told[0][1] == entry_hash(b"not an entry")
