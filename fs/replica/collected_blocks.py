"""The blocks that have been, or will be, deleted from the bucket: nothing new may lie in them."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from lucidnode.fs.format.project_facts import (
    CONDEMNED,
    STANDS_LONGER_NS,
    Condemned,
    condemned_in,
)
from lucidnode.fs.replica.inode import ROOT
from lucidnode.fs.replica.sqlite.rows import RowChange
from lucidnode.fs.replica.tree.queries import Queries
from lucidnode.node.client.ids import BlockId

_PREFIX_BYTES = 8

_NEVER_NS = 2**63


class CollectedBlocks:
    """Knows those of one replica (`Replica.collected`), as far as its head has them.

    Of each id only the beginning is kept, 8 bytes, for there may be millions: it may know too much
    (a block is sealed in another way then, for nothing), never too little.
    """

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._begins: _Begins | None = None

    def changed(self, changes: list[RowChange]) -> None:
        """Hear of *changes* to replicated rows."""
        for table, old, new in changes:
            row = old or new
            if (
                table == "xattr"
                and row is not None
                and row[0] == ROOT
                and bytes(row[1]).startswith(CONDEMNED)
            ):
                self._begins = None
                return

    def is_listed(self, block: BlockId) -> bool:
        """Tell whether *block* is condemned: nothing new is sealed as it."""
        return _is_in(self._known().listed, block)

    def is_final(self, block: BlockId) -> bool:
        """Tell whether no entry may name *block* again."""
        return _is_in(self._known().final, block)

    def has_aged(self, now_ns: int) -> bool:
        """Tell whether there is anything in which no work may wait at *now_ns*: see `is_aged`."""
        return bool(self._known(now_ns).aged)

    def is_aged(self, block: BlockId, now_ns: int) -> bool:
        """Tell whether *block* is final, or on a list that has stood for some days at *now_ns*.

        What waits here in such a block could be away for less than was promised.
        """
        return _is_in(self._known(now_ns).aged, block)

    def _known(self, now_ns: int = 0) -> _Begins:
        """Return what is listed; *now_ns* may make more of it aged, never less."""
        if self._begins is None or now_ns >= self._begins.until_ns:
            lists = [
                found
                for name, value in self._queries.facts(CONDEMNED)
                if (found := condemned_in(name, value)) is not None
            ]
            ages_ns = {each.wall_ns + STANDS_LONGER_NS for each in lists if not each.is_final}
            self._begins = _Begins(
                _begins_of(lists),
                _begins_of(each for each in lists if each.is_final),
                _begins_of(
                    each
                    for each in lists
                    if each.is_final or each.wall_ns + STANDS_LONGER_NS <= now_ns
                ),
                min((each for each in ages_ns if each > now_ns), default=_NEVER_NS),
            )
        return self._begins


class _Begins(NamedTuple):
    listed: array[int]
    final: array[int]
    aged: array[int]
    until_ns: int
    """When more of them is aged."""


def _begins_of(lists: Iterable[Condemned]) -> array[int]:
    return array("Q", sorted(_begin_of(block) for each in lists for block in each.blocks()))


def _is_in(begins: array[int], block: BlockId) -> bool:
    begin = _begin_of(block)
    place = bisect_left(begins, begin)
    return place < len(begins) and begins[place] == begin


def _begin_of(block: BlockId) -> int:
    return int.from_bytes(block[:_PREFIX_BYTES], "big")
