"""The end of a mount saves what is unsaved first, and waits for the bucket only if it may."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from lab.virtual_loop import run_virtual

from lucidnode.fs.hand_over import STANDSTILL_S
from lucidnode.fs.unmount_drain import UnmountDrain
from lucidnode.node.client.alerts import Alerts


class Parts:
    """A mount with one change, whose bucket never takes it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def flush_all(self) -> None:
        self.done.append("flushed")

    async def now(self) -> None:
        self.done.append("synced")

    async def drain(self) -> None:
        self.done.append("draining")
        await asyncio.Event().wait()

    def count(self) -> int:
        return 1

    async def on(self, _: str) -> dict[str, Any]:
        return {"uploads": {"bytes": 7}, "alerts": []}


def seconds(parts: Parts, hurried_after_s: float | None) -> float:
    """Return how long the end takes if it is hurried after so many seconds, or never."""

    async def main() -> float:
        part = cast(Any, parts)
        drain = UnmountDrain(part, part, part, part, part, cast(Alerts, NoAlerts()), _nothing)
        at_once = asyncio.Event()
        loop = asyncio.get_running_loop()
        if hurried_after_s is not None:
            loop.call_later(hurried_after_s, at_once.set)
        began = loop.time()
        await drain.run(STANDSTILL_S, at_once)
        return loop.time() - began

    return run_virtual(main, "end of a mount")


def _nothing() -> None:
    """Nothing is locked here."""


class NoAlerts:
    def current(self) -> list[Any]:
        return []


def test_a_mount_that_may_wait_waits_for_one_standstill(expected_warnings: list[str]) -> None:
    expected_warnings.append("1 changes wait for the next mount of this project")
    assert seconds(Parts(), None) == pytest.approx(STANDSTILL_S)


def test_a_mount_that_is_hurried_ends_once_everything_is_saved() -> None:
    parts = Parts()
    assert seconds(parts, 1.5) == pytest.approx(1.5)
    assert parts.done[:2] == ["flushed", "synced"]
