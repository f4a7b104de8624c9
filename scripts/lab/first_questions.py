"""`scripts/bench past`: what the first question about the past costs who has read nothing of it.

A project in which so many entries were made, one change each, in this process; then each question by a
workstation of its own. Counts and processor seconds, which other work on the machine changes little.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from lab.life import Life, LifeStore, Writer
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.history.deletions import deleted_in
from lucidnode.fs.history.differences import differences
from lucidnode.fs.history.file_history import events_of
from lucidnode.fs.history.past_at_hand import PastAtHand, past_at_hand
from lucidnode.fs.history.used_space import usage_of, writer_by_version
from lucidnode.fs.replica.inode import ROOT
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.ids import DeviceId, Seq

_WRITER = Writer.of_nobody()

_NS = 10**9


class QuestionFigures(msgspec.Struct, frozen=True):
    """What one question cost after so many *entries*."""

    entries: int
    question: str
    requests: dict[str, int]
    total: int
    cpu_s: float


class _Access:
    """Access of the one who made it all."""

    workstation = "newcomer"

    def __init__(self) -> None:
        self.device = _WRITER.device

    def keys(self) -> ProjectKeys:
        return _WRITER.keys

    def writer_key(self, device: DeviceId, epoch: int) -> bytes | None:
        return _WRITER.public if (device, epoch) == (self.device, 1) else None

    def trusted_key(self, device: DeviceId) -> bytes | None:
        return self.writer_key(device, 1)

    async def refresh(self) -> None:
        """Nobody comes or goes."""


async def _asked(
    name: str, entries: int, store: LifeStore, ask: Callable[[PastAtHand], Awaitable[object]]
) -> QuestionFigures:
    store.requests = Counter()
    begun = time.process_time()
    with tempfile.TemporaryDirectory(prefix="lucidnode-past-") as home:
        async with past_at_hand(
            Path(home) / "project",
            store,  # type: ignore[arg-type]  # nothing is committed
            _Access(),
            SystemClock(),
            lambda: contextlib.nullcontext(lambda _seq: None),
        ) as at_hand:
            await at_hand.open()
            await ask(at_hand)
    cpu_s = round(time.process_time() - begun, 2)
    return QuestionFigures(entries, name, dict(store.requests), sum(store.requests.values()), cpu_s)


async def _questions(entries: int, folder: Path) -> list[QuestionFigures]:
    async with Life.begun(folder / "maker.db", _WRITER, seed=entries) as life:
        while life.seq < entries:
            life.editor.work()
            life.commit((life.seq + 1) * _NS)
            if life.is_due:
                await life.checkpointed()
        newest, store = life.editor.newest(), life.store
    path = tuple(name.encode() for name in newest.parts)
    half = Seq(entries // 2)
    then = datetime.fromtimestamp(half, UTC)

    async def history(at_hand: PastAtHand) -> None:
        assert events_of(at_hand.past, path)

    async def undelete(at_hand: PastAtHand) -> None:
        await at_hand.answered(lambda past: deleted_in(past, ROOT))

    async def usage(at_hand: PastAtHand) -> None:
        assert usage_of(at_hand.past.used(), (), writer_by_version([_WRITER.device])) is not None

    async def state(at_hand: PastAtHand) -> None:
        assert abs(await at_hand.point(then.isoformat(), then + timedelta(days=1)) - half) <= 1
        async with at_hand.state(half) as tree:
            assert tree.attributes(ROOT) is not None

    async def copied(at_hand: PastAtHand) -> None:
        async with at_hand.copied(half) as replica:
            assert replica.exists()

    async def diff(at_hand: PastAtHand) -> None:
        last = at_hand.past.head().seq
        first = Seq(last - 2000)
        await at_hand.reach(first)
        assert differences(at_hand.past, first, last)

    async def whole(at_hand: PastAtHand) -> None:
        await at_hand.open_whole()

    questions: dict[str, Callable[[PastAtHand], Awaitable[None]]] = {
        "history of the newest file": history,
        "what was deleted in a directory": undelete,
        "usage of a project that is not mounted": usage,
        "restore --at the middle, by time": state,
        "mount --at the middle, a look into a snapshot": copied,
        "diff of the last 2,000 entries": diff,
        "the whole past, as before": whole,
    }
    return [await _asked(name, entries, store, ask) for name, ask in questions.items()]


@click.command()
@click.argument("entries", type=int, nargs=-1, required=True)
def main(entries: tuple[int, ...]) -> None:
    """Measure after each number of ENTRIES."""
    found: list[QuestionFigures] = []
    for each in entries:
        with tempfile.TemporaryDirectory(prefix="lucidnode-past-") as folder:
            found += asyncio.run(_questions(each, Path(folder)))
    table = Table("entries", "question", "requests", "of them entries, blocks", "CPU")
    for each_found in found:
        asked = each_found.requests
        parts = f"{asked.get('GET entry', 0):,}, {asked.get('GET block', 0):,}"
        table.add_row(
            f"{each_found.entries:,}",
            each_found.question,
            f"{each_found.total:,}",
            parts,
            f"{each_found.cpu_s} s",
        )
    Console(stderr=True).print(table)
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")


if __name__ == "__main__":
    main()
