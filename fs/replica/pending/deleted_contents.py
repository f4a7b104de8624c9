"""Which pending work made contents of files that are gone, and can go as well. Pure.

A file that is deleted, or replaced, before its upload has ended would be uploaded whole for an entry
that says nothing of it. What wrote it goes; what made, named and removed it stays, since names keep
their order, and cancels out in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.pending.rebase import PendingOperation
from lucidnode.node.client.ids import BlockId


@dataclass(frozen=True, slots=True)
class Deletions:
    """The operations that are *dropped*, by number; from number *first* on all others run again.

    *blocks* are those that the dropped ones named; others may need them.
    """

    first: int
    dropped: frozenset[int]
    blocks: frozenset[BlockId]


def deletions(
    waiting: Sequence[PendingOperation],
    gone: Collection[InodeNo],
    packs: Collection[BlockId],
    is_there: Callable[[InodeNo, bytes], bool],
) -> Deletions | None:
    """Return what of *waiting*, oldest first, goes with the contents of *gone*; None if nothing does.

    *packs* are not staged yet: they stay named. *is_there* tells whether a name is there now.
    """
    files = set(gone) - _carried(waiting, gone, is_there)
    dropped = {item.id for item in waiting if _content_of(item) in files}
    if not dropped:
        return None
    blocks = {block for item in waiting if item.id in dropped for block in _named_by(item)}
    kept = {block for item in waiting if _content_of(item) not in files for block in _used_by(item)}
    shared = {
        item.id
        for item in waiting
        if isinstance(item.recorded.intent, intents.NameBlocks)
        and blocks.difference(kept, packs).issuperset(_named_by(item))
    }
    first = min(item.id for item in waiting if item.id in shared or item.recorded.ino in files)
    return Deletions(first, frozenset(dropped | shared), frozenset(blocks))


def _carried(
    waiting: Sequence[PendingOperation],
    gone: Collection[InodeNo],
    is_there: Callable[[InodeNo, bytes], bool],
) -> set[InodeNo]:
    """Return those of *gone* whose content shall reach the others all the same.

    Of saves that replace each other in one place, the oldest: where each would go with the next,
    others saw none of them for as long as somebody saves faster than the bucket takes it.
    """
    places: dict[tuple[InodeNo, bytes], InodeNo] = {}
    contents = {_content_of(item) for item in waiting}
    for item in waiting:
        intent, replaced = item.recorded.intent, InodeNo(item.recorded.replaced)
        if isinstance(intent, intents.Rename) and replaced in gone and replaced in contents:
            places.setdefault((intent.new_parent, intent.new_name), replaced)
    return {ino for place, ino in places.items() if is_there(*place)}


def _content_of(item: PendingOperation) -> InodeNo | None:
    match item.recorded.intent:
        case intents.Write(ino=ino) | intents.Truncate(ino=ino) | intents.Punch(ino=ino):
            return ino
        case _:
            return None


def _named_by(item: PendingOperation) -> set[BlockId]:
    match item.recorded.intent:
        case intents.Write(blocks=blocks) | intents.NameBlocks(blocks=blocks):
            return {block.id for block in blocks}
        case _:
            return set()


def _used_by(item: PendingOperation) -> set[BlockId]:
    intent = item.recorded.intent
    return _named_by(item) if isinstance(intent, intents.Write) else set()
