"""`flock` and `fcntl` locks of programs on two mounts: as if they were on one."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from daemon_fixture import Workstation, eventually, workstations
from lab.acceptance_one_mount import run_machine
from lab.locked_programs import APPENDS, INSERTS, RECORD_BYTES, at_once
from lockers import lock_processes
from range_locks import RangeLocks, locking

from lucidnode.cli.lock_orders import taken_when_free
from lucidnode.fs.errors import HeldElsewhere

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(180)]

RECORDS = int(os.environ.get("LOCKED_RECORDS", "50"))
"""What each of two processes appends: a thousand with LOCKED_RECORDS=1000."""

_PATIENCE_S = 150.0


@pytest.fixture(scope="module")
def stations(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Workstation, Workstation]]:
    with workstations(tmp_path_factory.mktemp("pair"), 2) as [one, other]:
        one.mount(lock_on_open=("*.prproj",))
        other.mount(lock_on_open=("*.prproj",), consistency="strict")
        yield one, other


@pytest.fixture(scope="module")
def pair(stations: tuple[Workstation, Workstation]) -> tuple[Path, Path]:
    one, other = stations
    return one.mountpoint, other.mountpoint


def _has_size(path: Path, size: int) -> bool:
    return path.stat().st_size == size


def test_what_two_nodes_append_under_a_lock_is_all_there_in_order(pair: tuple[Path, Path]) -> None:
    logs = [mount / "bin.log" for mount in pair]
    logs[0].touch()
    eventually(logs[1].exists)

    at_once(APPENDS, logs, RECORDS, _PATIENCE_S)

    for log in logs:
        eventually(partial(_has_size, log, 2 * RECORDS * RECORD_BYTES))
    lines = logs[0].read_bytes()
    assert logs[1].read_bytes() == lines
    records = [line.split() for line in lines.splitlines()]
    assert [int(place) for place, _, _ in records] == list(range(2 * RECORDS))
    for who in (b"who0", b"who1"):
        assert [int(number) for _, writer, number in records if writer == who] == list(
            range(RECORDS)
        )
    assert not any(list(mount.glob("*conflict*")) for mount in pair)


def test_who_waits_for_a_lock_of_another_node_gets_it_when_it_is_let_go(
    pair: tuple[Path, Path],
) -> None:
    (pair[0] / "bin").touch()
    eventually((pair[1] / "bin").exists)
    with lock_processes(1, pair[0]) as [one], lock_processes(2, pair[1]) as [other, killed]:
        for process in (one, other, killed):
            process.do("open", 0, "bin")
        assert one.do("set", 0, fcntl.F_WRLCK, 0, 10) == [0]
        assert one.do("flock", 0, fcntl.LOCK_EX) == [0]
        assert other.do("set", 0, fcntl.F_WRLCK, 5, 1) == [errno.EAGAIN]
        assert other.do("flock", 0, fcntl.LOCK_EX | fcntl.LOCK_NB) == [errno.EAGAIN]
        [in_the_way] = other.do("test", 0, fcntl.F_RDLCK, 5, 1)
        assert isinstance(in_the_way, list)
        assert (in_the_way[0], in_the_way[-1]) == (fcntl.F_WRLCK, 0)
        for process in (other, killed):
            process.begin("wait", 0, fcntl.F_WRLCK, 5, 1)
            eventually(process.waits)
        killed.close()
        assert one.do("flock", 0, fcntl.LOCK_UN) == [0]
        assert one.do("set", 0, fcntl.F_UNLCK, 0, 10) == [0]
        assert other.end() == [0]
        assert one.do("set", 0, fcntl.F_WRLCK, 0, 10) == [errno.EAGAIN]


def test_a_database_with_writers_on_two_nodes_is_whole(pair: tuple[Path, Path]) -> None:
    bases = [mount / "shots.db" for mount in pair]
    made = sqlite3.connect(bases[0])
    made.execute("CREATE TABLE shots (place INTEGER PRIMARY KEY, who TEXT, number INTEGER)")
    made.commit()
    made.close()
    eventually(bases[1].exists)

    at_once(INSERTS, bases, max(RECORDS // 5, 10), _PATIENCE_S)

    for path in bases:
        base = sqlite3.connect(path, timeout=60)
        assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert base.execute("SELECT count(*) FROM shots").fetchone() == (2 * max(RECORDS // 5, 10),)
        base.close()
    assert not any(list(mount.glob("*conflict*")) for mount in pair)


def test_a_file_that_is_taken_on_one_node_can_only_be_read_on_the_other(
    pair: tuple[Path, Path],
) -> None:
    mine, theirs = (mount / "cut.txt" for mount in pair)
    mine.write_bytes(b"first cut")
    eventually(lambda: theirs.exists() and theirs.read_bytes() == b"first cut")
    os.setxattr(mine, "user.lucid.lock", b"take")
    eventually(partial(_is_taken, theirs))
    for refused in (
        lambda: theirs.open("r+b"),
        lambda: os.truncate(theirs, 0),
        theirs.unlink,
    ):
        with pytest.raises(PermissionError):
            refused()
    with pytest.raises(OSError, match="busy"):
        os.setxattr(theirs, "user.lucid.lock", b"take")
    assert theirs.read_bytes() == b"first cut"
    with mine.open("r+b") as late:
        os.setxattr(theirs, "user.lucid.lock", b"break")
        with theirs.open("r+b") as file:
            file.write(b"other")
        eventually(lambda: not _is_taken(mine))
        late.write(b"late!")
    eventually(lambda: len(list(pair[1].glob("cut*conflict*"))) == 1)
    eventually(lambda: mine.read_bytes() == theirs.read_bytes() == b"other cut")
    [copy] = pair[1].glob("cut*conflict*")
    eventually(lambda: copy.read_bytes()[:5] == b"late!")


def test_who_waits_for_a_lock_that_another_node_has_gets_it_when_it_is_let_go(
    pair: tuple[Path, Path],
) -> None:
    mine, theirs = (mount / "waited.txt" for mount in pair)
    mine.write_bytes(b"first cut")
    eventually(lambda: theirs.exists() and theirs.read_bytes() == b"first cut")
    os.setxattr(mine, "user.lucid.lock", b"take")
    eventually(partial(_is_taken, theirs))
    with pytest.raises(HeldElsewhere):
        taken_when_free(theirs, 0.1)
    told: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(taken_when_free, theirs, 60.0, told.append)
        eventually(lambda: bool(told))
        assert not taking.done()
        os.setxattr(mine, "user.lucid.lock", b"release")
        taking.result()
    assert _is_taken(theirs)
    os.setxattr(theirs, "user.lucid.lock", b"release")


def test_the_first_who_opens_a_project_file_for_writing_has_it_and_what_he_saves_is_read(
    pair: tuple[Path, Path],
) -> None:
    mine, theirs = (mount / "reel.prproj" for mount in pair)
    mine.write_bytes(b"first cut")
    eventually(theirs.exists)
    with mine.open("r+b") as file:
        # That mount asks the bucket at each open, so no time has to pass.
        with pytest.raises(PermissionError):
            theirs.open("r+b")
        assert theirs.read_bytes() == b"first cut"
        file.write(b"final")
    eventually(lambda: _lock(mine) is None)
    assert theirs.read_bytes() == b"final cut"
    with theirs.open("r+b") as file:
        eventually(lambda: _lock(mine) == b"open")
        with pytest.raises(PermissionError):
            mine.open("r+b")
    assert len(list(pair[0].glob("reel*"))) == 1


def _is_taken(path: Path) -> bool:
    return _lock(path) == b"taken"


def _lock(path: Path) -> bytes | None:
    try:
        return os.getxattr(path, "user.lucid.lock")
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return None


def _meet(machine: RangeLocks) -> None:
    """Have programs do what few examples would come upon: 0 and 1 are on one mount, 2 on the other."""
    read, write = fcntl.F_RDLCK, fcntl.F_WRLCK
    for who in (0, 1):
        machine.lock(who, read, (who, 2))
    machine.lock(1, write, (1, 2))  # an upgrade, where another reads
    machine.ask(1, write, (0, 0))
    machine.wait_for_a_while(1, write, (1, 1))
    machine.let_go(0, (1, 1))
    machine.lock(1, write, (1, 2))
    machine.lock(0, read, (0, 2))
    machine.lock(0, read, (0, 1))
    machine.wait_for_a_while(2, read, (0, 1))
    machine.wait(2, write, (0, 0))
    machine.lock(1, read, (1, 1))  # half of it, the other way
    machine.close(1)
    machine.die(0)
    machine.ask(0, read, (3, 1))
    machine.let_go(2, (1, 1))
    machine.teardown()


def test_byte_ranges_are_locked_on_two_mounts_as_a_model_has_them(pair: tuple[Path, Path]) -> None:
    """A short form of `scripts/soak ranges`."""
    happened: Counter[str] = Counter()
    machine = locking(pair, happened)
    _meet(machine())
    assert happened["timed out"], happened
    assert happened["timed out, the other mount in the way"], happened
    assert happened["waited for and got"], happened
    run_machine(machine, examples=2, steps=14, derandomize=True)


def test_locks_and_directories_are_asked_for_in_words_that_name_nothing(
    stations: tuple[Workstation, Workstation],
) -> None:
    one, other = (station.mountpoint for station in stations)
    (one / "bins").mkdir()
    (one / "bins" / "reel 7.avb").write_text("first")
    eventually((other / "bins" / "reel 7.avb").exists)
    for mount in (one, other, one, other):
        with (mount / "bins" / "reel 7.avb").open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
        (mount / "bins" / f"{mount.parent.name}.lck").touch(exist_ok=False)
        (mount / "bins" / f"{mount.parent.name}.lck").unlink()
    eventually(lambda: all(station.words for station in stations))
    words = [word for station in stations for word in station.words]
    assert {len(word) for word in words} == {4 + 32 + 256 + 32}
    inode = (one / "bins" / "reel 7.avb").stat().st_ino.to_bytes(8, "big").lstrip(b"\0")
    assert not any(inode in word or b"lease" in word or b"reel" in word for word in words)


def test_a_lock_on_another_workstation_is_listed_with_its_process(
    stations: tuple[Workstation, Workstation],
) -> None:
    one, other = stations
    (one.mountpoint / "held.avb").touch()
    eventually((other.mountpoint / "held.avb").exists)
    with (one.mountpoint / "held.avb").open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 10, 100)
        expected = (Path("/proc/self/comm").read_text().strip(), os.getpid(), 100, 109)
        eventually(lambda: _listed(other, "held.avb") == [expected])
        assert _listed(one, "held.avb") == [expected]
    eventually(lambda: not _listed(other, "held.avb"))


def _listed(station: Workstation, path: str) -> list[tuple[str, int, int, int | None]]:
    """Return the processes with locks of *path*, as the mount at *station* says."""
    return [
        (holder.program, holder.pid, holder.start, holder.last)
        for token in station.described().locks
        if token.path == path
        for holder in token.holders
    ]
