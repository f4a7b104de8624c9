"""Saves as editors and office programs make them, while the other node reads all the time.

The other sees the whole old or the whole new version, never an error, a mix, or an older one again.
Of a file that is rewritten in place, the kernel may renew its pages while it copies them to a
reader, as with any file system: such a mix must be gone with the next read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random  # noqa: TID251  # seeded

from lab.errors import LabError
from lab.patience import until
from lab.two_nodes import TwoNodes

PACKAGES = ("vim",)

_FOLDER = "saves"
_SAVES = 200
"""Of each kind."""

_VIM_SAVES = 50
"""A start of vim is a quarter of a second."""

_MIB = 1024 * 1024

_IN_PLACE = 100_000
"""Bytes of what is rewritten in place: one request. Of a longer file two versions may be met."""


def run_trial(nodes: TwoNodes, extent: float) -> str:
    """See the module."""
    (nodes.here / _FOLDER).mkdir()
    said = []
    for name, (save, saves, biggest) in _kinds(nodes).items():
        document = f"{_FOLDER}/{name}.txt"
        count = max(5, round(saves * extent))
        in_place = biggest <= _IN_PLACE
        seen, mixes = _watch(nodes, document, save, count, biggest, in_place=in_place)
        mixed = f", {mixes} mixed" if in_place else ""
        said.append(f"{name} {count} ({len(set(seen))} seen in {len(seen)} reads{mixed})")
    nodes.check(_FOLDER)
    return "; ".join(said)


Save = Callable[[Path, bytes], None]


def _kinds(nodes: TwoNodes) -> dict[str, tuple[Save, int, int]]:
    """Return each kind of save, how many of it, and how large a version is at most."""
    return {
        "rename": (_rename, _SAVES, 400_000),
        "synced rename": (_synced_rename, _SAVES, 400_000),
        "backup by link": (_backup_by_link, _SAVES, 400_000),
        "backup and rewrite": (_backup_and_rewrite, _SAVES, _IN_PLACE),
        "vim rewrite": (_vim(nodes, "yes"), _VIM_SAVES, _IN_PLACE),
    }


def _rename(document: Path, content: bytes) -> None:
    scratch = document.with_name(f".{document.name}.tmp")
    scratch.write_bytes(content)
    scratch.replace(document)


def _synced_rename(document: Path, content: bytes) -> None:
    scratch = document.with_name(f"~{document.name}")
    with scratch.open("wb") as file:
        for at in range(0, len(content), 65_536):
            file.write(content[at : at + 65_536])
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(document)
    folder = os.open(document.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _backup_by_link(document: Path, content: bytes) -> None:
    """Save as office programs do: the old version keeps a second name."""
    backup = document.with_name(f"{document.name}~")
    backup.unlink(missing_ok=True)
    if document.exists():
        backup.hardlink_to(document)
    _synced_rename(document, content)


def _backup_and_rewrite(document: Path, content: bytes) -> None:
    if document.exists():
        shutil.copy2(document, document.with_name(f"{document.name}.bak"))
    with document.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _vim(nodes: TwoNodes, copying: str) -> Save:
    def save(document: Path, content: bytes) -> None:
        new = nodes.local / "new"
        new.write_bytes(content)
        commands = [f"set backup backupskip= backupcopy={copying}", f"silent %!cat {new}", "wq!"]
        ex = [word for command in commands for word in ("-c", command)]
        nodes.run("vim", "-Nu", "NONE", "-n", "-es", *ex, document)

    return save


# -- the other node ------------------------------------------------------------------------------


def _watch(
    nodes: TwoNodes, document: str, save: Save, count: int, biggest: int, *, in_place: bool
) -> tuple[list[int], int]:
    """Save *count* versions on a while b reads. Returns the versions that b read, and the mixes."""
    random = Random(document)
    versions = [_version(number, random.randrange(100, biggest), random) for number in range(count)]
    save(nodes.here / document, versions[0])
    there = nodes.there / document
    until(lambda: _is_there(there, versions[0]), within=60, what=f"{document} did not arrive")
    over, wrong = threading.Event(), Counter[str]()
    seen: list[int] = []
    readers = [
        threading.Thread(target=_read_on, args=(each, there, over, wrong, seen, in_place))
        for each in (_by_path, _by_path if in_place else _by_pieces)
    ]
    for reader in readers:
        reader.start()
    try:
        for version in versions[1:]:
            save(nodes.here / document, version)
            over.wait(random.choice((0, 0, 0.05, 0.3)))
        until(lambda: _is_there(there, versions[-1]), within=60, what="the last did not arrive")
    finally:
        over.set()
        for reader in readers:
            reader.join()
    mixes = wrong.pop(_MIXED_ONCE, 0)
    if wrong:
        raise LabError(f"{document}: the other node met {dict(wrong)} in {len(seen)} reads")
    return seen, mixes


def _is_there(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


_MIXED_ONCE = "a mix that was gone with the next read"

Read = Callable[[Path, threading.Event], bytes]


def _by_path(path: Path, _over: threading.Event) -> bytes:
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.read(handle, _MIB)
    finally:
        os.close(handle)


def _by_pieces(path: Path, over: threading.Event) -> bytes:
    """Read slowly through one handle: others are put in the file's place meanwhile."""

    def pieces() -> Iterator[bytes]:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(50_000):
                yield piece
                over.wait(0.02)

    return b"".join(pieces())


def _read_on(
    read: Read,
    path: Path,
    over: threading.Event,
    wrong: Counter[str],
    seen: list[int],
    in_place: bool,
) -> None:
    newest = -1
    was_mixed = False
    while not over.is_set():
        try:
            content = read(path, over)
        except OSError as error:
            wrong[type(error).__name__ + f" {error.errno}"] += 1
            continue
        number = _number(content)
        if number is None:
            is_new = in_place and not was_mixed
            wrong[_MIXED_ONCE if is_new else f"a mix of {len(content)} bytes"] += 1
            was_mixed = True
            continue
        was_mixed = False
        if number < newest:
            wrong[f"version {number} after {newest}"] += 1
        newest = number
        seen.append(number)


def _version(number: int, size: int, random: Random) -> bytes:
    """Return text that tells its number, and whether it is whole."""
    body = "\n".join(random.randbytes(30).hex() for _ in range(size // 61 + 1))
    whole = f"{number}\n{body}\n"
    return f"{hashlib.sha256(whole.encode()).hexdigest()}\n{whole}".encode()


def _number(content: bytes) -> int | None:
    """Return the number of a whole version, None for anything else."""
    digest, _, whole = content.partition(b"\n")
    if hashlib.sha256(whole).hexdigest().encode() != digest:
        return None
    return int(whole.partition(b"\n")[0])
