"""The mounts of a workstation: what they and the daemon tell each other, and what others hear of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import aiohttp
import msgspec
from aiohttp import WSCloseCode

from lucidnode.node.client import mount_messages, wire
from lucidnode.node.client.conflicts import ConflictQuery
from lucidnode.node.client.daemon_socket.statuses import error_of
from lucidnode.node.client.daemon_socket.transport import PATIENT, DaemonTransport
from lucidnode.node.client.errors import DaemonUnreachable, Malformed, Refused
from lucidnode.node.client.file_blocks import BlocksQuery
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.msgpack import decoded, known
from lucidnode.node.client.pins import PinsQuery
from lucidnode.node.client.webhooks import WebhookQuery

_FROM_DAEMON: msgspec.msgpack.Decoder[mount_messages.FromDaemon] = msgspec.msgpack.Decoder(
    type=mount_messages.MountWelcome
    | mount_messages.MountRejected
    | mount_messages.Look
    | mount_messages.RosterNews
    | mount_messages.CopyMet
    | mount_messages.StatusQuery
    | mount_messages.BlocksUploaded
    | mount_messages.OfficeMessage
    | mount_messages.NotLinked
    | mount_messages.Follow
    | mount_messages.Ignore
    | mount_messages.EventsQuery
    | BlocksQuery
    | PinsQuery
    | WebhookQuery
    | ConflictQuery
)
_ACCESSES = msgspec.json.Decoder(mount_messages.Accesses)
_EVENTS_PAGE = msgspec.msgpack.Decoder(mount_messages.EventsPage)


class DaemonEvents:
    """One mount's WebSocket to the daemon. Iterate it for what the daemon says."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, welcome: mount_messages.MountWelcome
    ) -> None:
        self._socket = socket
        self.welcome = welcome

    async def send(self, message: mount_messages.FromMount) -> None:
        """Tell the daemon something. Raises DaemonUnreachable when it has gone."""
        try:
            await self._socket.send_bytes(msgspec.msgpack.encode(message))
        except (aiohttp.ClientError, ConnectionError) as error:
            raise DaemonUnreachable("the daemon closed the connection") from error

    def __aiter__(self) -> AsyncIterator[mount_messages.FromDaemon]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[mount_messages.FromDaemon]:
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                heard = known(_FROM_DAEMON, message.data, mount_messages.FROM_DAEMON_KINDS)
                if heard is not None:
                    yield heard


class DaemonMounts:
    """The mounts of all projects here."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    @contextlib.asynccontextmanager
    async def events(
        self, project: ProjectId, hello: mount_messages.MountHello
    ) -> AsyncIterator[DaemonEvents]:
        """Register this process as a mount of *project* and exchange events with the daemon.

        Raises the error that the daemon gives for turning this mount away, Refused if it is of a release
        that does not understand us, DaemonUnreachable, and Malformed if what answers is no daemon.
        """
        async with self._transport.stream(
            f"/v1/p/{project}/events", max_bytes=wire.MAX_JOURNAL_ENTRY_BYTES + 4096
        ) as socket:
            await socket.send_bytes(msgspec.msgpack.encode(hello))
            first = await socket.receive()
            if first.type is aiohttp.WSMsgType.CLOSE and first.data == WSCloseCode.POLICY_VIOLATION:
                raise Refused(
                    "the daemon that runs is of another release, and does not understand this one: "
                    "run `lucidnode umount` for each mount and `lucidnode exit`, then mount again"
                )
            if first.type is not aiohttp.WSMsgType.BINARY:
                raise DaemonUnreachable("the daemon closed the connection")
            welcome = decoded(_FROM_DAEMON, first.data)
            if isinstance(welcome, mount_messages.MountRejected):
                raise error_of(welcome.status)(welcome.words)
            if not isinstance(welcome, mount_messages.MountWelcome):
                raise Malformed("the daemon did not welcome this mount")
            yield DaemonEvents(socket, welcome)

    async def look(self, project: ProjectId, seq: Seq) -> None:
        """Have the mount of *project* here, if there is one, look for journal entry *seq*."""
        await self._transport.tell(f"/v1/p/{project}/look/{seq}")

    async def accesses(
        self, project: ProjectId, *, names: bool
    ) -> AsyncIterator[mount_messages.Accesses]:
        """Yield what programs ask of the mount of *project* from now on, until it ends.

        Raises NotThere if it is not mounted here.
        """
        path = f"/v1/p/{project}/accesses" + ("?names=1" if names else "")
        async with self._transport.request("GET", path, bound=PATIENT) as answer:
            begun = b""
            async for part in answer.content.iter_any():
                *lines, begun = (begun + part).split(b"\n")
                for line in lines:
                    yield _ACCESSES.decode(line)

    async def changes(
        self, project: ProjectId, reader: str, after: int | None, told: int
    ) -> mount_messages.EventsPage:
        """Return the events of *project* after entry *after*, as `mount_messages.EventsQuery` says.

        Waits some seconds for one. Raises NotThere if it is not mounted here.
        """
        query = {"reader": reader, "told": str(told)}
        if after is not None:
            query["after"] = str(after)
        path = f"/v1/p/{project}/changes?{urlencode(query)}"
        return await self._transport.get(path, _EVENTS_PAGE)
