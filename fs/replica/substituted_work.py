"""Pending work lies in other blocks of the same content, where its own may not be named any more."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from lucidnode.fs.format.block import BlockName
from lucidnode.fs.replica import intents
from lucidnode.fs.replica.intents import Intent
from lucidnode.fs.replica.pending.rebase import PendingOperation
from lucidnode.fs.replica.replica_ground import ReplicaGround
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.node.client.ids import BlockId


class SubstitutedWork:
    """Changes the blocks of one replica's pending work (`Replica.substitute`)."""

    def __init__(self, ground: ReplicaGround) -> None:
        self._ground = ground

    def substitute(self, others: Mapping[BlockId, BlockName]) -> None:
        """Have what waits lie in *others* instead of the blocks that are its keys.

        Each has at least the plaintext of its key, at the same offsets, and is staged durably.
        Nothing is in flight. Raises NoSpace.
        """
        assert self._ground.journal.in_flight() is None
        waiting = self._ground.journal.waiting()
        with self._ground.database.transaction() as changes:
            self._ground.database.undo([change for item in waiting for change in item.changes])
            standing = [self._again(item, others, changes) for item in waiting]
            if waiting:
                self._ground.journal.replace_from(waiting[0].id, standing)
        self._ground.journal.reload()
        self._ground.tails.recount_all()
        self._ground.watchers.on_content(None)
        self._ground.watchers.changed(changes)

    def _again(
        self,
        item: PendingOperation,
        others: Mapping[BlockId, BlockName],
        changes: list[RowChange],
    ) -> PendingOperation:
        mark = len(changes)
        recorded = self._ground.operations.run(
            _in_others(item.recorded.intent, others), item.recorded.version
        )
        recorded = replace(
            recorded, behind_tails=item.recorded.behind_tails, replaced=item.recorded.replaced
        )
        self._ground.note(done := changes[mark:])
        return PendingOperation(item.id, recorded, done)


def _in_others(intent: Intent, others: Mapping[BlockId, BlockName]) -> Intent:
    match intent:
        case intents.Write():
            return replace(
                intent,
                extents=[
                    replace(each, block=others[each.block].id) if each.block in others else each
                    for each in intent.extents
                ],
                blocks=[others.get(name.id, name) for name in intent.blocks],
            )
        case intents.NameBlocks():
            return replace(intent, blocks=[others.get(name.id, name) for name in intent.blocks])
        case _:
            return intent
