"""What requests carry, read strictly, and how answers are packed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from aiohttp import web

from lucidnode.node.client import wire
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import (
    MAX_SEQ,
    BlockId,
    ProjectId,
    Seq,
    block_ids,
    parse_project_id,
    parse_seq,
)
from lucidnode.node.client.msgpack import T, decoded
from lucidnode.node.client.roster_entry import Role

_BLOCK_LIST = msgspec.msgpack.Decoder(wire.BlockList)


def project_of(request: web.Request) -> ProjectId:
    """Return the project that the path names. Raises Malformed."""
    return parse_project_id(request.match_info["project"])


def seq_of(request: web.Request) -> Seq:
    """Return the entry that the path names. Raises Malformed."""
    return parse_seq(request.match_info["seq"])


async def message_of(request: web.Request, messages: msgspec.msgpack.Decoder[T]) -> T:
    """Return the message that *request* carries. Raises Malformed."""
    return decoded(messages, await request.read())


async def blocks_of(request: web.Request) -> list[BlockId]:
    """Return the blocks that *request* lists. Raises Malformed."""
    return block_ids((await message_of(request, _BLOCK_LIST)).ids)


def role_of(word: str) -> Role:
    """Return the role that is called *word*. Raises Malformed."""
    match word:
        case "owner" | "editor" | "viewer" as role:
            return role
        case _:
            raise Malformed("no role")


def number_of(text: str) -> int:
    """Return a place in the journal or in an entry. Raises Malformed."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_SEQ))):
        raise Malformed("a number")
    if (number := int(text)) > MAX_SEQ:
        raise Malformed("a number")
    return number


def packed(message: msgspec.Struct) -> web.Response:
    """Answer with *message*."""
    return web.Response(body=msgspec.msgpack.encode(message))


def listed(blocks: Sequence[BlockId]) -> web.Response:
    """Answer with *blocks*."""
    return packed(wire.BlockList([bytes(block) for block in blocks]))


def done() -> web.Response:
    """Answer that it is done, by the status alone."""
    return web.Response(status=204)


def nothing() -> web.Response:
    """Answer that it is done, by a message of no bytes."""
    return web.Response(body=b"")
