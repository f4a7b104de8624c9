"""Looks whether the log of members lies in the bucket as this workstation knows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lucidnode.fs.fsck.finding import ObjectFinding
from lucidnode.fs.fsck.project_objects import ProjectObjects, StoredObject, seq_name
from lucidnode.node.client.in_order import in_order
from lucidnode.node.client.roster_entry import is_item_of


async def check_roster(
    objects: ProjectObjects, log: Sequence[bytes], found: Callable[[ObjectFinding], None]
) -> None:
    """Compare the bucket with the items of *log*, which hold; *found* hears. Raises a NodeError."""

    async def read(number: int) -> StoredObject | None:
        return await objects.read("roster", seq_name(number))

    async for number, there in in_order(range(1, len(log) + 1), read):
        name = seq_name(number)
        if there is None:
            found(ObjectFinding("roster", name, "missing", "no entry lies there"))
        elif not is_item_of(log[number - 1], there.hash):
            found(
                ObjectFinding(
                    "roster", name, "exchanged", "this workstation has seen another entry there"
                )
            )
