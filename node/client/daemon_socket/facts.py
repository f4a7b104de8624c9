"""What the daemon tells people of itself."""

from __future__ import annotations

from lucidnode.node.client.daemon_facts import Facts, facts_in
from lucidnode.node.client.daemon_socket.transport import PROMPT, DaemonTransport
from lucidnode.node.client.errors import NotThere


class DaemonFacts:
    """The daemon's facts, by their topics."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    async def on(self, topic: str) -> Facts:
        """Return the daemon's facts on *topic*, one of those of `topics` in `node/parts.py`."""
        return facts_in(await self._transport.read(f"/v1/{topic}", timeout=PROMPT))

    async def store_ahead_s(self) -> float | None:
        """Return by how many seconds the store's clock was ahead of ours at its last answer, if it says."""
        try:
            ahead_s: float | None = (await self.on("store-clock"))["ahead_s"]
        except NotThere:
            return None  # a daemon of an earlier release, until it is started anew
        return ahead_s
