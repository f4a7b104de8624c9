"""Looks at the checkpoints in the bucket: who made them, where they stand, what they need."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lucidnode.fs.commit.repair.access import RepairAccess
from lucidnode.fs.errors import BadCheckpoint, KeyMissing
from lucidnode.fs.format.block import BlockName
from lucidnode.fs.format.checkpoint import open_checkpoint
from lucidnode.fs.fsck.finding import ObjectFinding
from lucidnode.fs.fsck.project_objects import ProjectObjects, seq_of
from lucidnode.fs.history.past import Past
from lucidnode.node.client.attestation import attestation_of
from lucidnode.node.client.ids import BlockId, DeviceId


async def check_checkpoints(
    objects: ProjectObjects,
    access: RepairAccess,
    past: Past,
    found: Callable[[ObjectFinding], None],
) -> tuple[int, dict[BlockId, BlockName]]:
    """Return how many sound checkpoints there are, and the blocks that they lie in.

    *found* hears what is amiss. Raises a NodeError.
    """
    count = 0
    blocks: dict[BlockId, BlockName] = {}
    async for each in objects.names("checkpoint"):
        seq = seq_of(each.name)
        if attestation_of(each.name) is not None:
            continue  # a word on one: newcomers check it, and nothing is lost without
        if seq is None:
            found(
                ObjectFinding("checkpoint", each.name, "foreign", "no checkpoint has such a name")
            )
            continue
        there = await objects.read("checkpoint", each.name)
        if there is None:
            continue  # it was deleted meanwhile
        try:
            header, contents = open_checkpoint(
                access.keys(), there.body or b"", seq, partial(_key_of_a_writer, access)
            )
        except (BadCheckpoint, KeyMissing) as error:
            found(ObjectFinding("checkpoint", each.name, "damaged", str(error)))
            continue
        if seq <= past.head().seq and header.link != past.log.link(seq):
            found(
                ObjectFinding(
                    "checkpoint", each.name, "exchanged", "it names another entry than the journal"
                )
            )
            continue
        count += 1
        for part in contents.parts:
            blocks |= {BlockId(piece.id): piece.block for piece in part.pieces}
    return count, blocks


def _key_of_a_writer(access: RepairAccess, device: DeviceId) -> bytes | None:
    """Return the key of a device that may write or might once: newcomers ask for more, and pass over others."""
    keys = (access.writer_key(device, epoch) for epoch in access.keys().announced)
    return next((key for key in keys if key is not None), None)
