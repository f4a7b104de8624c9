"""The mounts of a workstation: what they and the daemon tell each other, and what others hear of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.conflicts import ConflictReply
from lucidnode.node.client.daemon_socket.statuses import status_of
from lucidnode.node.client.errors import Malformed, NodeError
from lucidnode.node.client.file_blocks import BlocksPage
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.msgpack import decoded, known
from lucidnode.node.client.pins import PinsReply
from lucidnode.node.client.webhooks import ProjectWebhooks, WebhookReply
from lucidnode.node.daemon_socket.requests import done, number_of, packed, project_of, seq_of
from lucidnode.node.mounts import Mount, MountTable, Relay, lost_topic

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5
"""How often it is looked whether somebody who follows a mount is still there."""

_READER_LENGTH = 64
"""Letters in the name that somebody who reads events gives himself."""

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


class MountRoutes:
    """Lets mounts in with a *welcome*, and answers whoever wants to hear of them."""

    def __init__(
        self,
        mounts: MountTable,
        welcome: Callable[[], Awaitable[mount_messages.MountWelcome]],
        relay: Relay,
        alerts: Alerts,
    ) -> None:
        self._mounts = mounts
        self._welcome = welcome
        self._relay = relay
        self._alerts = alerts

    def routes(self) -> list[web.RouteDef]:
        """See `Room`."""
        return [
            web.get("/v1/p/{project}/events", self._events),
            web.post("/v1/p/{project}/look/{seq}", self._look),
            web.get("/v1/p/{project}/accesses", self._accesses),
            web.get("/v1/p/{project}/changes", self._changes),
        ]

    async def _events(self, request: web.Request) -> web.StreamResponse:
        project = project_of(request)
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
                    heard = known(_FROM_MOUNT, message.data, mount_messages.FROM_MOUNT_KINDS)
                    if heard is not None:
                        mount.heard(heard)
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

    async def _look(self, request: web.Request) -> web.Response:
        seq = seq_of(request)
        self._mounts.tell(project_of(request), mount_messages.Look(seq))
        return done()

    async def _accesses(self, request: web.Request) -> web.StreamResponse:
        mount = self._mounts.mount(project_of(request))
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

    async def _changes(self, request: web.Request) -> web.Response:
        mount = self._mounts.mount(project_of(request))
        asked = request.query
        reader = asked.get("reader", "")
        if not 0 < len(reader) <= _READER_LENGTH:
            raise Malformed("a reader")
        after = number_of(asked["after"]) if "after" in asked else None
        return packed(await mount.events(reader, after, number_of(asked.get("told", "0"))))


async def _send_all(stream: web.WebSocketResponse, mount: Mount) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            await stream.send_bytes(msgspec.msgpack.encode(await mount.outbox.get()))
