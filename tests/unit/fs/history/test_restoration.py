"""What was there comes back as it was, by the blocks it lies in, and leaves what came later alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from past_fixture import Chronicle, seen

from lucidnode.fs.errors import InTheWay, NoSuchPast
from lucidnode.fs.history.deletions import deleted_in, deletion_at
from lucidnode.fs.history.past import Past
from lucidnode.fs.history.past_places import Place
from lucidnode.fs.history.restoration import Restoration, Survey, attributes_at, survey
from lucidnode.fs.history.restored_work import commit
from lucidnode.fs.replica.inode import ROOT, InodeNo, Kind
from lucidnode.fs.replica.intents import Link, Rename, Rmdir, SetAttributes, Unlink
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import Seq


async def restored(
    chronicle: Chronicle, past: Past, seq: Seq, path: tuple[bytes, ...], to: tuple[bytes, ...] = ()
) -> Survey:
    """Bring *path* back as it was at *seq*, and have the desk see it."""
    await chronicle.read_on(past)
    daemon = chronicle.reader()
    with past.at(seq) as source, past.writable_copy(chronicle.access.device) as replica:
        found = attributes_at(source, path)
        assert found is not None
        told = survey(source, found, replica.tree, to or path)
        steps = Restoration(source, replica, chronicle.node.time()).steps(found, to or path)
        done: list[int] = []

        async def work() -> None:
            assert (
                await commit(replica, steps, daemon, chronicle.access, chronicle.clock, done.append)
                == []
            )

        syncs = replica._barrier._turn.locked
        chronicle.clock.threads.append(syncs)
        await chronicle.while_time_passes(work())
        chronicle.clock.threads.remove(syncs)
    assert sum(done) == told.size
    assert not any(request.needs for _, request in daemon.requests), "no block is uploaded"
    await chronicle.commit()
    return told


def shown(chronicle: Chronicle, seq: Seq | None = None, below: bytes = b"") -> dict[bytes, object]:
    """Return what is seen at *seq*, or now, without inode numbers, versions and link counts."""
    state = chronicle.states[chronicle.head if seq is None else seq]
    return {
        path[len(below) :]: (found[1:5], found[7:9], chronicle.read(found))
        for path, found in state.items()
        if path.startswith(below + b"/")
    }


async def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    directory = node.mkdir(b"film")
    inner = node.mkdir(b"reel", directory)
    ino = node.create(b"cut", inner)
    node.write(ino, b"the first cut")
    node.set_xattr(ino, b"user.grade", b"warm")
    node.replica.apply(Link(ino, directory, b"also", node.time()))
    node.create(b"link", directory, Kind.SYMLINK, b"reel/cut")
    node.truncate(node.create(b"hole", directory), 10_000)
    node.replica.apply(SetAttributes(ino, node.time(), mode=0o600, uid=7, mtime_ns=123))
    node.replica.apply(SetAttributes(inner, node.time(), mode=0o700, mtime_ns=456))
    then = await chronicle.commit()
    for parent, name in [
        (inner, b"cut"),
        (directory, b"also"),
        (directory, b"link"),
        (directory, b"hole"),
    ]:
        node.replica.apply(Unlink(parent, name, node.time()))
    node.replica.apply(Rmdir(directory, b"reel", node.time()))
    node.replica.apply(Rmdir(ROOT, b"film", node.time()))
    await chronicle.commit()
    with chronicle.opened() as past:
        told = await restored(chronicle, past, then, (b"film",))
        assert (told.files, told.replaced, told.unchanged) == (4, 0, 0)
        assert shown(chronicle) == shown(chronicle, then)
        also, cut = (
            node.found(n, p).ino
            for n, p in [
                (b"also", node.found(b"film").ino),
                (b"cut", node.found(b"reel", node.found(b"film").ino).ino),
            ]
        )
        assert also == cut
        told = await restored(chronicle, past, then, (b"film",), (b"a", b"b", b"again"))
        assert shown(chronicle, below=b"/a/b/again") == shown(chronicle, then, b"/film")
        # Nothing is left to do: no entry is made.
        head = chronicle.head
        told = await restored(chronicle, past, then, (b"film",))
        assert told.unchanged == told.files
        assert chronicle.head == head


async def test_what_came_later_stays_and_what_changed_gets_its_old_content(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    directory = node.mkdir(b"d")
    changed, moded = node.create(b"changed", directory), node.create(b"moded", directory)
    shorter = node.create(b"shorter", directory)
    node.write(shorter, b"12")
    node.write(changed, b"old and long")
    node.write(moded, b"same")
    then = await chronicle.commit()
    node.write(changed, b"new")
    node.truncate(changed, 3)
    node.write(shorter, b"345678")
    node.set_xattr(changed, b"user.later", b"1")
    node.replica.apply(SetAttributes(moded, node.time(), mode=0o600))
    node.write(node.create(b"later", directory), b"later")
    await chronicle.commit()
    with chronicle.opened() as past:
        told = await restored(chronicle, past, then, (b"d",))
    assert (told.files, told.replaced, sorted(told.paths)) == (3, 2, ["d/changed", "d/shorter"])
    now, before = shown(chronicle), shown(chronicle, then)
    assert now.pop(b"/d/later")
    now.pop(b"/d"), before.pop(b"/d")  # its time is that of the last change in it
    assert now == before
    assert node.found(b"changed", directory).ino == changed, "the file is the same one"


async def test_what_would_lie_over_something_else_is_refused_before_anything_is_done(
    tmp_path: Path,
) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    node.create(b"was a file")
    node.mkdir(b"was a directory")
    then = await chronicle.commit()
    node.unlink(b"was a file")
    node.mkdir(b"was a file")
    node.replica.apply(Rmdir(ROOT, b"was a directory", node.time()))
    node.create(b"was a directory")
    head = await chronicle.commit()
    with chronicle.opened() as past:
        for name in (b"was a file", b"was a directory"):
            with pytest.raises(InTheWay, match="use --to"):
                await restored(chronicle, past, then, (name,))
        with pytest.raises(InTheWay, match="is no directory now"):
            await restored(chronicle, past, head, (b"was a file",), (b"was a directory", b"x"))
    assert len(chronicle.bucket.entries) == head


async def test_it_is_rebased_like_any_work_and_given_up_if_the_bucket_takes_nothing(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    expected_warnings.append("Changes cannot be committed now")
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    node.write(node.create(b"f"), b"old")
    then = await chronicle.commit()
    node.unlink(b"f")
    await chronicle.commit()
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        node.create(b"meanwhile")
        await chronicle.commit()  # which the copy does not know yet
        daemon = chronicle.reader()
        with past.at(then) as source, past.writable_copy(chronicle.access.device) as replica:
            found = attributes_at(source, (b"f",))
            assert found is not None
            daemon.why = "the bucket is full"
            for why in ("the bucket is full", ""):
                daemon.why = why
                steps = Restoration(source, replica, node.time()).steps(found, (b"f",))
                work = commit(
                    replica, steps, daemon, chronicle.access, chronicle.clock, lambda _: None
                )
                if why:
                    with pytest.raises(Unavailable, match="the bucket is full"):
                        await chronicle.while_time_passes(work)
                else:
                    await chronicle.while_time_passes(work)
    await chronicle.commit()
    assert node.names() == [b"f", b"meanwhile"]
    assert node.read(node.found(b"f").ino) == b"old"


async def test_a_tree_that_was_removed_in_steps_was_whole_before_the_first(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    directory = node.mkdir(b"d")
    inner = node.mkdir(b"inner", directory)
    for number in range(4):
        node.create(b"%d" % number, inner)
    await chronicle.commit()
    node.replica.apply(Rename(inner, b"3", ROOT, b"3", node.time()))
    await chronicle.commit()
    node.unlink(b"0", inner)  # long before
    long_before = await chronicle.commit()
    await chronicle.clock.pass_by(3600)
    for number in (1, 2):
        node.unlink(b"%d" % number, inner)
        await chronicle.commit()
        node.create(b"other work %d" % number)
        await chronicle.commit()
    node.replica.apply(Rmdir(directory, b"inner", node.time()))
    await chronicle.commit()
    node.replica.apply(Rmdir(ROOT, b"d", node.time()))
    await chronicle.commit()
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        (lost,) = deleted_in(past, ROOT)
        assert lost == deletion_at(past, Place(ROOT, b"d"))
        assert (lost.is_directory, lost.before) == (True, long_before)
        (inside,) = deleted_in(past, InodeNo(directory))
        assert inside.place == Place(directory, b"inner")
        with past.at(lost.before) as source:
            assert [path for path in seen(source) if path.startswith(b"/d/")] == [
                b"/d/inner", b"/d/inner/1", b"/d/inner/2",
            ]  # fmt: skip
        with pytest.raises(NoSuchPast, match="was not deleted"):
            deletion_at(past, Place(inner, b"3"))
        with pytest.raises(NoSuchPast, match="was not deleted"):
            deletion_at(past, Place(ROOT, b"never"))


async def test_a_file_that_was_deleted_is_listed_with_its_size_until_its_name_is_taken(
    tmp_path: Path,
) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    for name in (b"gone", b"again"):
        node.write(node.create(name), b"four")
        await chronicle.commit()
        node.unlink(name)
        await chronicle.commit()
    node.create(b"again")
    await chronicle.commit()
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        (lost,) = deleted_in(past, ROOT)
    assert (lost.place.name, lost.size, lost.facts.seq, lost.before) == (b"gone", 4, 2, 1)


async def test_what_another_workstation_removed_before_is_no_part_of_a_deletion(
    tmp_path: Path,
) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    directory = node.mkdir(b"d")
    for name in (b"theirs", b"ours"):
        node.create(name, directory)
    await chronicle.commit()
    other = chronicle.another()
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(other.committer.run())
        await chronicle.clock.until(other.caught_up)
        other.node.unlink(b"theirs", directory)
        await chronicle.clock.until(other.caught_up)
        loop.cancel()
    theirs = await chronicle.commit()
    node.unlink(b"ours", directory)
    await chronicle.commit()
    node.replica.apply(Rmdir(ROOT, b"d", node.time()))
    await chronicle.commit()
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        (lost,) = deleted_in(past, ROOT)
    assert (theirs, lost.before) == (2, 2)
    other.node.close()
