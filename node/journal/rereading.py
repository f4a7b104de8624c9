"""Which journal entries are read anew, to see that the bucket still holds what it once showed."""

from __future__ import annotations

from collections.abc import Collection

from lucidnode.node.client.ids import Seq

NEW_ONES = 3
"""Entries not read anew yet that a round takes; one that was comes on top, in turn."""


class Rereading:
    """Chooses entries of one project: the newest ones once and soon, after that each in its turn.

    A listing shows what is gone, and not what was exchanged or has rotted where others have built
    on it already: nobody who has an entry ever needs it from the bucket again. Whoever joins does.
    """

    def __init__(self) -> None:
        self._read: dict[Seq, None] = {}
        self._doubtful: set[Seq] = set()

    def due(self, known: Collection[Seq]) -> list[Seq]:
        """Return the entries of *known* to read in this round, doubtful ones first."""
        self._doubtful &= set(known)
        self._read = {seq: None for seq in self._read if seq in known}
        never = sorted(set(known) - self._read.keys() - self._doubtful)
        in_turn = [seq for seq in self._read if seq not in self._doubtful][:1]
        return [*sorted(self._doubtful), *reversed(never[-NEW_ONES:]), *in_turn]

    def was_read(self, seq: Seq, *, is_committed: bool) -> None:
        """Note a look at *seq*; one that settled nothing is repeated in the next round."""
        self._read.pop(seq, None)
        self._read[seq] = None
        if is_committed:
            self._doubtful.discard(seq)
        else:
            self._doubtful.add(seq)
