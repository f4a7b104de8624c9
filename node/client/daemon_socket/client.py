"""All that mounts and the command line may ask of a node daemon, by its topics."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

from lucidnode.node.client.daemon_socket.blocks import DaemonBlocks
from lucidnode.node.client.daemon_socket.checkpoints import DaemonCheckpoints
from lucidnode.node.client.daemon_socket.collection import DaemonCollection
from lucidnode.node.client.daemon_socket.credentials import DaemonCredentials
from lucidnode.node.client.daemon_socket.dashboard import DaemonDashboard
from lucidnode.node.client.daemon_socket.facts import DaemonFacts
from lucidnode.node.client.daemon_socket.file_blocks import DaemonFileBlocks
from lucidnode.node.client.daemon_socket.invitations import DaemonInvitations
from lucidnode.node.client.daemon_socket.journal import DaemonJournal
from lucidnode.node.client.daemon_socket.mounts import DaemonMounts
from lucidnode.node.client.daemon_socket.orders import DaemonOrders
from lucidnode.node.client.daemon_socket.pins import DaemonPins
from lucidnode.node.client.daemon_socket.roster import DaemonRoster
from lucidnode.node.client.daemon_socket.transport import DaemonTransport
from lucidnode.node.client.daemon_socket.webhooks import DaemonWebhooks

_BLOCK_CONNECTIONS = 256
"""Questions for blocks that a mount may have under way; more of them wait for their turn. Each is a
descriptor in both processes."""

_CONNECTIONS = 64
"""Other requests under way: with connections of their own, for a question for a block may wait long
for the network."""


class DaemonClient:
    """The daemon listening at *socket*. Use it as an async context manager.

    What is asked of it raises the errors that `DaemonTransport` tells of.
    """

    def __init__(self, socket: Path) -> None:
        self._transport = transport = DaemonTransport(socket, _CONNECTIONS)
        self._for_blocks = DaemonTransport(socket, _BLOCK_CONNECTIONS)
        self.blocks = DaemonBlocks(transport, self._for_blocks)
        self.checkpoints = DaemonCheckpoints(transport)
        self.collection = DaemonCollection(transport)
        self.credentials = DaemonCredentials(transport)
        self.dashboard = DaemonDashboard(transport)
        self.facts = DaemonFacts(transport)
        self.file_blocks = DaemonFileBlocks(transport)
        self.invitations = DaemonInvitations(transport)
        self.journal = DaemonJournal(transport)
        self.mounts = DaemonMounts(transport)
        self.orders = DaemonOrders(transport)
        self.pins = DaemonPins(transport)
        self.roster = DaemonRoster(transport)
        self.webhooks = DaemonWebhooks(transport)
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        for transport in (self._transport, self._for_blocks):
            await self._open.enter_async_context(transport)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()
