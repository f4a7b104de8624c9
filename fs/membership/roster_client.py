"""The log of members, as this plane sees it through the daemon."""

from __future__ import annotations

from typing import Protocol

from lucidnode.node.client.wire import RosterLook


class RosterClient(Protocol):
    """What the daemon does for whoever reads the roster (DaemonRoster)."""

    async def entries(self, look: RosterLook = "try") -> list[bytes]:
        """Return all raw roster entries, oldest first, unverified. Raises NodeError."""
