"""An event loop on virtual time: nothing in it waits, and the same seed gives the same run.

Time stands still while anything can run and then jumps to the next timer. What a program gives to
a thread runs in the loop, a seeded moment later: where there is but one thread for it, in the order in
which it was given. Tasks have the order of their making, so that
sets of them are walked alike in every run.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from math import inf, nextafter
from random import Random  # noqa: TID251  # seeded by the caller
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_MADE_BEFORE_COLLECTING = 100_000
"""Objects, more than were let go."""

WALL_START_NS = 1_950_000_000 * 10**9


class Life:
    """A process of the simulation: what it gave to threads does not happen once it is dead."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True


life: ContextVar[Life | None] = ContextVar("life", default=None)
"""The process that the running task belongs to; tasks inherit it from their makers."""


_DISK_S = 0.005
"""What work in a thread takes at most."""


class _NumberedTask(asyncio.Task[Any]):
    """A task whose hash is its number: an address would be another one in each run."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class _Timer(asyncio.TimerHandle):
    """A timer as the loop sees it."""

    _scheduled: bool


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. Its queues are those of `asyncio.BaseEventLoop`."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[_Timer]
    _stopping: bool
    _timer_cancelled_count: int

    def __init__(self, seed: int | str) -> None:
        super().__init__()
        self._now = 1000.0
        self._random = Random(f"loop {seed}")
        self._tasks_made = 0
        self._thread_ends: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        """When the work ends that executors of one thread have got so far."""
        self.set_task_factory(self._numbered)  # type: ignore[arg-type]  # options as it passes them

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        """Run what can run; if nothing can, jump to the next timer.

        As asyncio has it, but for the files that it asks for each time: here are none.
        """
        ready, timers = self._ready, self._scheduled
        if not ready and not self._stopping:
            while timers and timers[0].cancelled():
                heapq.heappop(timers)._scheduled = False
                self._timer_cancelled_count -= 1
            if not timers:
                raise RuntimeError("everybody waits, and for nothing that will happen")
            self._now = max(self._now, timers[0].when())
        while timers and timers[0].when() <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            if timer.cancelled():
                self._timer_cancelled_count -= 1
            else:
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _numbered(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
    ) -> _NumberedTask:
        task = _NumberedTask.__new__(_NumberedTask)
        self._tasks_made += 1
        task.number = self._tasks_made  # hashed while it is made
        task.__init__(coro, loop=loop, **options)  # type: ignore[misc]
        return task

    def run_in_executor(  # type: ignore[override]  # the stub's own is no coroutine either
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        owner = life.get()

        def run() -> None:
            if owner is not None and not owner.alive:
                return
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001  # as a thread hands it on
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        begins = self.time() + self._random.random() * _DISK_S
        if getattr(executor, "_max_workers", None) == 1:
            # Behind what that thread has to do before: timers with one time run in any order.
            before = self._thread_ends.get(executor, 0.0)
            begins = self._thread_ends[executor] = max(begins, nextafter(before, inf))
        self.call_at(begins, run)
        return future


class LoopClock:
    """The clock of a virtual loop, seen from inside it."""

    def boot(self) -> float:
        return asyncio.get_running_loop().time()

    def wall_ns(self) -> int:
        return WALL_START_NS + int(self.boot() * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SkewedClock(LoopClock):
    """The clock of one workstation: it started at another time, and its wall clock is set anew."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._up_s = random.uniform(0.0, 1e6)
        self.set_anew()

    def set_anew(self) -> None:
        """Have the wall clock jump, by as much as an hour to either side of the true time."""
        most_s = self._random.choice([0.0, 1.0, 60.0, 3600.0])
        self._skew_ns = int(self._random.uniform(-most_s, most_s) * 1e9)

    def boot(self) -> float:
        return super().boot() + self._up_s

    def wall_ns(self) -> int:
        return WALL_START_NS + int(super().boot() * 1e9) + self._skew_ns


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]], seed: int | str) -> T:
    """Run *main()* to its end on a loop of its own."""
    with _little_collected(), asyncio.Runner(loop_factory=lambda: VirtualLoop(seed)) as runner:
        return runner.run(main())


@contextlib.contextmanager
def _little_collected() -> Iterator[None]:
    """Look for cycles seldom, and only among what is made from now on.

    What a run keeps grows with it, and looking through all of that took a seventh of its time.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_MADE_BEFORE_COLLECTING, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
