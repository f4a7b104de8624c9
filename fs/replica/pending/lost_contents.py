"""What becomes of pending work when blocks that it needs are lost. Pure.

An acknowledged content lies in staging until the bucket has it. If its disk is lost before, the
content is; but only that: each file falls back to what it was before, and all other work goes on.
A content is given up as a whole, since a part of it is a file that nobody wrote.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lucidnode.fs.replica import intents
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.pending.rebase import PendingOperation
from lucidnode.node.client.ids import BlockId


@dataclass(frozen=True, slots=True)
class Losses:
    """The operations that are *dropped*, by number, and the *files* whose newest content is lost.

    Of those that are *bare*, nothing is left that was written after the lost content: loose tails
    would lie over a content that they were not written on.
    """

    dropped: frozenset[int]
    files: tuple[InodeNo, ...]
    bare: frozenset[InodeNo]


def losses(waiting: Sequence[PendingOperation], lost: Collection[BlockId]) -> Losses:
    """Return what of *waiting*, oldest first, goes with the blocks that are *lost*."""
    of_files: dict[InodeNo, list[PendingOperation]] = {}
    creations: dict[InodeNo, list[int]] = {}
    dropped: set[int] = set()
    for item in waiting:
        match item.recorded.intent:
            case intents.Write(ino=ino) | intents.Truncate(ino=ino) | intents.Punch(ino=ino):
                of_files.setdefault(ino, []).append(item)
            case intents.Create() | intents.Restore():
                creations.setdefault(InodeNo(item.recorded.ino), []).append(item.id)
            case intents.NameBlocks(blocks=blocks) if any(block.id in lost for block in blocks):
                dropped.add(item.id)
            case _:
                pass
    files, bare = [], set()
    for ino, items in of_files.items():
        gone = [place for place, item in enumerate(items) if _needs(item, lost)]
        if not gone:
            continue
        files.append(ino)
        end = _begins_anew(items, gone[-1])
        dropped.update(item.id for item in items[_beginning(items, gone[0]) : end])
        if end == len(items):
            bare.add(ino)
            if _beginning(items, gone[0]) == 0:
                dropped.update(creations.get(ino, ()))
    return Losses(frozenset(dropped), tuple(files), frozenset(bare))


def _needs(item: PendingOperation, lost: Collection[BlockId]) -> bool:
    intent = item.recorded.intent
    return isinstance(intent, intents.Write) and any(block in lost for block in _blocks(intent))


def _blocks(write: intents.Write) -> Iterable[BlockId]:
    yield from (block.id for block in write.blocks)
    yield from (extent.block for extent in write.extents)


def _beginning(items: Sequence[PendingOperation], place: int) -> int:
    """Return where the content begins of which the operation at *place* is a part."""
    while place and not _empties(items[place]):
        place -= 1
    return _emptying(items, place, 0)


def _begins_anew(items: Sequence[PendingOperation], place: int) -> int:
    """Return where, after *place*, a content begins that needs nothing of the one before."""
    for later in range(place + 1, len(items)):
        if _empties(items[later]):
            return _emptying(items, later, place + 1)
    return len(items)


def _emptying(items: Sequence[PendingOperation], place: int, first: int) -> int:
    """Return where, from *first* on, the cut begins of which the one at *place* is the last step.

    A huge file is emptied in steps (fs/replica/local_operations.py), all of one time.
    """
    while place > first and _is_one_cut(items[place - 1], items[place]):
        place -= 1
    return place


def _is_one_cut(item: PendingOperation, following: PendingOperation) -> bool:
    cut, rest = item.recorded.intent, following.recorded.intent
    return (
        isinstance(cut, intents.Truncate)
        and isinstance(rest, intents.Truncate)
        and cut.time_ns == rest.time_ns
        and cut.size > rest.size
    )


def _empties(item: PendingOperation) -> bool:
    intent = item.recorded.intent
    return isinstance(intent, intents.Truncate) and intent.size == 0
