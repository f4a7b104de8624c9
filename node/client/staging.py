"""Where a mount puts sealed blocks, and how: the file layout both planes agree on.

    <cache>/blocks/<aa>/<block id>            the evictable cache, written by the daemon only
    <cache>/staging/<project>/<block id>      acknowledged or about to be; eviction never comes here
    <cache>/staging/<project>/.<name>.tmp     being written; removed by the daemon when stale

`aa` are the first two hex digits of the id. A staged block is written once and made durable when its
file's bytes are acknowledged; its permission bits say whether it is, and are durable with it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from blake3 import blake3

from lucidnode.node.client.durable import replace_durably, sync_directory, write_soon
from lucidnode.node.client.ids import BlockId, ProjectId

BLOCKS = "blocks"
STAGING = "staging"

DURABLE, NOT_DURABLE = 0o400, 0o600
"""Permission bits of a staged file that survives a power cut, and of one that may not."""

DOUBTED = 0o700
"""Of one whose sync has failed: no later sync of it is believed, it has to be written again."""

FETCHED = 0o500
"""Permission bits of a cached file that came over the network: what was written here, and moved into
the cache from staging, has others. The one that says so has no other meaning."""


def cached_path(blocks_dir: Path, block: BlockId) -> Path:
    """Return where the cache keeps *block*, held or not."""
    name = block.hex()
    return blocks_dir / name[:2] / name


def staged_path(staging_dir: Path, project: ProjectId, block: BlockId) -> Path:
    """Return where staging keeps *block*, held or not."""
    return staging_dir / project / block.hex()


def make_room_for(staging_dir: Path, project: ProjectId) -> None:
    """Make the directory of *project* in *staging_dir*, durably, if it is not there.

    Never *staging_dir* itself: where that is missing, the disk of the cache is, and what is put in
    its place would be lost once it is back. Blocking; raises FileNotFoundError, in words, then.
    """
    directory = staging_dir / project
    # One with nothing in it may be of a process that died before its sync.
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as held:
        if any(held):
            return
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        raise gone(staging_dir) from None
    sync_directory(staging_dir)


def gone(staging_dir: Path) -> FileNotFoundError:
    """Return what to raise where *staging_dir* is missing."""
    return FileNotFoundError(
        errno.ENOENT,
        f"the cache directory {staging_dir.parent} is missing, and nothing can be kept for its "
        "upload: mount its disk",
    )


def stage(staging_dir: Path, project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
    """Write *ciphertext* durably under its name: file and directory are fsynced on return.

    Blocking; call it from a thread. Writing a block that is already staged is a no-op in effect.
    Raises DiskFull when the disk is full, and leaves nothing behind then.
    """
    make_room_for(staging_dir, project)
    replace_durably(staged_path(staging_dir, project, block), ciphertext, DURABLE)


def stage_soon(staging_dir: Path, project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
    """Write *ciphertext* under its name; `make_durable` has it survive a power cut.

    Blocking; raises as `stage`. Two calls for one block must not meet. What is staged whole
    already is left alone: it may be durable, and acknowledged. `make_room_for` was called before by
    this process: a directory that is there is durable.
    """
    path = staged_path(staging_dir, project, block)
    if not _is_whole(path, block):
        if not path.parent.is_dir():
            make_room_for(staging_dir, project)
        write_soon(path, ciphertext, NOT_DURABLE)


def make_durable(staging_dir: Path, project: ProjectId, blocks: Iterable[BlockId]) -> None:
    """Return once all of *blocks* survive a power cut: each is fsynced, the directory once.

    One without a file has left staging, which happens to what the bucket has. Blocking. Raises
    DiskFull, or OSError that says why the disk refuses; blocks may then be durable or not.
    FileNotFoundError, in words, if all of staging is missing.
    """
    if not staging_dir.is_dir():
        raise gone(staging_dir)
    found = False
    for block in blocks:
        with contextlib.suppress(FileNotFoundError):
            _sync(staged_path(staging_dir, project, block), block)
            found = True
    if found:
        sync_directory(staging_dir / project)


def unstage(staging_dir: Path, project: ProjectId, blocks: Iterable[BlockId]) -> None:
    """Delete the files of *blocks*, which nothing needs; they stay deleted after a power cut.

    Blocking; raises OSError, FileNotFoundError, in words, if all of staging is missing.
    """
    if not staging_dir.is_dir():
        raise gone(staging_dir)
    directory = staging_dir / project
    if directory.is_dir():
        for block in blocks:
            staged_path(staging_dir, project, block).unlink(missing_ok=True)
        sync_directory(directory)


def torn(staging_dir: Path, project: ProjectId, blocks: Iterable[BlockId]) -> set[BlockId]:
    """Return those of *blocks* whose staged files are not whole. Blocking; raises OSError."""
    staged = ((block, staged_path(staging_dir, project, block)) for block in blocks)
    return {block for block, path in staged if path.exists() and not _is_whole(path, block)}


def missing(staging_dir: Path, project: ProjectId, blocks: Iterable[BlockId]) -> set[BlockId]:
    """Return those of *blocks* that are not staged. Blocking; raises OSError."""
    return {block for block in blocks if not staged_path(staging_dir, project, block).exists()}


def is_promised(path: Path) -> bool:
    """Tell whether the staged file at *path* was made durable, so that somebody may rely on it.

    One that was not is what a crash left of a write that nobody was promised anything about. Who asked
    for one that is doubted waits for it still.
    """
    return stat.S_IMODE(path.stat().st_mode) in {DURABLE, DOUBTED}


def _sync(path: Path, block: BlockId) -> None:
    """Make the file durable.

    Also one that says it is: whoever marked it may have been killed before its sync, may be at it,
    or may have failed to sync the directory. If it is true, the sync costs next to nothing.
    """
    with path.open("rb", buffering=0) as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != DOUBTED:
            # The mark first: one sync makes both durable.
            os.fchmod(file.fileno(), DURABLE)
            try:
                os.fsync(file.fileno())
            except OSError:
                # The kernel reports lost pages once and then calls them clean. Whatever comes of the
                # rest here, no sync will say it again.
                os.fchmod(file.fileno(), DOUBTED)
            else:
                return
        content = file.readall()
    if blake3(content).digest() != block:
        raise OSError(errno.EIO, "the disk has lost what was written to it", str(path))
    replace_durably(path, content, DURABLE)


def _is_whole(path: Path, block: BlockId) -> bool:
    try:
        return blake3(path.read_bytes()).digest() == block
    except FileNotFoundError:
        return False
