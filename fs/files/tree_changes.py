"""Whether this mount takes changes, and where they go."""

from __future__ import annotations

from lucidnode.fs.errors import ReadOnly
from lucidnode.fs.replica.inode import Attributes
from lucidnode.fs.replica.intents import Intent
from lucidnode.fs.replica.replica import Replica


class TreeChanges:
    """The door by which programs change the tree of one mount."""

    def __init__(self, replica: Replica, *, read_only: bool) -> None:
        self._replica = replica
        self._refusal = "mounted read-only" if read_only else ""

    def check_writable(self) -> None:
        """Raise ReadOnly if nothing may be changed here now."""
        if self._refusal:
            raise ReadOnly(self._refusal)
        # At once, not at `close`: what a program writes here would never leave its memory.
        self._replica.check_running()

    def apply(self, intent: Intent) -> Attributes | None:
        """Do *intent*, as `Replica.apply`. Raises a FileError, ReadOnly or NoSpace."""
        self.check_writable()
        return self._replica.apply(intent)
