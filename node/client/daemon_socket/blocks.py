"""Blocks of a project: fetched, handed over from staging, looked after."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.daemon_socket.transport import PATIENT, DaemonTransport, within
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import BlockId, ProjectId, block_ids

_BLOCK_LIST = msgspec.msgpack.Decoder(wire.BlockList)
_BLOCKS_PUT_BACK = msgspec.msgpack.Decoder(wire.BlocksPutBack)


class DaemonBlocks:
    """The blocks of all projects. What is asked *at_length* may wait long for the network."""

    def __init__(self, transport: DaemonTransport, at_length: DaemonTransport) -> None:
        self._transport = transport
        self._at_length = at_length

    async def obtain(
        self,
        project: ProjectId,
        block: BlockId,
        *,
        patience_s: float,
        as_bytes: bool = False,
        reading: wire.Reading | None = None,
    ) -> tuple[wire.Source, bytes | None]:
        """Have *block* fetched. Returns its source, and its bytes if the cache cannot keep them.

        With None the block is a file in the cache directory now (it may be evicted again later);
        with *as_bytes* its bytes come in any case. Raises NotThere if the bucket says it does not
        exist, Unavailable, after *patience_s* seconds as well, Held sooner than that, if it waits for its
        turn (node/client/in_turn.py), Corrupt; Withheld, if *reading* is an indexer's; and as every method.
        """
        async with self._at_length.request(
            "GET",
            f"/v1/p/{project}/block/{block.hex()}{_query(reading)}",
            headers={
                wire.PATIENCE_HEADER: f"{patience_s:.3f}",
                wire.BYTES_HEADER: str(int(as_bytes)),
            },
            bound=within(patience_s),
        ) as answer:
            source = answer.headers.get(wire.SOURCE_HEADER, "cache")
            if source not in {"cache", "peer", "bucket"}:
                raise Malformed("the daemon named an unknown source")
            body = await answer.read() if answer.status == 200 else None
            return source, body  # type: ignore[return-value]  # checked against Source above

    async def staged(
        self, project: ProjectId, blocks: Sequence[BlockId], ranks: Sequence[int]
    ) -> None:
        """Say that *blocks* now lie in the staging directory, and want uploading by *ranks*."""
        staged = wire.RankedBlocks([bytes(block) for block in blocks], list(ranks))
        await self._transport.tell(f"/v1/p/{project}/staged", staged)

    async def uploaded(self, project: ProjectId, blocks: Sequence[BlockId]) -> list[BlockId]:
        """Return those of *blocks* that are in the bucket."""
        answer = await self._transport.ask(
            f"/v1/p/{project}/uploaded", _listed(blocks), _BLOCK_LIST
        )
        return block_ids(answer.ids)

    async def gone(self, project: ProjectId, blocks: Sequence[BlockId]) -> list[BlockId]:
        """Return those of *blocks*, staged here once, that lie neither here nor in the bucket."""
        answer = await self._transport.ask(f"/v1/p/{project}/gone", _listed(blocks), _BLOCK_LIST)
        return block_ids(answer.ids)

    async def withdraw(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        """Say that nothing needs *blocks*, and that their staged files are about to be deleted."""
        await self._transport.tell(f"/v1/p/{project}/withdraw", _listed(blocks))

    async def given_up(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        """Say that nothing needs *blocks* any more, which are gone."""
        await self._transport.tell(f"/v1/p/{project}/given-up", _listed(blocks))

    async def bad(self, project: ProjectId) -> list[BlockId]:
        """Return blocks whose objects in the bucket were damaged or missing when last looked at."""
        return block_ids((await self._transport.get(f"/v1/p/{project}/bad", _BLOCK_LIST)).ids)

    async def touched(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        """Say that *blocks* were read from the cache directory, so that eviction knows."""
        await self._transport.tell(f"/v1/p/{project}/touched", _listed(blocks))

    async def put_back(
        self, project: ProjectId, blocks: Sequence[BlockId], *, look: bool = False
    ) -> wire.BlocksPutBack:
        """Have those of *blocks* that the bucket has lost put back from what the office holds.

        With *look* what lies there is read, and put back if it is damaged.
        """
        path = f"/v1/p/{project}/put-back{'?look=1' if look else ''}"
        return await self._transport.ask(path, _listed(blocks), _BLOCKS_PUT_BACK, bound=PATIENT)


def _listed(blocks: Sequence[BlockId]) -> wire.BlockList:
    return wire.BlockList([bytes(block) for block in blocks])


def _query(reading: wire.Reading | None) -> str:
    if reading is None:
        return ""
    said = {**reading._asdict(), "ahead": int(reading.ahead)}
    return f"?{urlencode(said)}"
