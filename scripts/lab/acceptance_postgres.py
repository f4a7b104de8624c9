"""PostgreSQL with its cluster on the mount: loaded, stopped at once as by a crash, and started again.

Rows whose commit was acknowledged are there after each stop, also where all its processes or the mount
were killed, and at the end the cluster starts on the other node.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from lab.command import run
from lab.errors import LabError
from lab.patience import until
from lab.process import ending
from lab.two_nodes import TwoNodes

PACKAGES = ("postgresql", "coreutils", "util-linux")

_FOLDER = "postgres"
_ROUNDS = 6
_ROWS = 150
"""Acknowledged to each client before each stop, at least."""

_CLIENTS = 2
_STOPS = ("immediate", "kill -9", "kill -9 of the mount")
_PATIENCE_S = 180.0

# It refuses root, and the directory of whoever starts this may be closed to its user.
_AS_POSTGRES = [
    "env",
    "-C",
    "/",
    "setpriv",
    "--reuid=postgres",
    "--regid=postgres",
    "--init-groups",
]

_TABLES = """\
CREATE TABLE row (id bigint PRIMARY KEY, body text);
CREATE TABLE account (id int PRIMARY KEY, balance bigint);
INSERT INTO account SELECT number, 0 FROM generate_series(0, 999) AS number;
"""


class Cluster:
    """A PostgreSQL in the directory *root*. It listens in *sockets* and not on the network."""

    def __init__(self, root: Path, sockets: Path) -> None:
        self.root = root
        self._sockets = sockets
        self._programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self._processes: list[psutil.Process] = []
        self._env = {**os.environ, "LC_ALL": "C", "PGHOST": str(sockets), "PGDATABASE": "postgres"}

    def make(self) -> None:
        """Make an empty cluster with a checksum on every page."""
        self._run("initdb", "-D", self.root, "--data-checksums", "-A", "trust", "-E", "UTF8")
        with (self.root / "postgresql.conf").open("a") as settings:
            # Little memory and short logs, so that pages and segments are written all the time.
            settings.write(
                f"listen_addresses = ''\nunix_socket_directories = '{self._sockets}'\n"
                "shared_buffers = 1MB\nmax_wal_size = 32MB\ncheckpoint_timeout = 30s\n"
            )

    def start(self) -> None:
        """Start it. It has recovered on return."""
        log = self._sockets / "log"
        try:
            self._run("pg_ctl", "-D", self.root, "-l", log, "-w", "-t", "170", "start")
        finally:  # one that could not begin in time begins all the same
            with contextlib.suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
                pid = int((self.root / "postmaster.pid").read_text().split()[0])
                process = psutil.Process(pid)
                if str(self.root) in process.cmdline():  # else the file is of an earlier one
                    self._processes = [process]

    def stop(self, how: str) -> None:
        """Stop it: `fast` in order, `immediate` as after a crash."""
        self._run("pg_ctl", "-D", self.root, "-m", how, "-w", "-t", "170", "stop")

    def kill(self) -> None:
        """Kill all its processes, and wait until they have gone."""
        found = list(self._processes)
        for each in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += each.children(recursive=True)
        for each in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        _, alive = psutil.wait_procs(found, timeout=30)
        if alive:
            raise LabError(f"PostgreSQL does not die: {alive}")

    def sql(self, command: str) -> str:
        """Return what psql prints, without decoration."""
        return self._run("psql", *_PLAIN, "-c", command)

    def load(self, script: Path, log: Path) -> subprocess.Popen[bytes]:
        """Have a client work through *script*; it writes to *log* what is committed."""
        words = ["stdbuf", "-oL", *self._argv("psql", *_PLAIN, "-f", script)]
        with log.open("ab") as output, (self._sockets / "said").open("ab") as said:
            return subprocess.Popen(words, stdout=output, stderr=said, env=self._env)

    def _argv(self, program: str, *words: str | Path) -> list[str]:
        return [*_AS_POSTGRES, str(self._programs / program), *map(str, words)]

    def _run(self, program: str, *words: str | Path) -> str:
        return run(self._argv(program, *words), env=self._env, within=_PATIENCE_S)


_PLAIN = ("-qXAt", "-F", " ", "-v", "ON_ERROR_STOP=1")


def run_trial(nodes: TwoNodes, extent: float) -> str:
    """See the module."""
    sockets = nodes.local / "pg"
    sockets.mkdir()
    cluster = Cluster(nodes.here / _FOLDER, sockets)
    cluster.root.mkdir(mode=0o700)
    for folder in (cluster.root, sockets):
        shutil.chown(folder, "postgres", "postgres")
    cluster.make()
    with _running(cluster):
        cluster.sql(_TABLES)
        rounds = max(len(_STOPS), round(_ROUNDS * extent))
        rows = 0
        for number in range(rounds):
            _load_and_stop(nodes, cluster, sockets, number, _STOPS[number % len(_STOPS)])
            cluster.start()
            rows = _assert_sound(cluster, sockets, f"after {_STOPS[number % len(_STOPS)]}")
        for command in ("VACUUM FULL", "REINDEX DATABASE postgres", "CHECKPOINT"):
            cluster.sql(command)
        cluster.stop("fast")
    names = nodes.check(_FOLDER)
    elsewhere = Cluster(nodes.there / _FOLDER, sockets)
    with _running(elsewhere):
        _assert_sound(elsewhere, sockets, "on the other node")
        elsewhere.stop("fast")
    return f"{rounds} stops and kills, {rows} acknowledged rows all there; {names} names"


@contextlib.contextmanager
def _running(cluster: Cluster) -> Iterator[None]:
    try:
        cluster.start()
        yield
    finally:
        cluster.kill()


def _load_and_stop(nodes: TwoNodes, cluster: Cluster, sockets: Path, number: int, how: str) -> None:
    before = len(_acknowledged(sockets))
    with contextlib.ExitStack() as started:
        clients = []
        for client in range(_CLIENTS):
            script = sockets / f"script{client}"
            script.write_text("".join(_statements(client, number)))
            script.chmod(0o644)
            loading = cluster.load(script, sockets / f"acknowledged{client}")
            clients.append(started.enter_context(ending(loading)))

        def enough() -> bool:
            if any(each.poll() is not None for each in clients):
                raise LabError(f"a client ended: {(sockets / 'said').read_text()[-500:]}")
            return len(_acknowledged(sockets)) >= before + _CLIENTS * _ROWS

        until(enough, within=_PATIENCE_S, what="PostgreSQL commits too little")
        match how:
            case "immediate":
                cluster.stop("immediate")
            case "kill -9":
                cluster.kill()
            case _:
                nodes.kill("mount")
                cluster.kill()
                nodes.restart()


def _statements(client: int, number: int) -> Iterator[str]:
    """Yield what a client does: a row of its own, and an update of what the others update, too."""
    first = (client * 1000 + number) * 1_000_000
    for at in range(first, first + 20_000):
        yield f"UPDATE account SET balance = balance + 1 WHERE id = {at % 1000};\n"
        yield f"INSERT INTO row VALUES ({at}, repeat(md5('{at}'), {1 + at % 61})) RETURNING id, md5(body);\n"


def _acknowledged(sockets: Path) -> dict[str, str]:
    """Return the digest of each row whose commit was acknowledged."""
    lines = [
        line
        for log in sockets.glob("acknowledged*")
        # The last line of a client that was killed may be a part of one.
        for line in log.read_text().rpartition("\n")[0].splitlines()
    ]
    return dict(line.split(" ", 1) for line in lines)


def _assert_sound(cluster: Cluster, sockets: Path, when: str) -> int:
    """Return how many rows were acknowledged; raise LabError unless all of them are there."""
    known = _acknowledged(sockets)
    there = dict(
        line.split(" ", 1) for line in cluster.sql("SELECT id, md5(body) FROM row").splitlines()
    )
    if missing := [number for number in known if there.get(number) != known[number]]:
        raise LabError(f"{when}: {len(missing)} acknowledged rows are gone: {missing[:9]}")
    balance = int(cluster.sql("SELECT sum(balance) FROM account"))
    # Each client updates before it inserts, in a transaction of its own.
    if not len(there) <= balance:
        raise LabError(f"{when}: {len(there)} rows, and only {balance} updates before them")
    cluster.sql("SELECT count(*) FROM pg_class, pg_attribute WHERE attrelid = pg_class.oid")
    return len(known)
