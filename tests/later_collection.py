"""A round of a collection on a machine whose clock is days ahead; it stops at each step until told on.

python later_collection.py HOME PROJECT DAYS, with the passphrase as the first line of standard
input. It writes what it is about to do, and does it when a line comes.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from lucidnode import membership
from lucidnode.fs.collection.collector import collect
from lucidnode.fs.collection.round_spec import CollectSpec
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.ids import ProjectId


class LaterClock(SystemClock):
    """The machine's, and *days*."""

    def __init__(self, days: float) -> None:
        super().__init__()
        self._ahead_ns = int(days * 86_400 * 1e9)

    def wall_ns(self) -> int:
        return super().wall_ns() + self._ahead_ns


def _step(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
    sys.stdin.readline()


def main() -> None:
    home, project, days = Path(sys.argv[1]), ProjectId(sys.argv[2]), float(sys.argv[3])
    mine = membership.unlock(home, sys.stdin.readline().rstrip("\n"))
    spec = CollectSpec(
        home=str(home),
        membership=mine,
        project=project,
        after=b"",
        requests=1000,
    )
    told = asyncio.run(collect(spec, LaterClock(days), _step))
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")


if __name__ == "__main__":
    main()
