"""Whatever is missing, damaged or exchanged in a bucket is named, with the files it touches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from committer_fixture import KEYS
from past_fixture import KEY, Chronicle

from lucidnode.fs.format.block import BlockName, seal
from lucidnode.fs.format.project_facts import COLLECTED, CollectedUpTo
from lucidnode.fs.fsck.block_check import ContentCheck, check_listing
from lucidnode.fs.fsck.checkpoint_check import check_checkpoints
from lucidnode.fs.fsck.finding import ObjectFinding
from lucidnode.fs.fsck.foreign_objects import check_elsewhere
from lucidnode.fs.fsck.fsck_state import FsckState, keep_state, kept_state
from lucidnode.fs.fsck.journal_check import JournalCheck, newest_in_journal
from lucidnode.fs.fsck.needed_blocks import NeededBlocks, touched_paths
from lucidnode.fs.fsck.project_objects import (
    PROJECT_FOLDERS,
    Folder,
    ObjectName,
    StoredObject,
    block_name,
    seq_name,
)
from lucidnode.fs.fsck.replica_check import check_replica, unlike
from lucidnode.fs.fsck.roster_check import check_roster
from lucidnode.fs.history.past import Past
from lucidnode.fs.replica.inode import ROOT, InodeNo
from lucidnode.fs.replica.intents import NewExtent, Truncate, Unlink, Write
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.snapshots.snapshot_row import SnapshotRow, attribute
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.journal import entry_hash
from lucidnode.node.client.roster_entry import stand_in


class Objects:
    """A bucket in memory: folder and name to bytes. It answers as long as *left* reads are."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, bytes]] = {
            folder: {} for folder in ("roster", "journal", "checkpoint", "block")
        }
        self.left = 1_000_000
        self.reads: list[str] = []

    async def names(self, folder: Folder) -> AsyncIterator[ObjectName]:
        for name, body in sorted(self.held[folder].items()):
            yield ObjectName(name, len(body))

    async def elsewhere(self) -> AsyncIterator[str]:
        for folder in self.held.keys() - {"roster"} - PROJECT_FOLDERS:
            for name in self.held[folder]:
                yield f"{folder}/{name}"

    async def read(self, folder: Folder, name: str) -> StoredObject | None:
        if self.left == 0:
            raise Unavailable("no route to the bucket")
        self.left -= 1
        self.reads.append(name)
        body = self.held[folder].get(name)
        return None if body is None else StoredObject(entry_hash(body), body)


class Project:
    """A project of five versions: film/a and b, then a is saved anew, b deleted, c made, c renamed."""

    def __init__(self, path: Path) -> None:
        self.chronicle = Chronicle(path)
        self.objects = Objects()
        self.blocks: dict[str, BlockName] = {}

    async def make(self) -> None:
        node = self.chronicle.node
        film = node.mkdir(b"film")
        a = node.create(b"a", film)
        self.write(a, b"first a")
        await self.chronicle.commit()
        b = node.create(b"b", film)
        self.write(b, b"all of b")
        await self.chronicle.commit()
        node.replica.apply(Truncate(a, 0, node.time()))
        self.write(a, b"second a")
        await self.chronicle.commit()
        node.replica.apply(Unlink(film, b"b", node.time()))
        await self.chronicle.commit()
        self.write(node.create(b"c"), b"c")
        await self.chronicle.commit()
        self.objects.held["journal"] = {
            seq_name(seq): body for seq, body in self.chronicle.bucket.entries.items()
        }

    def write(self, ino: InodeNo, text: bytes) -> None:
        name, ciphertext = seal(KEYS, text)
        self.blocks[text.decode()] = name
        self.objects.held["block"][block_name(name.id)] = ciphertext
        node = self.chronicle.node
        extent = NewExtent(0, len(text), name.id, 0)
        node.replica.apply(Write(ino, [extent], [name], node.time()))

    def key(self, text: str) -> str:
        return block_name(self.blocks[text].id)


@pytest.fixture
async def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    await project.make()
    return project


async def journal_of(project: Project, past: Past, since: int = 0) -> list[ObjectFinding]:
    found: list[ObjectFinding] = []
    newest = await newest_in_journal(project.objects, past.head().seq, found.append)
    check = JournalCheck(project.objects, project.chronicle.access, past.log, Seq(since))
    await check.run(newest, found.append, lambda _count: None)
    assert check.upto == newest
    return found


async def blocks_of(project: Project, past: Past) -> list[ObjectFinding]:
    found: list[ObjectFinding] = []
    needed = NeededBlocks(past).names
    await check_listing(project.objects, needed, found.append, lambda _count: None)
    check = ContentCheck(project.objects, KEYS, "")
    await check.run(needed, found.append, lambda _size: None)
    return found


async def test_a_project_of_which_everything_is_there_is_found_so(project: Project) -> None:
    with project.chronicle.opened() as past:
        await project.chronicle.read_on(past)
        assert await journal_of(project, past) == []
        assert await blocks_of(project, past) == []
        assert NeededBlocks(past).names.keys() == {each.id for each in project.blocks.values()}
        assert check_replica(past, project.chronicle.path / "none.db", KEY) == ("none", [])


def _lost(project: Project) -> None:
    del project.objects.held["journal"][seq_name(3)]


def _flipped(project: Project) -> None:
    body = bytearray(project.objects.held["journal"][seq_name(3)])
    body[200] ^= 1
    project.objects.held["journal"][seq_name(3)] = bytes(body)


def _copied(project: Project) -> None:
    project.objects.held["journal"][seq_name(3)] = project.objects.held["journal"][seq_name(2)]


@pytest.mark.parametrize(
    ("seed", "amiss"), [(_lost, "missing"), (_flipped, "damaged"), (_copied, "damaged")]
)
@pytest.mark.parametrize("knows", [True, False], ids=["seen before", "never seen"])
async def test_an_entry_that_is_not_what_it_was_is_named(
    project: Project, seed: Callable[[Project], None], amiss: str, knows: bool
) -> None:
    with project.chronicle.opened() as past:
        if knows:
            await project.chronicle.read_on(past)
        seed(project)
        [found] = await journal_of(project, past)
        assert (found.folder, found.name, found.amiss) == ("journal", seq_name(3), amiss)
        assert found.is_harm
        if knows:
            assert touched_paths(past, Seq(3)) == ["film/a"]


async def test_a_sound_entry_of_another_history_is_told_from_the_one_that_was_seen(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Project(tmp_path / "other")
    other.chronicle.node.create(b"x")
    await other.chronicle.commit()
    with project.chronicle.opened() as past:
        await project.chronicle.read_on(past)
        project.objects.held["journal"][seq_name(1)] = other.chronicle.bucket.entries[1]
        [found] = await journal_of(project, past)
        assert (found.name, found.amiss) == (seq_name(1), "exchanged")
    (tmp_path / "new").mkdir()
    stranger = Past.open(tmp_path / "new", KEY, "b")
    [found] = await journal_of(project, stranger)
    assert (found.name, found.amiss) == (seq_name(1), "unchained"), (
        "by what follows, for a newcomer"
    )
    stranger.close()


async def test_what_counts_as_empty_for_all_is_no_damage(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("what lies in the place of journal entry 1 is none")
    project = Project(tmp_path)
    chronicle = project.chronicle
    chronicle.bucket.entries[1] = b"nonsense"
    chronicle.node.create(b"a")
    await chronicle.commit()
    project.objects.held["journal"] = {
        seq_name(seq): body for seq, body in chronicle.bucket.entries.items()
    }
    with chronicle.opened() as past:
        assert await journal_of(project, past) == []
        await chronicle.read_on(past)
        assert await journal_of(project, past) == []


async def test_blocks_that_are_lost_cut_or_altered_are_named_with_their_files(
    project: Project,
) -> None:
    held = project.objects.held["block"]
    del held[project.key("second a")]
    held[project.key("all of b")] = held[project.key("all of b")][:-1]
    altered = bytearray(held[project.key("c")])
    altered[-1] ^= 1
    held[project.key("c")] = bytes(altered)
    held["00/strange"] = b""
    with project.chronicle.opened() as past:
        await project.chronicle.read_on(past)
        found = await blocks_of(project, past)
        assert {(each.name, each.amiss) for each in found} == {
            (project.key("second a"), "missing"),
            (project.key("all of b"), "damaged"),
            (project.key("c"), "damaged"),
            ("00/strange", "foreign"),
        }
        assert [each.name for each in found if not each.is_harm] == ["00/strange"]
        files = NeededBlocks(past).files({each.id for each in project.blocks.values()})
        assert {text: files[name.id] for text, name in project.blocks.items()} == {
            "first a": ["film/a"], "second a": ["film/a"], "all of b": ["film/b"], "c": ["c"],
        }  # fmt: skip


async def test_a_check_that_was_broken_off_goes_on_where_it_was(
    project: Project, tmp_path: Path
) -> None:
    objects = project.objects
    del objects.held["journal"][seq_name(2)]
    with project.chronicle.opened() as past:
        await project.chronicle.read_on(past)
        found: list[ObjectFinding] = []
        for _ in range(20):
            kept = kept_state(tmp_path / "state")
            check = JournalCheck(objects, project.chronicle.access, past.log, Seq(kept.entries))
            found = list(kept.found)
            objects.left = 4
            try:
                await check.run(Seq(5), found.append, lambda _count: None)
            except Unavailable:
                objects.left = 1_000_000
                await check.run(Seq(min(check.upto + 2, 5)), found.append, lambda _count: None)
            keep_state(tmp_path / "state", FsckState(check.upto, "", found))
            if check.upto == 5:
                break
        assert [(each.name, each.amiss) for each in found] == [(seq_name(2), "missing")]
        needed = NeededBlocks(past).names
        first = sorted(needed)[1]
        objects.reads.clear()
        contents = ContentCheck(objects, KEYS, block_name(first))
        await contents.run(needed, found.append, lambda _size: None)
        assert objects.reads == [block_name(block) for block in sorted(needed)[2:]]
    (tmp_path / "state").write_bytes(b"torn")
    assert kept_state(tmp_path / "state") == FsckState()


async def test_a_replica_that_differs_is_told_with_the_files(project: Project) -> None:
    chronicle = project.chronicle
    path = chronicle.node.path
    chronicle.node.set_xattr(ROOT, b"user.waits", b"to be committed")
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        assert check_replica(past, path, KEY) == ("mounted", [])
        chronicle.node.close()
        assert check_replica(past, path, KEY) == ("right", [])
        database = Database.open(path, KEY)
        with database.transaction():
            database.change("UPDATE inode SET size = size + 1 WHERE size = 8")
            database.change("DELETE FROM name WHERE name = x'63'")
        database.close()
        assert check_replica(past, path, KEY) == ("differs", ["c", "film/a"])
        database = Database.open(path, KEY)
        with database.transaction():
            database.change("UPDATE head SET link = zeroblob(32)")
        database.close()
        assert check_replica(past, path, KEY) == ("lost", [])
        path.write_bytes(b"no database" * 1000)
        assert check_replica(past, path, KEY) == ("unreadable", [])


def test_rows_are_unlike_where_one_side_lacks_or_alters_them() -> None:
    mine, true = [(1, 0), (2, 0), (4, 0), (5, 5)], [(2, 0), (3, 0), (4, 1), (5, 5)]
    assert list(unlike(iter(mine), iter(true), 1)) == [(1, 0), (3, 0), (4, 0)]
    assert list(unlike(iter(mine), iter(mine), 1)) == []
    assert list(unlike(iter(()), iter(true), 1)) == true


async def test_members_entries_that_are_gone_or_others_are_named() -> None:
    objects = Objects()
    log = [b"genesis", stand_in(entry_hash(b"nonsense")), b"invite", b"join"]
    objects.held["roster"] = {
        seq_name(1): b"genesis", seq_name(2): b"nonsense", seq_name(4): b"another",
    }  # fmt: skip
    found: list[ObjectFinding] = []
    await check_roster(objects, log, found.append)
    assert [(each.name, each.amiss) for each in found] == [
        (seq_name(3), "missing"), (seq_name(4), "exchanged"),
    ]  # fmt: skip


async def test_a_checkpoint_that_no_writer_made_is_named(project: Project) -> None:
    objects = project.objects
    objects.held["checkpoint"] = {seq_name(5): b"nonsense", "strange": b""}
    found: list[ObjectFinding] = []
    with project.chronicle.opened() as past:
        await project.chronicle.read_on(past)
        count, blocks = await check_checkpoints(
            objects, project.chronicle.access, past, found.append
        )
    assert (count, blocks) == (0, {})
    assert [(each.name, each.amiss) for each in found] == [
        (seq_name(5), "damaged"), ("strange", "foreign"),
    ]  # fmt: skip


async def test_of_a_collected_past_only_what_is_kept_is_needed_and_snapshots_are(
    project: Project,
) -> None:
    chronicle = project.chronicle

    async def needed() -> set[str]:
        await chronicle.commit()
        with chronicle.opened() as past:
            await chronicle.read_on(past)
            names = NeededBlocks(past).names
        return {text for text, name in project.blocks.items() if name.id in names}

    everything = {"first a", "second a", "all of b", "c"}
    assert await needed() == everything
    collected = msgspec.msgpack.encode(CollectedUpTo(seq=5))
    chronicle.node.set_xattr(ROOT, COLLECTED, collected)
    assert await needed() == {"second a", "c"}
    row = SnapshotRow(seq=Seq(2), wall_ns=1)
    chronicle.node.set_xattr(ROOT, attribute("cut"), row.encoded())
    assert await needed() == everything


async def test_what_lies_in_no_folder_of_a_project_is_named_and_harms_nothing() -> None:
    objects = Objects()
    objects.held["old"] = {"notes.txt": b"x"}
    found: list[ObjectFinding] = []
    await check_elsewhere(objects, found.append)
    assert [(each.folder, each.name, each.is_harm) for each in found] == [
        ("project", "old/notes.txt", False)
    ]
