"""Checkpoints as workstations make them, check each other's, and begin with them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

from checkpoint_fixture import EVERY, CheckpointDaemon, Office
from committer_fixture import KEYS, PROJECT, Daemon, Desk
from replica_fixture import Node, rows_of

from lucidnode.fs.checkpoints.keeper import ATTESTED_WITHIN_S
from lucidnode.fs.checkpoints.pieces import StateRow, digest_of, pieces, plaintext_of
from lucidnode.fs.format.block import seal
from lucidnode.fs.format.checkpoint import (
    CheckpointContents,
    CheckpointPart,
    CheckpointPiece,
    open_checkpoint,
    seal_checkpoint,
)
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.format.project_facts import Condemned, encoded_fact, list_name, listed
from lucidnode.fs.replica.intents import Fact
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.attestation import manifest_hash
from lucidnode.node.client.ids import BlockId, Seq
from lucidnode.node.client.journal import entry_hash

ROOT_ROW = (1, 4, 511, 0, 0, 0, 2, 0, 0, 0, 0, b"", 0)

Rows = dict[str, list[tuple[Any, ...]]]


def filling(node: Node) -> Callable[[], None]:
    """Return what makes one file more each time."""

    def act() -> None:
        now = str(node.time()).encode()
        node.write(node.create(node.name.encode() + now), now)

    return act


async def grown(office: Office, desk: Desk, seq: int) -> None:
    """Have *desk* make a checkpoint at *seq*, and everybody know it."""
    begun = desk.node.replica.pending.head().seq
    await office.committed(desk, filling(desk.node), seq - begun)
    await office.all_checked(seq)
    await office.clock.pass_by(ATTESTED_WITHIN_S)


def stored(office: Office, name: str) -> Rows:
    """Return what the replica of a newcomer holds."""
    replica = Replica.open(office.path / f"{name}.db", bytes(range(32)), name)
    try:
        return rows_of(replica)
    finally:
        replica.close()


def contents(office: Office, seq: int) -> CheckpointContents:
    return open_checkpoint(KEYS, office.bucket.manifests[seq], Seq(seq), office.devices.get)[1]


def forge(
    office: Office, name: str, seq: int, change: Callable[[CheckpointContents], CheckpointContents]
) -> None:
    """Put another manifest, signed by the workstation *name*, in the place of that at *seq*."""
    service = office.services[name]
    unsigned = seal_checkpoint(
        KEYS,
        Seq(seq),
        entry_hash(office.bucket.entries[seq]),
        service.daemon.device,
        change(contents(office, seq)),
        bytes(32),
    )
    office.bucket.manifests[seq] = service.signed(unsigned)


def with_rows(
    office: Office, rows: list[Any]
) -> Callable[[CheckpointContents], CheckpointContents]:
    """Return what makes a checkpoint of a base with these *rows*."""

    def changed(now: CheckpointContents) -> CheckpointContents:
        made = []
        for content in pieces(rows, is_base=True):
            name, ciphertext = seal(KEYS, plaintext_of(content))
            office.bucket.blocks[name.id] = ciphertext
            digest = digest_of(content)
            made.append(CheckpointPiece(name.id, name.epoch, name.nonce, name.size, digest))
        return CheckpointContents((CheckpointPart(0, now.parts[-1].upto, tuple(made)),))

    return changed


async def test_a_newcomer_begins_with_what_everybody_has(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.desk("anna") as anna, office.desk("ben") as ben:
        await grown(office, anna, EVERY)
        assert await office.newcomer("carl") == EVERY
        theirs = rows_of(anna.node.replica)
        assert stored(office, "carl") == theirs == rows_of(ben.node.replica)


async def test_later_checkpoints_hold_what_changed_and_lead_to_the_same_state(
    tmp_path: Path,
) -> None:
    office = Office(tmp_path)
    async with office.desk("anna") as anna, office.desk("ben") as ben:
        for each in range(60):
            anna.node.create(bytes([97 + each % 26]) * (each + 1))
        await grown(office, anna, EVERY)
        await office.committed(ben, lambda: ben.node.unlink(b"a"))
        await grown(office, ben, 2 * EVERY)
        base, later = contents(office, 2 * EVERY).parts
        assert base == contents(office, EVERY).parts[0]
        assert (later.since, later.upto) == (EVERY, 2 * EVERY)
        assert await office.newcomer("carl") == 2 * EVERY
        assert stored(office, "carl") == rows_of(anna.node.replica) == rows_of(ben.node.replica)
        sizes = [piece.size for part in (base, later) for piece in part.pieces]
        assert len(sizes) > 1
        assert office.loaded == [(done, sum(sizes)) for done in accumulate(sizes, initial=0)]


async def test_a_newcomer_knows_which_epoch_had_begun_at_the_checkpoint(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.keys = ProjectKeys.of(PROJECT, {1: b"K" * 32, 2: b"L" * 32})
    async with office.desk("a") as desk:
        await grown(office, desk, EVERY)
        assert desk.node.replica.pending.head().epoch == 2
        assert await office.newcomer("carl") == EVERY
    replica = Replica.open(office.path / "carl.db", bytes(range(32)), "carl")
    try:
        assert replica.pending.head().epoch == 2
    finally:
        replica.close()


async def test_a_newcomer_goes_on_from_the_checkpoint_and_makes_the_next(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.desk("anna") as anna:
        await grown(office, anna, EVERY)
        await office.committed(anna, filling(anna.node), 3)
        async with office.desk("carl", load=True) as carl:
            await office.clock.until(carl.caught_up)
            assert carl.daemon.reads <= 5, "one look at each entry behind the checkpoint"
            await grown(office, carl, 2 * EVERY)
            assert len(contents(office, 2 * EVERY).parts) == 2
            assert rows_of(carl.node.replica) == rows_of(anna.node.replica)


async def test_requests_of_a_first_mount_do_not_grow_with_the_journal(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.desk("anna") as anna:
        asked = []
        for round_ in range(1, 4):
            await grown(office, anna, round_ * EVERY)
            name = f"newcomer {round_}"
            assert await office.newcomer(name) == round_ * EVERY
            asked.append(Counter(office.services[name].requests))
        assert all(each["entry"] == 2 and each["list"] == each["manifest"] == 1 for each in asked)
        assert all(each["block"] <= 3 for each in asked), "one for each part of so small a project"


async def test_work_that_waits_here_is_no_part_of_a_checkpoint(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("no route to the bucket")
    office = Office(tmp_path)
    async with office.desk("anna") as anna, office.desk("ben") as ben:
        await office.committed(anna, filling(anna.node), EVERY - 1)
        await office.clock.until(ben.caught_up)
        ben.daemon.reachable = False
        ben.node.create(b"only here")
        ben.node.unlink(ben.node.names()[0])
        await office.clock.pass_by(5)
        committed = rows_of(anna.node.replica)
        await office.committed(anna, lambda: anna.node.create(b"last"))
        ben.daemon.reachable = True
        await office.all_checked(EVERY)
        assert await office.newcomer("carl") == EVERY
        names = {row[1] for row in stored(office, "carl")["name"]}
        assert names == {row[1] for row in committed["name"]} | {b"last"}


async def test_a_false_checkpoint_is_told_by_all_who_passed_it(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("is false")
    office = Office(tmp_path)
    async with office.desk("anna") as anna, office.desk("ben") as ben:
        await office.committed(anna, filling(anna.node), EVERY - 1)
        await office.clock.until(ben.caught_up)
        async with office.desk("mallory"):
            service = office.services["mallory"]
            unsigned = seal_checkpoint(
                KEYS,
                Seq(EVERY),
                bytes(32),
                service.daemon.device,
                with_rows(office, [((0, 1), ROOT_ROW)])(
                    CheckpointContents((CheckpointPart(0, EVERY, ()),))
                ),
                bytes(32),
            )
            office.bucket.manifests[EVERY] = service.signed(unsigned)
            await office.committed(anna, lambda: anna.node.create(b"last"))
            await office.clock.until(lambda: bool(ben.causes() and anna.causes()))
            for desk in (anna, ben):
                assert f"by device {service.daemon.device[:8]}, is false" in desk.causes()
            assert office.keepers["ben"].newest == 0


async def test_a_checkpoint_with_other_rows_is_false_though_its_entry_is_right(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("is false")
    office = Office(tmp_path)
    async with office.desk("anna") as anna, office.desk("ben") as ben:
        await office.committed(anna, filling(anna.node), EVERY - 1)
        await office.clock.until(ben.caught_up)
        make = office.services["anna"].make

        async def made_otherwise(*args: Any) -> Any:
            reply = await make(*args)
            rows: list[StateRow] = [((0, 1), ROOT_ROW)]
            forge(office, "anna", EVERY, with_rows(office, rows))
            return reply

        office.services["anna"].make = made_otherwise  # type: ignore[method-assign,assignment]
        await office.committed(anna, lambda: anna.node.create(b"last"))
        await office.clock.until(lambda: bool(ben.causes()))
        assert "it says other than the journal" in ben.causes()
        assert office.keepers["ben"].newest == 0


def last_block(office: Office) -> BlockId:
    return contents(office, 20).parts[-1].pieces[0].block.id


def broken(office: Office) -> dict[str, Callable[[], object]]:
    """Return what can be amiss with the checkpoint at entry 20, by ben."""
    manifests, blocks = office.bucket.manifests, office.bucket.blocks
    ben = office.services["ben"].daemon.device

    def with_only(*rows: StateRow) -> Callable[[], object]:
        return lambda: forge(office, "ben", 20, with_rows(office, list(rows)))

    return {
        "cut": lambda: manifests.update({20: manifests[20][:-100]}),
        "by a stranger": lambda: office.devices.pop(ben),
        "of another entry": lambda: manifests.update({20: manifests[10]}),
        "a piece is missing": lambda: blocks.pop(last_block(office)),
        "a piece is another": lambda: blocks.update({last_block(office): seal(KEYS, b"other")[1]}),
        "no tree": with_only(((0, 1), ROOT_ROW), ((1, 1, b"name"), (1, b"name", 77))),
        "no root": with_only(((0, 7), (7, 8, 420, 0, 0, 0, 0, 0, 0, 0, 0, b"", 0))),
        "a size that no directory has": with_only(
            ((0, 1), (1, 4, 511, 0, 0, 5, 2, 0, 0, 0, 0, b"", 0))
        ),
    }


async def test_an_older_one_is_taken_where_the_newest_does_not_hold(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("is not used here")
    office = Office(tmp_path)
    async with office.desk("anna") as anna, office.desk("ben") as ben:
        await grown(office, anna, EVERY)
        state = rows_of(anna.node.replica)
        await grown(office, ben, 2 * EVERY)
        bucket = office.bucket
        bucket.attestations.clear()
        for how, harm in broken(office).items():
            sound = dict(bucket.manifests), dict(bucket.blocks), dict(office.devices)
            harm()
            told = Alerts(office.clock)
            assert await office.newcomer(how, told) == EVERY, how
            assert stored(office, how) == state
            [alert] = told.current()
            assert "The checkpoint at journal entry 20" in alert.cause
            for held, before in zip(
                (bucket.manifests, bucket.blocks, office.devices), sound, strict=True
            ):
                cast("dict[Any, bytes]", held).update(cast("dict[Any, bytes]", before))
        assert await office.newcomer("in the end") == 2 * EVERY


async def test_a_checkpoint_of_another_history_is_not_taken(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("is not used here")
    office = Office(tmp_path)
    async with office.desk("anna") as anna:
        await grown(office, anna, EVERY)
        office.bucket.entries[EVERY] = office.bucket.entries[EVERY - 1]
        assert await office.newcomer("carl") is None
        assert len(stored(office, "carl")["inode"]) == 1


async def test_a_bucket_that_is_away_for_a_moment_is_asked_again(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("no checkpoint can be loaded now")
    office = Office(tmp_path)
    async with office.desk("anna") as anna:
        await grown(office, anna, EVERY)
        async with office.desk("ben") as ben:
            await office.clock.until(ben.caught_up)
            office.services["ben"].unreachable = 1
            loading = asyncio.ensure_future(office.newcomer("carl"))
            office.services.setdefault("carl", office.services["ben"])
            await office.clock.until(loading.done)
            assert loading.result() == EVERY


async def test_what_changed_before_a_restart_is_known_after_it(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.desk("anna") as anna:
        for each in range(60):
            anna.node.create(bytes([97 + each % 26]) * (each + 1))
        await grown(office, anna, EVERY)
        await office.committed(anna, filling(anna.node), 4)
    async with office.desk("anna") as anna:
        await grown(office, anna, 2 * EVERY)
        assert len(contents(office, 2 * EVERY).parts) == 2
        await office.newcomer("carl")
        assert stored(office, "carl") == rows_of(anna.node.replica)


async def test_where_what_changed_is_not_known_all_is_written_anew(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.desk("anna") as anna:
        for each in range(60):
            anna.node.create(bytes([97 + each % 26]) * (each + 1))
        await grown(office, anna, EVERY)
        await office.committed(anna, filling(anna.node), 4)
    async with office.desk("anna", forgets=True) as anna:
        await grown(office, anna, 2 * EVERY)
        assert len(contents(office, 2 * EVERY).parts) == 1
        await office.newcomer("carl")
        assert stored(office, "carl") == rows_of(anna.node.replica)


async def test_without_room_there_is_no_checkpoint_and_the_next_is_made(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("no checkpoint at entry")
    office = Office(tmp_path)
    async with office.desk("anna") as anna:
        office.services["anna"].full = True
        await office.committed(anna, filling(anna.node), EVERY + 2)
        assert office.bucket.manifests == {}
        office.services["anna"].full = False
        await grown_more(office, anna)
        assert await office.newcomer("carl") == 2 * EVERY


async def grown_more(office: Office, desk: Desk) -> None:
    await office.committed(desk, filling(desk.node), EVERY - 2)
    await office.all_checked(2 * EVERY)


async def test_no_snapshot_waits_for_uploads(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.desk("anna") as anna:
        service = office.services["anna"]
        arrived, make = asyncio.Event(), service.make

        async def made_late(*args: Any) -> Any:
            await arrived.wait()
            return await make(*args)

        service.make = made_late  # type: ignore[method-assign,assignment]
        await office.committed(anna, filling(anna.node), 2 * EVERY)
        held = anna.node.replica.snapshot()
        assert held is not None
        assert office.keepers["anna"]._due is None
        held.close()
        arrived.set()
        await office.all_checked(EVERY)
        await grown(office, anna, 3 * EVERY)
        await office.newcomer("carl")
        assert stored(office, "carl") == rows_of(anna.node.replica)


async def test_a_state_in_which_no_content_is_halfway_is_preferred(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.desk("anna") as anna:
        await grown(office, anna, EVERY)
        await grown(office, anna, 2 * EVERY)
        halfway = (7, 8, 0o644, 0, 0, 5, 0, 0, 0, 0, 0, b"", -3)
        rows: list[StateRow] = [((0, 1), ROOT_ROW), ((0, 7), halfway)]
        forge(office, "anna", 2 * EVERY, with_rows(office, rows))
        assert await office.newcomer("carl") == EVERY
        del office.bucket.manifests[EVERY]
        assert await office.newcomer("dora") == 2 * EVERY
        assert halfway in stored(office, "dora")["inode"]


async def test_no_part_is_laid_over_pieces_that_nobody_else_needs_any_more(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.desk("anna") as anna:
        for each in range(60):
            anna.node.create(bytes([97 + each % 26]) * (each + 1))
        await grown(office, anna, EVERY)
        pieces_ = [BlockId(p.id) for part in contents(office, EVERY).parts for p in part.pieces]
        condemned = encoded_fact(Condemned(EVERY, 1, 0, listed(pieces_[:1])))
        anna.node.replica.apply(Fact(list_name(Seq(EVERY), 0), condemned))
        await grown(office, anna, 2 * EVERY)
        [base] = contents(office, 2 * EVERY).parts
        assert base.since == 0


async def test_one_of_those_who_checked_it_says_so(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.desk("anna") as anna, office.desk("ben"), office.desk("cleo"):
        await grown(office, anna, EVERY)
        await office.clock.pass_by(120)
        [(seq, device)] = office.bucket.attestations
        assert seq == EVERY
        assert device != anna.daemon.device


async def test_who_is_alone_says_nothing_of_what_he_made_himself(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.desk("anna") as anna:
        await grown(office, anna, EVERY)
        await office.clock.pass_by(1000)
    assert not office.bucket.attestations
    assert await office.newcomer("carl") == EVERY, "one device's word is better than none"


async def test_a_newcomer_prefers_what_a_second_device_has_checked(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.desk("anna") as anna:
        async with office.desk("ben"):
            await grown(office, anna, EVERY)
            await office.clock.pass_by(120)
        del office.keepers["ben"]
        await grown(office, anna, 2 * EVERY)  # false perhaps: nobody else was there
        assert await office.newcomer("carl") == EVERY


async def test_a_word_on_another_manifest_by_the_maker_or_by_a_stranger_counts_for_nothing(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("is not the one that device")
    office = Office(tmp_path)
    async with office.desk("anna") as anna, office.desk("ben"):
        await grown(office, anna, EVERY)
        await grown(office, anna, 2 * EVERY)
        await office.clock.pass_by(200)
        ben, maker = office.services["ben"], office.services["anna"]
        newest = manifest_hash(office.bucket.manifests[2 * EVERY])
        stranger = CheckpointDaemon(office.bucket, Daemon(office.bucket, b"s" * 32))
        office.bucket.attestations.clear()
        for each in (maker, stranger):
            await each.attest(PROJECT, Seq(2 * EVERY), newest)
        await ben.attest(PROJECT, Seq(EVERY), manifest_hash(office.bucket.manifests[EVERY]))
        assert await office.newcomer("carl") == EVERY
        # Ben has checked the newest as well; then somebody exchanges it for another of anna's.
        office.bucket.attestations.clear()
        await ben.attest(PROJECT, Seq(2 * EVERY), newest)
        assert await office.newcomer("dora") == 2 * EVERY
        forge(office, "anna", 2 * EVERY, lambda now: now)
        alerts = Alerts(office.clock)
        assert await office.newcomer("emil", alerts) == EVERY
        assert alerts.current()[0].topic == f"attestation:{2 * EVERY}"
