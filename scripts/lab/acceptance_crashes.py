"""The mount, the daemon or both are killed again and again while a program saves files.

What it was told is saved (`close` or `fsync` has returned, and of names that of their directory) is noted
outside the project, and is there after each kill, byte for byte; at the end through an empty cache.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from random import Random  # noqa: TID251  # seeded

from lab.errors import LabError
from lab.two_nodes import TwoNodes

PACKAGES = ()

_FOLDER = "crashes"
_ROUNDS = 50
_NAMES = 40
_SIZES = (0, 3, 5_000, 70_000, 400_000, 2_500_000)
_KILLS = (("mount",), ("daemon",), ("mount", "daemon"), ("daemon", "mount"))


@dataclass
class _Saved:
    """What the program was told, and what it was about to do when it met an error."""

    acknowledged: dict[str, bytes | None] = field(default_factory=dict)
    """The content of each name; None if its removal was acknowledged."""
    beginning: dict[str, bytes | None] = field(default_factory=dict)
    """At most one name: what it is about to hold."""
    partly: bool = False
    """Whether that may also be there in part: it was written in place."""
    count: int = 0


def run_trial(nodes: TwoNodes, extent: float) -> str:
    """See the module."""
    folder = nodes.here / _FOLDER
    folder.mkdir()
    random, saved = Random(4), _Saved()
    rounds = max(3, round(_ROUNDS * extent))
    for number in range(rounds):
        killed = random.choice(_KILLS)
        _run_until_killed(nodes, folder, saved, random, killed)
        nodes.restart()
        _assert_there(folder, saved, f"after kill {number + 1} ({' and '.join(killed)})")
    names = nodes.check(_FOLDER)
    _assert_there(nodes.there / _FOLDER, saved, "on the other node, through an empty cache")
    return f"{rounds} kills, {saved.count} acknowledged saves; {names} names"


def _run_until_killed(
    nodes: TwoNodes, folder: Path, saved: _Saved, random: Random, killed: tuple[str, ...]
) -> None:
    over = threading.Event()
    seed = random.random()
    program = threading.Thread(target=_save_on, args=(folder, saved, Random(seed), over))
    program.start()
    try:
        over.wait(random.uniform(0.02, 2.0))
        nodes.kill(*killed)
        if "mount" not in killed:
            over.wait(random.uniform(0.0, 0.5))  # who writes does not need the daemon
    finally:
        over.set()
        program.join()


def _save_on(folder: Path, saved: _Saved, random: Random, over: threading.Event) -> None:
    """Save one file after the other until it is over, or the mount is gone."""
    saved.beginning.clear()
    while not over.is_set():
        name = f"file {random.randrange(_NAMES)}"
        size = random.choice(_SIZES)
        content: bytes | None = random.randbytes(size)
        act = random.choice((_write, _write, _append, _replace, _replace, _remove))
        if act is _append:
            content = (saved.acknowledged.get(name) or b"") + random.randbytes(min(size, 70_000))
        elif act is _remove:
            content = None
        saved.beginning, saved.partly = {name: content}, act in {_write, _append}
        try:
            act(folder / name, content or b"")
        except OSError:
            return
        saved.acknowledged[name] = content
        saved.beginning = {}
        saved.count += 1


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _append(path: Path, content: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        file.write(content[file.tell() :])
        os.fsync(file.fileno())


def _replace(path: Path, content: bytes) -> None:
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_bytes(content)
    scratch.replace(path)
    _sync(path.parent)


def _remove(path: Path, _content: bytes) -> None:
    path.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _assert_there(folder: Path, saved: _Saved, when: str) -> None:
    for name in saved.acknowledged.keys() | saved.beginning.keys():
        path = folder / name
        found = path.read_bytes() if path.exists() else None
        known = saved.acknowledged.get(name)
        if name not in saved.beginning:
            good = found == known
        else:
            wanted = saved.beginning[name]
            good = found in (known, wanted) or (
                saved.partly and wanted is not None and wanted.startswith(found or b"")
            )
            if good:
                saved.acknowledged[name] = found
        if not good:
            raise LabError(f"{when}: {name} has {_shown(found)}, not {_shown(known)}")
    saved.beginning = {}


def _shown(content: bytes | None) -> str:
    return "no content: it is not there" if content is None else f"{len(content)} bytes"
