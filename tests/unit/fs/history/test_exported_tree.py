"""What is exported is there as it was, with all that belongs to it, or told to be missing."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from committer_fixture import KEYS
from past_fixture import Chronicle

from lucidnode.fs.format.block import seal
from lucidnode.fs.history.exported_tree import Exported, TreeExport, size_below
from lucidnode.fs.history.restoration import attributes_at
from lucidnode.fs.history.tar_export import TarExport
from lucidnode.fs.replica.inode import InodeNo, Kind
from lucidnode.fs.replica.intents import Link, NewExtent, SetAttributes, Write
from lucidnode.node.client.errors import NotThere
from lucidnode.node.client.ids import BlockId, ProjectId
from lucidnode.node.client.wire import Source


class Bodies:
    """Real blocks by id."""

    def __init__(self) -> None:
        self.held: dict[BlockId, bytes] = {}

    def write(self, chronicle: Chronicle, ino: InodeNo, data: bytes, offset: int = 0) -> BlockId:
        name, sealed = seal(KEYS, data)
        self.held[name.id] = sealed
        extent = NewExtent(offset, len(data), name.id, 0)
        chronicle.node.replica.apply(Write(ino, [extent], [name], chronicle.node.time()))
        return name.id

    async def obtain(
        self, project: ProjectId, block: BlockId, *, patience_s: float, as_bytes: bool = False
    ) -> tuple[Source, bytes | None]:
        assert as_bytes
        if block not in self.held:
            raise NotThere("no such block")
        return "bucket", self.held[block]


async def exported(
    chronicle: Chronicle, bodies: Bodies, target: Path, *, resume: bool = False
) -> Exported:
    """Export what is in `d`; what was said of how far it is comes to the end, and no further."""
    done: list[int] = []
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        found = attributes_at(past.now, (b"d",))
        assert found is not None
        export = TreeExport(past.now, KEYS, bodies, done.append, resume=resume)
        told = await export.write(found, target)
        assert min(done) >= 0
        assert sum(done) == size_below(past.now, found)
    return told


async def test_names_contents_and_attributes_are_as_they_were(tmp_path: Path) -> None:
    chronicle, bodies = Chronicle(tmp_path), Bodies()
    node = chronicle.node
    directory = node.mkdir(b"d")
    ino = node.create(b"holes", directory)
    for number in range(20):
        bodies.write(chronicle, ino, b"%d" % number * 1000, number * 100_000)
    node.truncate(ino, 3_000_000)
    node.set_xattr(ino, b"user.grade", b"warm")
    node.replica.apply(
        SetAttributes(ino, node.time(), mode=0o4751, uid=os.geteuid(), gid=os.getegid(), mtime_ns=5)
    )
    node.replica.apply(Link(ino, directory, b"also", node.time()))
    node.create(b"link", directory, Kind.SYMLINK, b"/etc/passwd")
    node.create(b"raw \xff", directory)
    node.replica.apply(SetAttributes(directory, node.time(), mode=0o750, mtime_ns=7_000_000_000))
    await chronicle.commit()
    target = tmp_path / "out"
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        below = attributes_at(past.now, (b"d",))
        assert below is not None
        assert size_below(past.now, below) == 3_000_000, "a hard link counts once"
    told = await exported(chronicle, bodies, target)
    assert (told.files, told.size, told.missing) == (3, 3_000_000, [])
    wanted = bytearray(3_000_000)
    for number in range(20):
        part = b"%d" % number * 1000
        wanted[number * 100_000 : number * 100_000 + len(part)] = part
    assert (target / "holes").read_bytes() == wanted
    found = (target / "holes").stat()
    assert (found.st_mode & 0o7777, found.st_mtime_ns, found.st_nlink) == (0o751, 5, 2)
    assert (target / "also").samefile(target / "holes")
    assert os.readlink(target / "link") == "/etc/passwd"
    assert (target.stat().st_mtime, target.stat().st_mode & 0o7777) == (7, 0o750)
    assert b"raw \xff" in os.listdir(os.fsencode(target))


async def test_a_file_of_which_a_block_is_gone_or_another_is_left_out_and_told(
    tmp_path: Path,
) -> None:
    chronicle, bodies = Chronicle(tmp_path), Bodies()
    directory = chronicle.node.mkdir(b"d")
    files = [chronicle.node.create(name, directory) for name in (b"gone", b"spoiled", b"whole")]
    gone, spoiled, whole = (bodies.write(chronicle, ino, b"content %d" % ino) for ino in files)
    chronicle.node.replica.apply(Link(files[0], directory, b"also", chronicle.node.time()))
    await chronicle.commit()
    del bodies.held[gone]
    bodies.held[spoiled] = bodies.held[whole]
    told = await exported(chronicle, bodies, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["whole"]
    assert [Path(path).name for path, _ in sorted(told.missing)] == ["also", "gone", "spoiled"]


async def test_what_was_broken_off_is_finished_and_what_is_whole_stays(tmp_path: Path) -> None:
    chronicle, bodies = Chronicle(tmp_path), Bodies()
    directory = chronicle.node.mkdir(b"d")
    for name in (b"cut", b"half", b"whole"):
        bodies.write(chronicle, chronicle.node.create(name, directory), b"all of " + name)
    linked = chronicle.node.create(b"one", directory)
    chronicle.node.replica.apply(Link(linked, directory, b"two", chronicle.node.time()))
    chronicle.node.create(b"link", directory, Kind.SYMLINK, b"whole")
    await chronicle.commit()
    target = tmp_path / "out"
    await exported(chronicle, bodies, target)
    inode = (target / "whole").stat().st_ino
    times = (target / "half").stat()
    (target / "half").write_bytes(bytes(times.st_size))  # its time was not set yet
    (target / "cut").write_bytes(b"c")
    os.utime(target / "cut", ns=(times.st_atime_ns, times.st_mtime_ns))
    (target / "one").unlink()
    (target / "link").unlink()
    told = await exported(chronicle, bodies, target, resume=True)
    assert (told.files + told.unchanged, told.missing) == (5, [])
    assert (target / "half").read_bytes() == b"all of half"
    assert (target / "cut").read_bytes() == b"all of cut"
    assert (target / "whole").stat().st_ino == inode
    assert (target / "two").samefile(target / "one")
    assert os.readlink(target / "link") == "whole"


async def test_an_archive_unpacks_to_what_was_there(tmp_path: Path) -> None:
    chronicle, bodies = Chronicle(tmp_path), Bodies()
    node = chronicle.node
    directory = node.mkdir(b"d")
    ino = node.create(b"holes", directory)
    bodies.write(chronicle, ino, b"begin")
    bodies.write(chronicle, ino, b"end", 2_000_000)
    node.truncate(ino, 3_000_001)
    node.set_xattr(ino, b"user.grade", b"\xffwarm")
    node.replica.apply(SetAttributes(ino, node.time(), mode=0o4751, mtime_ns=5_000_000_007))
    node.replica.apply(Link(ino, directory, b"z also", node.time()))
    node.create(b"link", directory, Kind.SYMLINK, b"/etc/passwd")
    node.create(b"raw \xff " + b"n" * 200, directory)
    node.mkdir(b"empty", directory)
    gone = node.create(b"gone", directory)
    bodies.write(chronicle, gone, b"first")
    del bodies.held[bodies.write(chronicle, gone, b"second", 5)]
    await chronicle.commit()
    archive = io.BytesIO()
    done: list[int] = []
    with chronicle.opened() as past:
        await chronicle.read_on(past)
        found = attributes_at(past.now, (b"d",))
        assert found is not None
        export = TarExport(past.now, KEYS, bodies, archive, done.append)
        told = await export.write(found, "d")
        assert sum(done) == size_below(past.now, found)
    assert [path for path, _ in told.missing] == ["d/gone"]
    assert told.files == 4
    assert len(archive.getvalue()) % tarfile.RECORDSIZE == 0
    archive.seek(0)
    with tarfile.open(fileobj=archive) as unpacked:
        names = {os.fsencode(each.name) for each in unpacked}
        holes, also = unpacked.getmember("d/holes"), unpacked.getmember("d/z also")
        content, rest = unpacked.extractfile(holes), unpacked.extractfile("d/gone")
        assert content is not None
        assert rest is not None
        data, left = content.read(), rest.read()
        link = unpacked.getmember("d/link")
    assert b"d/raw \xff " + b"n" * 200 in names
    assert {b"d", b"d/empty"} <= names
    assert (holes.mode, also.islnk(), also.linkname) == (0o751, True, "d/holes")
    assert holes.pax_headers["mtime"] == "5.000000007"
    assert os.fsencode(holes.pax_headers["SCHILY.xattr.user.grade"]) == b"\xffwarm"
    assert data == b"begin" + bytes(1_999_995) + b"end" + bytes(999_998)
    assert left == b"first" + bytes(6)
    assert (link.issym(), link.linkname) == (True, "/etc/passwd")
