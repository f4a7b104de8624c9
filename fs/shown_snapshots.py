"""Puts together what shows the snapshots of a project below `.snapshots` of its mount."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator

from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.commit.repair.replica_files import remove
from lucidnode.fs.file_layer import Ground
from lucidnode.fs.files.file_system import FileSystem
from lucidnode.fs.history.past_copy import PastCopySpec, past_copy
from lucidnode.fs.membership.member import shown
from lucidnode.fs.mount_spec import MountSpec
from lucidnode.fs.past_state import past_state
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.replica.tree_reader import TreeReader
from lucidnode.fs.snapshot_tree.files_with_snapshots import FilesWithSnapshots
from lucidnode.fs.snapshot_tree.open_states import OpenStates
from lucidnode.fs.snapshot_tree.snapshot_names import ShownSnapshot
from lucidnode.fs.snapshots.snapshot_row import snapshots_of
from lucidnode.node.client.ids import Seq

_MEMORY_SHARE = 8
"""What one state may hold in memory of its files: one part in so many of what the mount may."""


def with_snapshots(
    ground: Ground, access: ProjectAccess, files: FileSystem, spec: MountSpec
) -> tuple[OpenStates, FilesWithSnapshots]:
    """Return *files* with the snapshots of the project. Keep `OpenStates.run` running."""

    @contextlib.asynccontextmanager
    async def opened(seq: Seq) -> AsyncIterator[FileSystem]:
        wanted = PastCopySpec(
            home=spec.home,
            membership=spec.membership,
            project=spec.project,
            seq=seq,
        )
        async with contextlib.AsyncExitStack() as stack:
            async with past_copy(wanted) as path:
                stack.callback(remove, path)
                replica = Replica.open(path, access.keys().replica, access.workstation)
            stack.enter_context(contextlib.closing(replica))
            memory = ground.memory_limit // _MEMORY_SHARE
            layer = dataclasses.replace(ground, replica=replica, memory_limit=memory)
            yield stack.enter_context(past_state(layer, access))

    tree = ground.replica.tree
    states = OpenStates(opened, ground.clock, ground.tasks)
    visible = spec.snapdir == "visible"
    return states, FilesWithSnapshots(
        files, tree, states, lambda: _snapshots(tree), visible=visible
    )


def _snapshots(tree: TreeReader) -> list[ShownSnapshot]:
    """Return the snapshots of *tree* under names that a directory can have."""
    found = {shown(each.name): each.row for each in snapshots_of(tree)}
    return [
        ShownSnapshot(name.encode(), row.seq, row.wall_ns)
        for name, row in found.items()
        if name not in {".", ".."}
    ]
