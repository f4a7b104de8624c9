"""What commands have the daemon do, beyond answering."""

from __future__ import annotations

from lucidnode.node.client.daemon_socket.transport import PATIENT, DaemonTransport


class DaemonOrders:
    """What the daemon does by a word."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    async def give(self, what: str) -> None:
        """Have the daemon do *what*: `cache/clear`, `credentials/renewed` or `exit`, and the like."""
        await self._transport.tell(f"/v1/{what}", bound=PATIENT)

    async def hold_node_key(self, key: bytes) -> None:
        """Have the daemon, which began without one, seal with the node key *key* from now on.

        Raises Refused if it has another.
        """
        await self._transport.tell("/v1/node-key", key)
