"""The file system over a replica that never moves: a project as it was, read-only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.file_layer import (
    Ground,
    file_system,
    read_path,
    remote_effects,
    work_here,
    write_path,
)
from lucidnode.fs.files.file_system import FileSystem
from lucidnode.fs.files.naming import NamedByAll
from lucidnode.fs.files.opening import OpenToAll
from lucidnode.fs.read.block_files import MAX_OPEN_BLOCKS


@contextlib.contextmanager
def past_state(ground: Ground, access: ProjectAccess) -> Iterator[FileSystem]:
    """Have the state that *ground*'s replica stands on, in this block."""
    write = write_path(ground, relaxed=False)
    read = read_path(ground, write, channel=False, most_open=MAX_OPEN_BLOCKS)
    try:
        yield file_system(
            ground,
            write,
            read,
            remote_effects(ground, write, read),
            work_here(ground, write, read, access.device, access.device_name),
            touched=lambda _touched: None,
            commit_wait=None,
            opening=OpenToAll(),
            naming=NamedByAll(),
            freshen=None,
            read_only=True,
        )
    finally:
        read.ahead.stop()
        write.packer.stop()
