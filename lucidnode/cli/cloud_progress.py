"""How far files are on their way to the cloud, as a bar while a command waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from lucidnode.cli.background import facts_if_running
from lucidnode.cli.progress import bytes_left
from lucidnode.in_the_cloud import Waited
from lucidnode.node.client.errors import NodeError

_ASK_EVERY_S = 1.0


@contextlib.contextmanager
def cloud_progress(home: Path) -> Iterator[Callable[[Waited], None]]:
    """Show what is left with rate and time left, on a terminal only; gives what hears of each look."""
    if not sys.stderr.isatty():
        yield lambda _waited: None
        return
    with bytes_left("on the way to the cloud") as show:
        asked = -_ASK_EVERY_S

        def looked(waited: Waited) -> None:
            nonlocal asked
            if waited.seconds - asked >= _ASK_EVERY_S:
                asked = waited.seconds
                with contextlib.suppress(NodeError):  # what it waits for goes on all the same
                    show(still_to_go(waited.waiting, asyncio.run(facts_if_running(home, "status"))))

        yield looked


def still_to_go(waiting: Iterable[Path], status: dict[str, Any] | None) -> int:
    """Return how many bytes of the files *waiting* are not in the cloud, as the daemon says on `status`.

    Of a file that it does not list, which has too many beside it, that is all of it.
    """
    listed = [] if status is None else status["on_their_way"]
    left = {Path(each["mountpoint"], each["path"]): each["bytes_left"] for each in listed}
    real = cache(Path.resolve)  # what is mounted is known by its real path
    return sum(_left(real(path.parent) / path.name, left) for path in waiting)


def _left(path: Path, left: dict[Path, int | None]) -> int:
    known = left.get(path)
    if known is not None:
        return known
    with contextlib.suppress(OSError):  # it may be deleted meanwhile
        return path.lstat().st_size
    return 0
