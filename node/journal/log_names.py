"""Where a log is kept in the bucket, and what people read of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lucidnode.node.client.ids import Seq


@dataclass(frozen=True, slots=True)
class LogNames:
    """Where a log is kept, and what it is called.

    *folder* is the prefix of all its keys, *key* gives the one of an entry. *called* is for people:
    "journal entry". *topic* is that of its alerts.
    """

    folder: str
    key: Callable[[Seq], str]
    called: str
    topic: str
