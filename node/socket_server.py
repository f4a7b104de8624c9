"""The daemon's Unix socket: what mounts and the command line may ask (node/client/wire.py).

Only processes of the daemon's own user are served: the socket is 0600 and every connection's
credentials are checked as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from lucidnode.node.callers import nameless_runner
from lucidnode.node.client import mount_messages, wire
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.conflicts import ConflictReply
from lucidnode.node.client.daemon_socket.statuses import status_of
from lucidnode.node.client.errors import Malformed, NodeError
from lucidnode.node.client.file_blocks import BlocksPage
from lucidnode.node.client.ids import (
    MAX_SEQ,
    BlockId,
    ProjectId,
    block_ids,
    parse_block_id,
    parse_device_id,
    parse_project_id,
    parse_seq,
)
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.pins import PinsReply
from lucidnode.node.client.supervision import Tasks
from lucidnode.node.client.webhooks import ProjectWebhooks, WebhookReply
from lucidnode.node.daemon_socket import DaemonSocket
from lucidnode.node.mounts import Mount, MountTable, Relay, lost_topic
from lucidnode.node.socket_services import (
    ServedBlocks,
    ServedCheckpoints,
    ServedCollection,
    ServedJournal,
    ServedRoster,
)

log = logging.getLogger(__name__)

MAX_PATIENCE_S = 45.0
"""Seconds that one question for a block waits at most."""

_LOOK_EVERY_S = 0.5
"""How often it is looked whether somebody who follows a mount is still there."""

_READER_LENGTH = 64
"""Letters in the name that somebody who reads events gives himself."""

_ROSTER_LOOKS: dict[str, wire.RosterLook] = {"none": "none", "try": "try", "must": "must"}

_COMMIT_REQUEST = msgspec.msgpack.Decoder(wire.CommitRequest)
_CHECKPOINT_LIST = msgspec.msgpack.Decoder(wire.CheckpointList)
_BLOCK_LIST = msgspec.msgpack.Decoder(wire.BlockList)
_RANKED_BLOCKS = msgspec.msgpack.Decoder(wire.RankedBlocks)
_FROM_MOUNT: msgspec.msgpack.Decoder[mount_messages.FromMount] = msgspec.msgpack.Decoder(
    type=mount_messages.MountHello
    | mount_messages.MountStats
    | mount_messages.StatusReply
    | mount_messages.Accesses
    | mount_messages.EventsPage
    | BlocksPage
    | PinsReply
    | ProjectWebhooks
    | WebhookReply
    | ConflictReply
    | mount_messages.OfficeMessage
    | mount_messages.Goodbye
)


class SocketServer:
    """Serves the Unix socket at *path*. Use `async with`."""

    def __init__(
        self,
        listener: DaemonSocket,
        *,
        blocks: ServedBlocks,
        journal: ServedJournal,
        checkpoints: ServedCheckpoints,
        collection: ServedCollection,
        roster: ServedRoster,
        mounts: MountTable,
        welcome: Callable[[], Awaitable[mount_messages.MountWelcome]],
        topics: dict[str, Callable[[], Awaitable[Any]]],
        orders: dict[str, Callable[[], Awaitable[None]]],
        questions: Mapping[str, Callable[[bytes], Awaitable[bytes]]] = MappingProxyType({}),
        relay: Relay,
        tasks: Tasks,
        alerts: Alerts,
    ) -> None:
        self._listener = listener
        self._relay = relay
        self._blocks = blocks
        self._journal = journal
        self._checkpoints = checkpoints
        self._collection = collection
        self._roster = roster
        self._mounts = mounts
        self._welcome = welcome
        self._topics = topics
        self._orders = orders
        self._questions = questions
        self._tasks = tasks
        self._alerts = alerts
        self._runner: web.AppRunner | None = None

    # *orders* are done as they are; *questions* come with a message, and are answered by one.

    async def __aenter__(self) -> None:
        app = web.Application(middlewares=[self._as_errand, _same_user_only])
        project = "/v1/p/{project}"
        app.router.add_get("/v1/roster", self._get_roster)
        app.router.add_post("/v1/roster/{seq}", self._post_roster)
        app.router.add_get(project + "/block/{block}", self._get_block)
        app.router.add_post(project + "/staged", self._post_staged)
        app.router.add_post(project + "/uploaded", self._post_uploaded)
        app.router.add_post(project + "/gone", self._post_gone)
        app.router.add_post(project + "/put-back", self._post_put_back)
        app.router.add_post(project + "/withdraw", self._post_withdraw)
        app.router.add_post(project + "/given-up", self._post_given_up)
        app.router.add_get(project + "/bad", self._get_bad)
        app.router.add_post(project + "/touched", self._post_touched)
        app.router.add_get(project + "/journal/{seq}", self._get_entry)
        app.router.add_post(project + "/journal/{seq}", self._post_entry)
        app.router.add_get(project + "/kept/{seq}", self._get_kept)
        app.router.add_post(project + "/kept/{seq}", self._post_kept)
        app.router.add_get(project + "/lost", self._get_lost)
        app.router.add_get(project + "/checkpoints", self._get_checkpoints)
        app.router.add_post(project + "/delete-checkpoints", self._post_delete_checkpoints)
        app.router.add_get(project + "/attestations", self._get_attestations)
        app.router.add_get(project + "/attestation/{seq}/{device}", self._get_attestation)
        app.router.add_post(project + "/attestation/{seq}", self._post_attestation)
        app.router.add_get(project + "/checkpoint/{seq}", self._get_checkpoint)
        app.router.add_post(project + "/checkpoint/{seq}", self._post_checkpoint)
        app.router.add_get(project + "/blocks", self._get_blocks)
        app.router.add_post(project + "/delete-blocks", self._post_delete_blocks)
        app.router.add_post(project + "/forget", self._post_forget)
        app.router.add_post(project + "/look/{seq}", self._post_look)
        app.router.add_get(project + "/events", self._events)
        app.router.add_get(project + "/accesses", self._get_accesses)
        app.router.add_get(project + "/changes", self._get_changes)
        app.router.add_get("/v1/{topic}", self._get_topic)
        app.router.add_post("/v1/{order:.+}", self._post_order)
        self._runner = await nameless_runner(
            app, max_body_bytes=wire.MAX_JOURNAL_ENTRY_BYTES + 1024 * 1024, shutdown_timeout_s=2
        )
        await web.SockSite(self._runner, self._listener.listening()).start()

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _as_errand(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer *request* as an errand of its own: whatever goes wrong ends it, and no more."""
        errand = self._tasks.create_task(
            _with_errors_as_statuses(request, handler), name=f"answering {request.method} requests"
        )
        try:
            await asyncio.wait({errand})
        finally:
            errand.cancel()
        if errand.cancelled() or errand.exception() is not None:
            return web.Response(status=500, text="the daemon failed at this: its log says at what")
        return errand.result()

    # -- roster ------------------------------------------------------------------------------

    async def _get_roster(self, request: web.Request) -> web.Response:
        look = request.query.get("look", "try")
        if look not in _ROSTER_LOOKS:
            raise Malformed("look: none, try or must")
        return _packed(wire.RosterLog(await self._roster.entries(_ROSTER_LOOKS[look])))

    async def _post_roster(self, request: web.Request) -> web.Response:
        seq = parse_seq(request.match_info["seq"])
        return _packed(await self._roster.append(seq, await request.read()))

    # -- blocks ------------------------------------------------------------------------------

    async def _get_block(self, request: web.Request) -> web.Response:
        block = parse_block_id(request.match_info["block"])
        source, body = await self._blocks.obtain(
            _project(request),
            block,
            patience_s=_patience(request),
            as_bytes=request.headers.get(wire.BYTES_HEADER) == "1",
            reading=_reading(request),
        )
        headers = {wire.SOURCE_HEADER: source}
        if body is None:
            return web.Response(status=204, headers=headers)
        return web.Response(body=body, headers=headers)

    async def _post_staged(self, request: web.Request) -> web.Response:
        staged = decoded(_RANKED_BLOCKS, await request.read())
        blocks = block_ids(staged.ids)
        if len(staged.ranks) != len(blocks):
            raise Malformed("ranks of other blocks")
        await self._blocks.staged(_project(request), blocks, staged.ranks)
        return web.Response(status=204)

    async def _post_uploaded(self, request: web.Request) -> web.Response:
        there = await self._blocks.uploaded(_project(request), await _block_list(request))
        return _packed(wire.BlockList([bytes(block) for block in there]))

    async def _post_gone(self, request: web.Request) -> web.Response:
        gone = await self._blocks.gone(_project(request), await _block_list(request))
        return _packed(wire.BlockList([bytes(block) for block in gone]))

    async def _post_withdraw(self, request: web.Request) -> web.Response:
        self._blocks.withdraw(_project(request), await _block_list(request))
        return web.Response(status=204)

    async def _post_given_up(self, request: web.Request) -> web.Response:
        await self._blocks.given_up(_project(request), await _block_list(request))
        return web.Response(status=204)

    async def _post_put_back(self, request: web.Request) -> web.Response:
        look = request.query.get("look") == "1"
        blocks = await _block_list(request)
        return _packed(await self._blocks.put_back(_project(request), blocks, look=look))

    async def _get_bad(self, request: web.Request) -> web.Response:
        bad = self._blocks.bad(_project(request))
        return _packed(wire.BlockList([bytes(block) for block in bad]))

    async def _post_touched(self, request: web.Request) -> web.Response:
        self._blocks.touched(await _block_list(request))
        return web.Response(status=204)

    # -- journal -----------------------------------------------------------------------------

    async def _get_entry(self, request: web.Request) -> web.Response:
        seq = parse_seq(request.match_info["seq"])
        read = self._journal.proven if "proven" in request.query else self._journal.entry
        held = await read(_project(request), seq)
        signed_here = self._journal.has_signed(held.hash)
        return _packed(wire.Slot(held.hash, held.body, signed_here))

    async def _post_entry(self, request: web.Request) -> web.Response:
        seq = parse_seq(request.match_info["seq"])
        wanted = decoded(_COMMIT_REQUEST, await request.read())
        return _packed(await self._journal.commit(_project(request), seq, wanted))

    async def _get_kept(self, request: web.Request) -> web.Response:
        seq = parse_seq(request.match_info["seq"])
        return web.Response(body=await self._journal.kept(_project(request), seq))

    async def _post_kept(self, request: web.Request) -> web.Response:
        seq = parse_seq(request.match_info["seq"])
        return _packed(await self._journal.put_back(_project(request), seq))

    async def _get_lost(self, request: web.Request) -> web.Response:
        return _packed(
            wire.LostEntries([int(seq) for seq in self._journal.lost(_project(request))])
        )

    async def _get_checkpoints(self, request: web.Request) -> web.Response:
        seqs = await self._checkpoints.seqs(_project(request))
        return _packed(wire.CheckpointList([int(seq) for seq in seqs]))

    async def _post_delete_checkpoints(self, request: web.Request) -> web.Response:
        listed = decoded(_CHECKPOINT_LIST, await request.read())
        seqs = [parse_seq(str(seq)) for seq in listed.seqs]
        deleted = await self._checkpoints.delete(_project(request), seqs)
        return _packed(wire.CheckpointList([int(seq) for seq in deleted]))

    async def _get_attestations(self, request: web.Request) -> web.Response:
        found = await self._checkpoints.attestations(_project(request))
        return _packed(wire.AttestationList([(int(seq), str(device)) for seq, device in found]))

    async def _get_attestation(self, request: web.Request) -> web.Response:
        seq = parse_seq(request.match_info["seq"])
        device = parse_device_id(request.match_info["device"])
        return web.Response(
            body=await self._checkpoints.attestation(_project(request), seq, device)
        )

    async def _post_attestation(self, request: web.Request) -> web.Response:
        seq = parse_seq(request.match_info["seq"])
        await self._checkpoints.attest(_project(request), seq, await request.read())
        return web.Response(status=204)

    async def _get_checkpoint(self, request: web.Request) -> web.Response:
        seq = parse_seq(request.match_info["seq"])
        return web.Response(body=await self._checkpoints.manifest(_project(request), seq))

    async def _post_checkpoint(self, request: web.Request) -> web.Response:
        seq = parse_seq(request.match_info["seq"])
        wanted = decoded(_COMMIT_REQUEST, await request.read())
        return _packed(await self._checkpoints.make(_project(request), seq, wanted))

    async def _get_blocks(self, request: web.Request) -> web.Response:
        after = request.query.get("after")
        start = None if after is None else parse_block_id(after)
        return _packed(await self._collection.page(_project(request), start))

    async def _post_delete_blocks(self, request: web.Request) -> web.Response:
        blocks = block_ids(decoded(_BLOCK_LIST, await request.read()).ids)
        return _packed(await self._collection.delete(_project(request), blocks))

    async def _post_forget(self, request: web.Request) -> web.Response:
        project = _project(request)
        self._mounts.check_free(project)
        await self._journal.forget(project)
        return web.Response(status=204)

    async def _post_look(self, request: web.Request) -> web.Response:
        seq = parse_seq(request.match_info["seq"])
        self._mounts.tell(_project(request), mount_messages.Look(seq))
        return web.Response(status=204)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        project = _project(request)
        stream = web.WebSocketResponse(heartbeat=20, max_msg_size=1024 * 1024)
        await stream.prepare(request)
        try:
            self._mounts.check_free(project)
            welcome = await self._welcome()
        except NodeError as error:
            # The answer to a WebSocket's opening has no room for a sentence.
            refusal = mount_messages.MountRejected(
                status_of(error), str(error) or type(error).__name__
            )
            await stream.send_bytes(msgspec.msgpack.encode(refusal))
            await stream.close()
            return stream
        try:
            await self._converse(stream, project, welcome)
        except NodeError as error:
            log.warning("a mount was disconnected: %s", error)
            await stream.close(code=WSCloseCode.POLICY_VIOLATION, message=str(error).encode()[:120])
        return stream

    async def _converse(
        self,
        stream: web.WebSocketResponse,
        project: ProjectId,
        welcome: mount_messages.MountWelcome,
    ) -> None:
        first = await stream.receive()
        if first.type is not WSMsgType.BINARY:
            return  # it has gone already
        hello = decoded(_FROM_MOUNT, first.data)
        if not isinstance(hello, mount_messages.MountHello):
            raise Malformed("the first message of a mount is its hello")
        mount = Mount(project, hello, self._relay)
        self._mounts.add(mount)
        self._alerts.end(lost_topic(mount.project))
        mount.tell(welcome)
        # It read the log of members before it came, or before a daemon that has gone.
        mount.tell(mount_messages.RosterNews())
        sender = asyncio.ensure_future(_send_all(stream, mount))
        try:
            async for message in stream:
                if message.type is WSMsgType.BINARY:
                    mount.heard(decoded(_FROM_MOUNT, message.data))
            if not mount.has_ended:
                where = mount.hello.mountpoint
                self._alerts.begin(
                    lost_topic(mount.project),
                    f"The mount at {where} has lost its process.",
                    f"If it is not back within half a minute, mount it again at {where}.",
                    lasts_s=EVENT_S,
                )
        finally:
            self._mounts.remove(mount)
            sender.cancel()
            await asyncio.wait([sender])

    async def _get_accesses(self, request: web.Request) -> web.StreamResponse:
        mount = self._mounts.mount(_project(request))
        answer = web.StreamResponse()
        answer.content_type = "application/x-ndjson"
        await answer.prepare(request)
        with (
            contextlib.suppress(ConnectionError),
            mount.followed(names="names" in request.query) as follower,
        ):
            # A client that went away while nothing came is seen by the transport only.
            while not (request.transport is None or request.transport.is_closing()):
                if (message := await follower.take(_LOOK_EVERY_S)) is not None:
                    await answer.write(msgspec.json.encode(message) + b"\n")
                elif follower.over.is_set():
                    break
        return answer

    async def _get_changes(self, request: web.Request) -> web.Response:
        mount = self._mounts.mount(_project(request))
        asked = request.query
        reader = asked.get("reader", "")
        if not 0 < len(reader) <= _READER_LENGTH:
            raise Malformed("a reader")
        after = _number(asked["after"]) if "after" in asked else None
        return _packed(await mount.events(reader, after, _number(asked.get("told", "0"))))

    # -- people ------------------------------------------------------------------------------

    async def _get_topic(self, request: web.Request) -> web.Response:
        topic = self._topics.get(request.match_info["topic"])
        if topic is None:
            raise web.HTTPNotFound(text="no such topic")
        return web.Response(
            body=msgspec.json.encode(await topic()), content_type="application/json"
        )

    async def _post_order(self, request: web.Request) -> web.Response:
        question = self._questions.get(request.match_info["order"])
        if question is not None:
            return web.Response(body=await question(await request.read()))
        order = self._orders.get(request.match_info["order"])
        if order is None:
            raise web.HTTPNotFound(text="no such order")
        await order()
        return web.Response(status=204)


async def _send_all(stream: web.WebSocketResponse, mount: Mount) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            await stream.send_bytes(msgspec.msgpack.encode(await mount.outbox.get()))


async def _block_list(request: web.Request) -> list[BlockId]:
    return block_ids(decoded(_BLOCK_LIST, await request.read()).ids)


def _patience(request: web.Request) -> float:
    try:
        timeout_s = float(request.headers.get(wire.PATIENCE_HEADER, MAX_PATIENCE_S))
    except ValueError:
        raise Malformed("patience") from None
    # Written so that what is no number at all is refused as well.
    if not 0.0 <= timeout_s <= MAX_PATIENCE_S:
        raise Malformed("patience")
    return timeout_s


def _reading(request: web.Request) -> wire.Reading | None:
    """Return who reads, if it is said. Raises Malformed."""
    if "program" not in request.query:
        return None
    program, opening = request.query["program"], request.query.get("opening", "")
    size, ahead = _number(request.query.get("size", "")), request.query.get("ahead", "0")
    if not (0 < len(program) <= wire.MAX_PROGRAM_NAME and 0 < len(opening) <= wire.MAX_OPENING):
        raise Malformed("a program or an opening")
    if size > wire.MAX_BLOCK_CIPHERTEXT_BYTES or ahead not in {"0", "1"}:
        raise Malformed("a reading")
    return wire.Reading(program, opening, size, ahead == "1")


def _number(text: str) -> int:
    """Return a place in the journal or in an entry. Raises Malformed."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_SEQ))):
        raise Malformed("a number")
    if (number := int(text)) > MAX_SEQ:
        raise Malformed("a number")
    return number


def _project(request: web.Request) -> ProjectId:
    return parse_project_id(request.match_info["project"])


def _packed(message: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.msgpack.encode(message))


async def _with_errors_as_statuses(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except NodeError as error:
        return web.Response(status=status_of(error), text=str(error) or type(error).__name__)
    except web.HTTPException as refusal:
        return web.Response(status=refusal.status, text=refusal.text)


@web.middleware
async def _same_user_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    transport = request.transport
    if transport is None:
        raise web.HTTPForbidden(text="the caller has gone")
    connection: socket.socket = transport.get_extra_info("socket")
    # struct ucred, unix(7): pid, uid, gid as three ints.
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", raw)
    if uid not in {os.getuid(), 0}:
        raise web.HTTPForbidden(text="this daemon belongs to another user")
    return await handler(request)
