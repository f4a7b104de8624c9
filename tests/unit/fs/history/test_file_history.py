"""What happened to a path is told in order, whatever its name was and whether it still is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from past_fixture import Chronicle

from lucidnode.fs.errors import NoSuchPast
from lucidnode.fs.history.file_history import events_of
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.intents import (
    Link,
    NewExtent,
    Rename,
    Rmdir,
    SetAttributes,
    Unlink,
    Write,
)


async def told(chronicle: Chronicle, *path: bytes) -> list[str]:
    """Return what is told of *path*, each event as a line."""
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        return [
            f"{event.seq} {event.what} {event.path}"
            + (f" from {event.before}" if event.before else "")
            + (f" {event.size}" if event.size is not None else "")
            for event in events_of(past, path)
        ]


async def test_versions_renames_and_the_end_of_a_file(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    directory = node.mkdir(b"film")
    ino = node.create(b"cut", directory)
    node.write(ino, b"one")
    await chronicle.commit()
    node.write(ino, b"three", 0)
    await chronicle.commit()
    node.replica.apply(SetAttributes(ino, node.time(), mode=0o600))
    await chronicle.commit()
    node.replica.apply(Rename(directory, b"cut", ROOT, b"final", node.time()))
    await chronicle.commit()
    node.replica.apply(Rename(ROOT, b"film", ROOT, b"reel", node.time()))
    await chronicle.commit()
    node.unlink(b"final")
    await chronicle.commit()
    assert await told(chronicle, b"final") == [
        "1 created reel/cut 3",
        "2 changed reel/cut 5",
        "3 attributes reel/cut 5",
        "4 renamed final from reel/cut 5",
        "6 deleted final",
    ]
    assert await told(chronicle, b"film", b"cut") == [
        "1 created reel/cut 3",
        "2 changed reel/cut 5",
        "3 attributes reel/cut 5",
    ]
    assert await told(chronicle, b"reel") == [
        "1 created film",
        "1 created reel/cut 3",
        "4 renamed final from reel/cut 5",
        "5 renamed reel from film",
    ]


async def test_a_save_by_another_file_is_one_more_version(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    node.write(node.create(b"doc"), b"1")
    await chronicle.commit()
    node.write(node.create(b"doc~"), b"22")
    await chronicle.commit()
    node.replica.apply(Rename(ROOT, b"doc~", ROOT, b"doc", node.time()))
    await chronicle.commit()
    node.unlink(b"doc")
    node.write(node.create(b"doc"), b"333")
    await chronicle.commit()
    assert await told(chronicle, b"doc") == [
        "1 created doc 1", "3 replaced doc 2", "4 replaced doc 3",
    ]  # fmt: skip


async def test_one_that_is_gone_and_one_that_came_after_are_both_told(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    node.write(node.create(b"doc"), b"1")
    await chronicle.commit()
    node.unlink(b"doc")
    await chronicle.commit()
    node.write(node.create(b"doc"), b"333")
    await chronicle.commit()
    assert await told(chronicle, b"doc") == ["1 created doc 1", "2 deleted doc", "3 created doc 3"]


async def test_a_second_name_is_told_and_the_directory_of_a_lost_tree_is_found(
    tmp_path: Path,
) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    directory = node.mkdir(b"d")
    ino = node.create(b"f", directory)
    await chronicle.commit()
    node.replica.apply(Link(ino, ROOT, b"g", node.time()))
    await chronicle.commit()
    node.replica.apply(Unlink(directory, b"f", node.time()))
    node.replica.apply(Rmdir(ROOT, b"d", node.time()))
    await chronicle.commit()
    assert await told(chronicle, b"d", b"f") == [
        "1 created d/f 0", "2 linked g 0", "3 deleted d/f",
    ]  # fmt: skip
    assert await told(chronicle, b"d") == [
        "1 created d",
        "1 created d/f 0",
        "3 deleted d",
        "3 deleted d/f",
    ]
    with pytest.raises(NoSuchPast, match="nothing called d/x was ever"):
        await told(chronicle, b"d", b"x")


async def test_a_content_that_came_in_parts_is_one_version(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    node = chronicle.node
    ino = node.create(b"film")
    node.write(ino, b"short")
    await chronicle.commit()
    blocks = [node.blocks.seal(b"%d" % number) for number in range(1200)]
    extents = [NewExtent(at * 8, 1, block.id, 0) for at, block in enumerate(blocks)]
    node.replica.apply(Write(ino, extents, blocks, node.time()))
    last = await chronicle.commit()
    assert await told(chronicle, b"film") == ["1 created film 5", f"{last} changed film 9593"]


async def test_the_root_tells_what_came_and_went(tmp_path: Path) -> None:
    chronicle = Chronicle(tmp_path)
    chronicle.node.create(b"a")
    await chronicle.commit()
    chronicle.node.replica.apply(Rename(ROOT, b"a", ROOT, b"b", chronicle.node.time()))
    await chronicle.commit()
    assert await told(chronicle) == ["1 created a 0", "2 renamed b from a 0"]
