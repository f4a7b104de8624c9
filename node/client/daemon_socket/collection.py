"""The blocks of a project in the bucket, listed and deleted: what a collection asks."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.daemon_socket.transport import PATIENT, DaemonTransport
from lucidnode.node.client.ids import BlockId, ProjectId

_BLOCK_PAGE = msgspec.msgpack.Decoder(wire.BlockPage)
_BLOCKS_DELETED = msgspec.msgpack.Decoder(wire.BlocksDeleted)


class DaemonCollection:
    """The blocks of all projects in the bucket."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    async def page(self, project: ProjectId, after: BlockId | None) -> wire.BlockPage:
        """Return blocks that lie in the bucket behind *after*, in order."""
        path = f"/v1/p/{project}/blocks" + (f"?after={after.hex()}" if after else "")
        return await self._transport.get(path, _BLOCK_PAGE)

    async def delete(self, project: ProjectId, blocks: Sequence[BlockId]) -> wire.BlocksDeleted:
        """Have *blocks* deleted from the bucket, but for those that are to be uploaded here."""
        listed = wire.BlockList([bytes(block) for block in blocks])
        path = f"/v1/p/{project}/delete-blocks"
        return await self._transport.ask(path, listed, _BLOCKS_DELETED, bound=PATIENT)
