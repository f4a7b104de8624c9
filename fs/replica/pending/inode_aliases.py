"""Directories that two nodes made under one name, and that became one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import Intent

_FIELDS = ("parent", "new_parent", "ino")


class InodeAliases:
    """Which directory of ours is which of another node's now.

    The kernel and its users may know the old number until they ask for the name again, a shell
    that stands in the directory for longer. After an unmount nobody does, so memory is enough.
    """

    def __init__(self) -> None:
        self._now: dict[InodeNo, InodeNo] = {}

    def add(self, merged: Mapping[InodeNo, InodeNo]) -> None:
        """Remember that each key is its value now."""
        self._now.update(merged)

    def forget(self, returned: Iterable[InodeNo]) -> None:
        """Let the numbers *returned* mean themselves: they are in the tree again."""
        for ino in returned:
            self._now.pop(ino, None)

    def now(self, ino: InodeNo) -> InodeNo:
        """Return the number that *ino* has now."""
        while ino in self._now:
            ino = self._now[ino]
        return ino

    def redirected(self, intent: Intent) -> Intent:
        """Return *intent* about the directories as they are now."""
        if not self._now:
            return intent
        changed = {
            field: self.now(value)
            for field in _FIELDS
            if (value := getattr(intent, field, None)) in self._now
        }
        return msgspec.structs.replace(intent, **changed) if changed else intent
