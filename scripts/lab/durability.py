"""What an acknowledgement costs: many small files, and one big one, at each durability.

    PYTHONPATH=scripts .venv/bin/python -P -m lab.durability [--rounds N] [--directory DIR]

Mounts a project of its own at `relaxed` and at `local`, with home and cache in DIR and the bucket in
memory, so that nothing but the mount under test syncs the disk of DIR. Prints the seconds of `tar x`,
each round beside the same into a plain directory there, and how many syncs `strace` counts in the
mount (as root, or where a process may trace its own children's children).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from random import Random  # noqa: TID251 - seeded
from statistics import median
from typing import Any

from lab.errors import LabError
from lab.process import ending

LUCIDNODE = str(Path(sys.executable).with_name("lucidnode"))
SIZE = 6000
LEVELS = ("relaxed", "local")
SYNCS = "fsync,fdatasync,syncfs,sync_file_range"


class Node:
    """A workstation of its own, in *directory*, with its bucket in *bucket*."""

    def __init__(self, directory: Path, bucket: Path) -> None:
        self._directory = directory
        words = directory / "passphrase"
        words.touch(mode=0o600)
        words.write_text("for this measurement\n")
        self._words = words
        self._environment = {
            **os.environ,
            "HOME": str(directory),
            "LUCIDNODE_HOME": str(directory / "home"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self._bucket = bucket

    def found(self) -> None:
        """Make its studio and project; a daemon runs from here on, until `close`."""
        self.run("init", f"file://{self._bucket}", "--passphrase-file", self._words)
        self.run("project", "create", "demo", "--passphrase-file", self._words)

    def close(self) -> None:
        """End its daemon, if one runs."""
        with suppress(subprocess.CalledProcessError):
            self.run("exit")

    def run(self, *words: str | Path) -> str:
        """Run `lucidnode WORDS`."""
        return subprocess.run(
            [LUCIDNODE, *map(str, words)],
            env=self._environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    @contextmanager
    def mounted(self, level: str) -> Iterator[tuple[Path, int]]:
        """Mount at *level*; give the mount point, and the process that serves it."""
        at = self._directory / "mnt"
        self.run("mount", "demo", at, "--durability", level, "--passphrase-file", self._words)
        try:
            status: dict[str, Any] = json.loads(self.run("status", "--json"))
            yield at, status["mounts"][0]["pid"]
        finally:
            self.run("umount", at)


def small_files(archive: Path, count: int) -> None:
    """Make the tar file with *count* small files."""
    chance = Random(1)  # noqa: S311  # the same in each run
    with tarfile.open(archive, "w") as tar:
        for number in range(count):
            entry = tarfile.TarInfo(f"{number // 500:02}/{number:05}")
            entry.size, entry.mtime = SIZE, 1_700_000_000
            tar.addfile(entry, BytesIO(chance.randbytes(SIZE)))


def unpacked(archive: Path, target: Path) -> float:
    """Unpack *archive* into the new directory *target*; return the seconds it took."""
    target.mkdir()
    start = time.monotonic()
    subprocess.run(["tar", "xf", str(archive), "-C", str(target)], check=True)
    return time.monotonic() - start


@contextmanager
def counted(pid: int, report: Path) -> Iterator[None]:
    """Have the syncs of process *pid* and its threads counted into *report*."""
    strace = ["strace", "-f", "-c", "-o", str(report), "-e", f"trace={SYNCS}", "-p", str(pid)]
    with ending(subprocess.Popen(strace, stderr=subprocess.PIPE)) as tracer:
        assert tracer.stderr is not None
        while b"attached" not in (line := tracer.stderr.readline()):
            if not line:
                raise LabError(f"strace ended before it had attached to process {pid}")
        yield
        tracer.terminate()
        tracer.communicate()


def said(report: Path) -> str:
    """Return what strace counted, in a line."""
    found = re.findall(
        r"^\s*[\d.]+\s+\S+\s+\S+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", report.read_text(), re.MULTILINE
    )
    return ", ".join(f"{count} {call}" for count, call in found if call != "total") or "none"


def main() -> None:
    """Measure, and print as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="durability-", dir=asked.directory) as ground,
        tempfile.TemporaryDirectory(prefix="durability-", dir="/dev/shm") as memory,
        closing(Node(Path(ground), Path(memory, "bucket"))) as node,
    ):
        here = Path(ground)
        archive, big = Path(memory, "small.tar"), Path(memory, "big")
        small_files(archive, asked.files)
        chance = Random(2)  # noqa: S311
        big.write_bytes(b"".join(chance.randbytes(1 << 20) for _ in range(asked.mib)))
        node.found()
        taken: dict[str, list[float]] = {"plain": [], **{level: [] for level in LEVELS}}
        for number in range(asked.rounds):
            taken["plain"].append(unpacked(archive, here / f"plain-{number}"))
            for level in LEVELS:
                with node.mounted(level) as (at, _):
                    taken[level].append(unpacked(archive, at / f"{level}-{number}"))
            print({name: round(each[-1], 2) for name, each in taken.items()}, flush=True)
        for name, each in taken.items():
            ratio = median(took / plain for took, plain in zip(each, taken["plain"], strict=True))
            print(f"tar x: {name}: median {median(each):.2f} s, {ratio:.1f} times plain")
        for level in LEVELS:
            for what, command in (
                ("tar x", ["tar", "xf", str(archive), "-C"]),
                (f"cp of {asked.mib} MiB", ["cp", str(big)]),
            ):
                with node.mounted(level) as (at, pid):
                    target = at / f"counted-{level}-{what[:2]}"
                    target.mkdir()
                    with counted(pid, here / "report"):
                        start = time.monotonic()
                        subprocess.run([*command, str(target)], check=True)
                        took = time.monotonic() - start
                        time.sleep(2)  # noqa: TID251  # what follows within a second counts as well
                    print(f"{what} at {level}: {took:.2f} s, {said(here / 'report')}", flush=True)
        for name, target in (("plain", here / "one"),):
            start = time.monotonic()
            subprocess.run(
                ["dd", f"if={big}", f"of={target}", "bs=1M", "conv=fsync", "status=none"],
                check=True,
            )
            print(
                f"dd conv=fsync of {asked.mib} MiB, {name}: {time.monotonic() - start:.2f} s, 1 fsync"
            )


if __name__ == "__main__":
    main()
