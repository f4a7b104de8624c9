"""A collection of a real past: what it lists, when that is final, what it deletes, what it tells."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
from committer_fixture import KEYS, PROJECT, Daemon
from past_fixture import Access, Chronicle

from lucidnode.fs.collection.budget import Budget
from lucidnode.fs.collection.collection import Collection, Round
from lucidnode.fs.collection.past_ledger import PastLedger
from lucidnode.fs.errors import CannotCollect, NoSuchPoint
from lucidnode.fs.format import sodium
from lucidnode.fs.format.checkpoint import (
    CheckpointContents,
    CheckpointPart,
    CheckpointPiece,
    seal_checkpoint,
)
from lucidnode.fs.format.project_facts import RETENTION, Retention, encoded_fact
from lucidnode.fs.history.horizon import check_whole, oldest_whole
from lucidnode.fs.history.past import Past
from lucidnode.fs.replica.collected_blocks import _Begins
from lucidnode.fs.replica.intents import Fact
from lucidnode.fs.replica.named_blocks import touched_blocks
from lucidnode.node.client.checkpoint import checkpoint_message
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.wire import BlockPage, BlocksDeleted

DAY_S = 86_400


class _Daemon(Daemon):
    """One with checkpoints, and the *manifests* of some of them."""

    made: list[Seq]
    manifests: dict[Seq, bytes]

    async def seqs(self, project: ProjectId) -> list[Seq]:
        return self.made

    async def manifest(self, project: ProjectId, seq: Seq) -> bytes | None:
        return self.manifests.get(seq)

    async def delete(self, project: ProjectId, seqs: Sequence[Seq]) -> list[Seq]:
        for seq in seqs:
            self.made.remove(seq)
        return list(seqs)


class Store:
    """The bucket's blocks; *refuses* some for ever, and its clock may differ."""

    def __init__(self) -> None:
        self.blocks: set[BlockId] = set()
        self.refuses: set[BlockId] = set()
        self.skew_s: float | None = None
        self.requests = 0

    async def page(self, project: ProjectId, after: BlockId | None) -> BlockPage:
        self.requests += 1
        ids = sorted(block for block in self.blocks if after is None or block > after)[:2]
        return BlockPage(list(map(bytes, ids)), [4168] * len(ids), len(ids) < 2, self.skew_s)

    async def delete(self, project: ProjectId, blocks: Sequence[BlockId]) -> BlocksDeleted:
        self.requests += len(blocks)
        gone = [block for block in blocks if block not in self.refuses]
        self.blocks -= set(gone)
        return BlocksDeleted(
            list(map(bytes, gone)),
            [bytes(block) for block in blocks if block in self.refuses],
            "it is locked" if self.refuses else "",
        )


class Scene:
    """A workstation that saves and deletes, and a collection of what it does."""

    def __init__(self, path: Path) -> None:
        self.chronicle = Chronicle(path)
        self.node = self.chronicle.node
        self.store = Store()
        self.points: list[Seq] = []
        self.checkpoints: list[Seq] = []
        self.manifests: dict[Seq, bytes] = {}

    async def saved(self, name: bytes, data: bytes) -> BlockId:
        """Return the block of a new file that is committed."""
        self.node.write(self.node.create(name), data)
        await self.chronicle.commit()
        block = self.node.blocks.seal(data).id
        self.store.blocks.add(block)
        return block

    async def deleted(self, name: bytes) -> None:
        self.node.unlink(name)
        await self.chronicle.commit()

    def pass_days(self, days: float) -> None:
        self.chronicle.clock.now += days * DAY_S

    async def round(
        self,
        *,
        dry: bool = False,
        after: BlockId | None = None,
        most: int | None = None,
        nobody_asked: bool = False,
    ) -> Round:
        told: list[Round] = []
        with self.chronicle.opened() as past:

            async def work() -> None:
                collection = Collection(
                    PROJECT,
                    self.ledger(past),
                    self.store,
                    self.chronicle.clock,
                    lambda _words: None,
                    dry=dry,
                    after=after,
                    budget=Budget(most),
                    nobody_asked=nobody_asked,
                )
                told.append(await collection.run())

            await self.chronicle.while_time_passes(work())
        await self.chronicle.commit()
        return told[0]

    def ledger(self, past: Past) -> PastLedger:
        daemon = _Daemon(self.chronicle.bucket, self.chronicle.desk.daemon.seed)
        daemon.made, daemon.manifests = self.checkpoints, self.manifests
        daemon.has_signed = self.chronicle.desk.daemon.has_signed
        return PastLedger(
            past,
            daemon,
            daemon,
            self.chronicle.access,
            lambda _tree: tuple(self.points),
            self.chronicle.clock,
            lambda _seq: None,
        )


async def test_what_is_deleted_goes_once_the_past_and_a_day_are_over_and_nothing_else_does(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    live, gone = await scene.saved(b"live", b"live"), await scene.saved(b"gone", b"gone")
    before = scene.chronicle.head
    orphan = scene.node.blocks.seal(b"uploaded, and never committed").id
    scene.store.blocks.add(orphan)
    await scene.deleted(b"gone")
    dry = await scene.round(dry=True)
    assert (dry.condemned.blocks, dry.stored.blocks, dry.used.blocks) == (2, 3, 1)
    assert not scene.node.replica.collected.is_listed(gone), "nothing was written"
    assert (await scene.round()).condemned.blocks == 2
    assert scene.node.replica.collected.is_listed(gone)
    scene.pass_days(32.9)
    standing = await scene.round()
    assert (standing.standing.blocks, standing.final.blocks, standing.condemned.blocks) == (2, 0, 0)
    scene.pass_days(0.2)
    assert (await scene.round(dry=True)).final.blocks == 2
    assert (await scene.round()).final.blocks == 2
    assert scene.node.replica.collected.is_final(gone)
    scene.pass_days(0.9)
    waiting = await scene.round()
    assert (waiting.waiting.blocks, waiting.deleted.blocks) == (2, 0)
    assert scene.store.blocks == {live, gone, orphan}
    scene.pass_days(0.2)
    assert (await scene.round(dry=True)).deleted.bytes == 2 * 4168
    assert (await scene.round()).deleted.blocks == 2
    assert scene.store.blocks == {live}
    assert not (await scene.round()).deleted.blocks
    with scene.chronicle.opened() as past:
        await scene.chronicle.read_on(past)
        assert before <= oldest_whole(past.now)
        with pytest.raises(NoSuchPoint):
            check_whole(past.now, Seq(oldest_whole(past.now) - 1))
        check_whole(past.now, oldest_whole(past.now))


async def test_what_was_named_for_a_time_while_it_stood_is_taken_back_and_listed_anew(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    block = await scene.saved(b"first", b"same")
    await scene.deleted(b"first")
    assert (await scene.round()).condemned.blocks == 1
    scene.pass_days(20)
    assert await scene.saved(b"again", b"same") == block
    await scene.deleted(b"again")
    scene.pass_days(14)
    again = await scene.round()
    assert (again.final.blocks, again.condemned.blocks) == (0, 1)
    scene.pass_days(32)
    assert not (await scene.round()).final.blocks
    scene.pass_days(2)
    assert (await scene.round()).final.blocks == 1


async def test_old_checkpoints_go_and_the_newest_stay_however_old(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(9):
        await scene.saved(b"%d" % number, b"%d" % number)
    scene.checkpoints = [Seq(seq) for seq in range(1, 9)]
    assert not (await scene.round()).checkpoints, "somebody who was away may begin with them"
    scene.pass_days(32.9)
    assert not (await scene.round()).checkpoints
    scene.pass_days(0.2)
    assert (await scene.round(dry=True)).checkpoints == 2
    assert scene.checkpoints[0] == 1
    assert (await scene.round()).checkpoints == 2
    assert scene.checkpoints == [3, 4, 5, 6, 7, 8]
    scene.checkpoints += [Seq(2**40)]  # of an entry that is in nobody's journal
    assert (await scene.round()).checkpoints == 0


class _Archived(Access):
    """Access to a project that is archived: nobody's entries count, and checkpoints are believed as before."""

    def writer_key(self, device: DeviceId, epoch: int) -> bytes | None:
        return None


async def test_what_newcomers_load_of_an_editor_stays_where_nobody_may_write_any_more(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    await scene.saved(b"live", b"live")
    scene.chronicle.access = _Archived(scene.chronicle.desk)
    piece = scene.node.blocks.seal(b"a piece of a checkpoint")
    held = CheckpointPiece(bytes(piece.id), piece.epoch, piece.nonce, piece.size, bytes(32))
    contents = CheckpointContents((CheckpointPart(0, Seq(1), (held,)),))
    daemon = scene.chronicle.desk.daemon
    unsigned = seal_checkpoint(KEYS, Seq(1), bytes(32), daemon.device, contents, bytes(32))
    signature = sodium.sign(daemon.seed, checkpoint_message(unsigned))
    scene.checkpoints, scene.manifests = [Seq(1)], {Seq(1): unsigned + signature}
    with scene.chronicle.opened() as past:
        assert piece.id in await scene.ledger(past).needed()


async def test_a_point_that_is_kept_keeps_its_blocks(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    block = await scene.saved(b"kept", b"kept")
    scene.points = [scene.chronicle.head]
    await scene.deleted(b"kept")
    assert not (await scene.round()).condemned.blocks
    scene.points = []
    assert (await scene.round()).condemned.blocks == 1
    scene.points = [Seq(1), Seq(2)]
    scene.pass_days(40)
    assert not (await scene.round()).final.blocks
    assert block in scene.store.blocks


async def test_a_longer_retention_counts_as_soon_as_it_is_set_and_a_shorter_one_never(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    await scene.saved(b"file", b"data")
    await scene.deleted(b"file")
    await scene.round()
    for days, passed, final in ((90, 80, 0), (1, 0, 1)):
        scene.node.replica.apply(Fact(RETENTION, encoded_fact(Retention(days))))
        await scene.chronicle.commit()
        scene.pass_days(passed)
        assert (await scene.round()).final.blocks == final


async def test_what_a_store_refuses_to_delete_is_told_and_left(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    locked, free = await scene.saved(b"a", b"a"), await scene.saved(b"b", b"b")
    scene.store.refuses = {locked}
    for name in (b"a", b"b"):
        await scene.deleted(name)
    await scene.round()
    scene.pass_days(34)
    await scene.round()
    scene.pass_days(2)
    told = await scene.round()
    assert (told.deleted.blocks, told.refused.blocks, told.why) == (1, 1, "it is locked")
    assert scene.store.blocks == {locked}
    assert free not in scene.store.blocks
    assert (await scene.round()).refused.blocks == 1, "it is tried again"


async def test_who_may_delete_nothing_does_not_ask_for_each(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(501):
        scene.store.blocks.add(scene.node.blocks.seal(b"orphan %d" % number).id)
    await scene.round()
    scene.pass_days(34)
    await scene.round()
    scene.pass_days(2)
    scene.store.refuses = set(scene.store.blocks)
    told = await scene.round()
    assert (told.deleted.blocks, told.refused.blocks, told.left.blocks) == (0, 500, 1)


async def test_rounds_of_few_requests_get_to_the_end_of_the_bucket_one_behind_the_other(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    live = await scene.saved(b"live", b"live")
    for number in range(9):
        scene.store.blocks.add(scene.node.blocks.seal(b"orphan %d" % number).id)
    after: BlockId | None = None
    for _ in range(20):
        scene.store.requests = 0
        told = await scene.round(after=after, most=6)
        assert scene.store.requests <= 6
        after = told.after
        scene.pass_days(13)
    assert scene.store.blocks == {live}


async def test_a_round_without_requests_left_changes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.store.blocks.add(scene.node.blocks.seal(b"orphan").id)
    told = await scene.round(most=2)
    assert (told.condemned.blocks, told.deleted.blocks) == (0, 0)
    assert (await scene.round(most=3)).condemned.blocks == 1


async def test_what_is_final_and_named_all_the_same_is_left(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    block = await scene.saved(b"first", b"same")
    await scene.deleted(b"first")
    await scene.round()
    scene.pass_days(34)
    assert (await scene.round()).final.blocks == 1
    # A release that knows nothing of collections: this committer has no file layer that seals.
    scene.node.replica.collected._begins = _Begins(array("Q"), array("Q"), array("Q"), 2**63)
    assert await scene.saved(b"again", b"same") == block
    scene.pass_days(2)
    assert not (await scene.round()).deleted.blocks
    assert block in scene.store.blocks


@pytest.mark.parametrize(("skew_s", "days"), [(301.0, 0.0), (-301.0, 0.0), (None, -2.0)])
async def test_a_clock_that_is_wrong_collects_nothing(
    tmp_path: Path, skew_s: float | None, days: float
) -> None:
    scene = Scene(tmp_path)
    await scene.saved(b"file", b"data")
    await scene.deleted(b"file")
    scene.store.skew_s = skew_s
    scene.pass_days(days)
    with pytest.raises(CannotCollect, match="clock"):
        await scene.round()


async def test_no_clock_alone_makes_anything_final_where_nobody_asked(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.saved(b"file", b"data")
    await scene.deleted(b"file")
    await scene.round(nobody_asked=True)
    scene.pass_days(40)
    assert not (await scene.round(nobody_asked=True)).final.blocks, "a directory has no clock"
    scene.store.skew_s = 1.0
    assert (await scene.round(nobody_asked=True)).final.blocks == 1


def test_an_entry_touches_what_it_names_and_what_it_takes_away(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    ino = scene.node.create(b"file")
    scene.node.write(ino, b"one")
    scene.node.write(ino, b"two")
    batch = scene.node.replica.pending.next_batch(None)
    assert batch is not None
    named = {scene.node.blocks.seal(data).id for data in (b"one", b"two")}
    assert touched_blocks(batch.changeset) == named
    assert batch.names == named


def test_who_wants_the_past_that_a_collection_has_is_heard_and_nobody_else_makes_room(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    home = scene.chronicle.path / "home"
    with scene.chronicle.opened() as past:
        assert not Past.ask_for(home), "a command has it, which goes on to its end"
        with past.lent():
            assert not past.is_wanted()
            assert Past.ask_for(home)
            assert past.is_wanted()
        assert not Past.ask_for(home)
        with past.lent():
            assert not past.is_wanted(), "who asked the one before has got it"
