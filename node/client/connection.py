"""A typed client of the node daemon's Unix socket, for mounts and the command line."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlencode

import aiohttp
import msgspec

from lucidnode.node.client import file_blocks, mount_messages, wire
from lucidnode.node.client.conflicts import ConflictQuery
from lucidnode.node.client.daemon_facts import Facts, facts_in
from lucidnode.node.client.errors import (
    AccessDenied,
    Archived,
    Corrupt,
    DaemonUnreachable,
    DiskFull,
    Held,
    Malformed,
    NodeError,
    NotThere,
    Refused,
    Unavailable,
    Withheld,
)
from lucidnode.node.client.file_blocks import BlocksPage, BlocksQuery
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq, block_ids
from lucidnode.node.client.msgpack import T, decoded
from lucidnode.node.client.pins import PinnedPart, PinnedProjects, PinsQuery, PinsReply, PinsWish
from lucidnode.node.client.roster_entry import Role
from lucidnode.node.client.webhooks import WebhookQuery

ERROR_OF_STATUS: dict[int, type[NodeError]] = {
    400: Malformed,
    403: AccessDenied,
    404: NotThere,
    406: Withheld,
    409: Refused,
    422: Corrupt,
    423: Archived,
    429: Held,
    503: Unavailable,
    507: DiskFull,
}
"""How the daemon's answers become errors; the daemon maps the same table the other way."""

_BLOCK_CONNECTIONS = 256
"""Questions for blocks that a mount may have under way; more of them wait for their turn. Each is a
descriptor in both processes."""

_CONNECTIONS = 64
"""Other requests under way: with connections of their own, for a question for a block may wait long
for the network."""

_BOUNDED = aiohttp.ClientTimeout(total=120, connect=5)
"""The daemon bounds every wait itself; this is the bound for a daemon that hangs."""

_PROMPT = aiohttp.ClientTimeout(total=30, connect=5)
"""For what it has in memory: after half a minute a service takes it for hanging, and so does a person."""

_PATIENT = aiohttp.ClientTimeout(total=None, connect=5)
"""For commits and drains, which take as long as the uploads they wait for, and for what has no end."""

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
_DASHBOARD_WAY = msgspec.msgpack.Decoder(wire.DashboardWay)
_BLOCKS_PUT_BACK = msgspec.msgpack.Decoder(wire.BlocksPutBack)
_BLOCK_PAGE = msgspec.msgpack.Decoder(wire.BlockPage)
_BLOCKS_DELETED = msgspec.msgpack.Decoder(wire.BlocksDeleted)
_BLOCK_LIST = msgspec.msgpack.Decoder(wire.BlockList)
_LOST_ENTRIES = msgspec.msgpack.Decoder(wire.LostEntries)
_ATTESTATION_LIST = msgspec.msgpack.Decoder(wire.AttestationList)
_CHECKPOINT_LIST = msgspec.msgpack.Decoder(wire.CheckpointList)
_COMMIT_REPLY = msgspec.msgpack.Decoder(wire.CommitReply)
_BLOCKS_PAGE = msgspec.msgpack.Decoder(BlocksPage)
_BLOCK_PLACES = msgspec.msgpack.Decoder(file_blocks.BlockPlaces)
_PINS_REPLY = msgspec.msgpack.Decoder(PinsReply)
_PINNED_PROJECTS = msgspec.msgpack.Decoder(PinnedProjects)
_EVICTED = msgspec.msgpack.Decoder(file_blocks.Evicted)
_ACCESSES = msgspec.json.Decoder(mount_messages.Accesses)
_EVENTS_PAGE = msgspec.msgpack.Decoder(mount_messages.EventsPage)
_WEBHOOK_ADDED = msgspec.msgpack.Decoder(wire.WebhookAdded)
_INVITATION = msgspec.msgpack.Decoder(wire.Invitation)
_INVITATIONS = msgspec.msgpack.Decoder(wire.InvitationList)
_INVITATION_CREATED = msgspec.msgpack.Decoder(wire.InvitationCreated)
_WAY_IN = msgspec.msgpack.Decoder(wire.WayIn)
_ROLE_SET = msgspec.msgpack.Decoder(wire.RoleSet)
_ROLES_UNREACHED = msgspec.msgpack.Decoder(wire.RolesUnreached)
_ROLE_SET_CREATED = msgspec.msgpack.Decoder(wire.RoleSetCreated)
_SLOT = msgspec.msgpack.Decoder(wire.Slot)
_ROSTER_LOG = msgspec.msgpack.Decoder(wire.RosterLog)


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
                yield decoded(_FROM_DAEMON, message.data)


class DaemonClient:
    """Speaks to the daemon listening at *socket*. Use it as an async context manager.

    Every method raises DaemonUnreachable when nobody answers, the error that the daemon's status
    stands for (ERROR_OF_STATUS), Unavailable when its answer does not come in time or breaks off,
    and Malformed for an answer of another shape.
    """

    def __init__(self, socket: Path) -> None:
        self._path = socket
        self._session: aiohttp.ClientSession | None = None
        self._for_blocks: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = self._new_session(_CONNECTIONS)
        self._for_blocks = self._new_session(_BLOCK_CONNECTIONS)
        return self

    def _new_session(self, limit: int) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(self._path), limit=limit), auto_decompress=False
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for session in (self._session, self._for_blocks):
            if session is not None:
                await session.close()

    # -- blocks ------------------------------------------------------------------------------

    async def block(
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
        async with self._request(
            "GET",
            f"/v1/p/{project}/block/{block.hex()}{_query(reading)}",
            headers={
                wire.PATIENCE_HEADER: f"{patience_s:.3f}",
                wire.BYTES_HEADER: str(int(as_bytes)),
            },
            session=self._for_blocks,
            timeout=aiohttp.ClientTimeout(total=max(patience_s, 0.05)),
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
        await self._post(f"/v1/p/{project}/staged", staged)

    async def uploaded(self, project: ProjectId, blocks: Sequence[BlockId]) -> list[BlockId]:
        """Return those of *blocks* that are in the bucket."""
        return await self._which(project, "uploaded", blocks)

    async def gone(self, project: ProjectId, blocks: Sequence[BlockId]) -> list[BlockId]:
        """Return those of *blocks*, staged here once, that lie neither here nor in the bucket."""
        return await self._which(project, "gone", blocks)

    async def withdraw(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        """Say that nothing needs *blocks*, and that their staged files are about to be deleted."""
        listed = wire.BlockList([bytes(block) for block in blocks])
        await self._post(f"/v1/p/{project}/withdraw", listed)

    async def given_up(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        """Say that nothing needs *blocks* any more, which are gone."""
        listed = wire.BlockList([bytes(block) for block in blocks])
        await self._post(f"/v1/p/{project}/given-up", listed)

    async def bad(self, project: ProjectId) -> list[BlockId]:
        """Return blocks whose objects in the bucket were damaged or missing when last looked at."""
        async with self._request("GET", f"/v1/p/{project}/bad") as answer:
            return block_ids(decoded(_BLOCK_LIST, await answer.read()).ids)

    async def touched(self, project: ProjectId, blocks: list[BlockId]) -> None:
        """Say that *blocks* were read from the cache directory, so that eviction knows."""
        await self._post(f"/v1/p/{project}/touched", wire.BlockList([bytes(b) for b in blocks]))

    async def put_back_blocks(
        self, project: ProjectId, blocks: Sequence[BlockId], *, look: bool = False
    ) -> wire.BlocksPutBack:
        """Have those of *blocks* that the bucket has lost put back from what the office holds.

        With *look* what lies there is read, and put back if it is damaged.
        """
        data = msgspec.msgpack.encode(wire.BlockList([bytes(block) for block in blocks]))
        path = f"/v1/p/{project}/put-back{'?look=1' if look else ''}"
        async with self._request("POST", path, data=data, timeout=_PATIENT) as answer:
            return decoded(_BLOCKS_PUT_BACK, await answer.read())

    async def _which(
        self, project: ProjectId, question: str, blocks: Sequence[BlockId]
    ) -> list[BlockId]:
        data = msgspec.msgpack.encode(wire.BlockList([bytes(block) for block in blocks]))
        async with self._request("POST", f"/v1/p/{project}/{question}", data=data) as answer:
            return block_ids(decoded(_BLOCK_LIST, await answer.read()).ids)

    # -- journal and roster ------------------------------------------------------------------

    async def commit(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        """Have the entry signed and created as *seq*, after the blocks it needs are uploaded.

        Safe to call again with the same request. Waits as long as the uploads take.
        """
        path = f"/v1/p/{project}/journal/{seq}"
        data = msgspec.msgpack.encode(request)
        async with self._request("POST", path, data=data, timeout=_PATIENT) as answer:
            return decoded(_COMMIT_REPLY, await answer.read())

    async def entry(self, project: ProjectId, seq: Seq) -> wire.Slot | None:
        """Return what one look at slot *seq* of the journal shows, or None if there is nothing."""
        return await self._slot(f"/v1/p/{project}/journal/{seq}")

    async def proven(self, project: ProjectId, seq: Seq) -> wire.Slot | None:
        """Return what is proven to lie in slot *seq* of the journal, or None if nothing is."""
        return await self._slot(f"/v1/p/{project}/journal/{seq}?proven=1")

    async def kept(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return journal entry *seq* as this node saw it last, or None if it is not kept."""
        try:
            async with self._request("GET", f"/v1/p/{project}/kept/{seq}") as answer:
                return await answer.read()
        except NotThere:
            return None

    async def put_back(self, project: ProjectId, seq: Seq) -> wire.CommitReply:
        """Have the kept entry *seq* created in the bucket, if nothing is there and it follows."""
        path = f"/v1/p/{project}/kept/{seq}"
        async with self._request("POST", path, timeout=_PATIENT) as answer:
            return decoded(_COMMIT_REPLY, await answer.read())

    async def lost(self, project: ProjectId) -> list[Seq]:
        """Return the journal entries that the bucket has lost, as far as the daemon has found out."""
        async with self._request("GET", f"/v1/p/{project}/lost") as answer:
            return [Seq(seq) for seq in decoded(_LOST_ENTRIES, await answer.read()).seqs]

    async def checkpoints(self, project: ProjectId) -> list[Seq]:
        """Return the entries of which the bucket has a checkpoint, lowest first."""
        async with self._request("GET", f"/v1/p/{project}/checkpoints") as answer:
            return [Seq(seq) for seq in decoded(_CHECKPOINT_LIST, await answer.read()).seqs]

    async def attestations(self, project: ProjectId) -> list[tuple[Seq, DeviceId]]:
        """Return of which checkpoints there is a device's word that they are true, and whose."""
        async with self._request("GET", f"/v1/p/{project}/attestations") as answer:
            words = decoded(_ATTESTATION_LIST, await answer.read()).words
            return [(Seq(seq), DeviceId(device)) for seq, device in words]

    async def attestation(self, project: ProjectId, seq: Seq, device: DeviceId) -> bytes | None:
        """Return the word of *device* on the checkpoint at *seq*, None if there is none."""
        try:
            path = f"/v1/p/{project}/attestation/{seq}/{device}"
            async with self._request("GET", path) as answer:
                return await answer.read()
        except NotThere:
            return None

    async def attest(self, project: ProjectId, seq: Seq, manifest: bytes) -> None:
        """Have this device's word signed and created, that the manifest of this hash is true."""
        path = f"/v1/p/{project}/attestation/{seq}"
        async with self._request("POST", path, data=manifest):
            pass

    async def delete_checkpoints(self, project: ProjectId, seqs: Sequence[Seq]) -> list[Seq]:
        """Delete the checkpoints at *seqs*; return those that the store did not refuse to delete."""
        data = msgspec.msgpack.encode(wire.CheckpointList([int(seq) for seq in seqs]))
        path = f"/v1/p/{project}/delete-checkpoints"
        async with self._request("POST", path, data=data, timeout=_PATIENT) as answer:
            return [Seq(seq) for seq in decoded(_CHECKPOINT_LIST, await answer.read()).seqs]

    async def checkpoint(self, project: ProjectId, seq: Seq) -> bytes | None:
        """Return the manifest of the checkpoint at entry *seq*, or None if there is none."""
        try:
            async with self._request("GET", f"/v1/p/{project}/checkpoint/{seq}") as answer:
                return await answer.read()
        except NotThere:
            return None

    async def make_checkpoint(
        self, project: ProjectId, seq: Seq, request: wire.CommitRequest
    ) -> wire.CommitReply:
        """Have the manifest signed and created as that of *seq*, once what it needs is uploaded."""
        data = msgspec.msgpack.encode(request)
        path = f"/v1/p/{project}/checkpoint/{seq}"
        async with self._request("POST", path, data=data, timeout=_PATIENT) as answer:
            return decoded(_COMMIT_REPLY, await answer.read())

    async def blocks_in_bucket(self, project: ProjectId, after: BlockId | None) -> wire.BlockPage:
        """Return blocks that lie in the bucket behind *after*, in order."""
        path = f"/v1/p/{project}/blocks" + (f"?after={after.hex()}" if after else "")
        async with self._request("GET", path) as answer:
            return decoded(_BLOCK_PAGE, await answer.read())

    async def delete_blocks(
        self, project: ProjectId, blocks: Sequence[BlockId]
    ) -> wire.BlocksDeleted:
        """Have *blocks* deleted from the bucket, but for those that are to be uploaded here."""
        data = msgspec.msgpack.encode(wire.BlockList([bytes(block) for block in blocks]))
        path = f"/v1/p/{project}/delete-blocks"
        async with self._request("POST", path, data=data, timeout=_PATIENT) as answer:
            return decoded(_BLOCKS_DELETED, await answer.read())

    async def forget(self, project: ProjectId) -> None:
        """Have what is to be committed dropped. Raises Refused while the project is mounted."""
        async with self._request("POST", f"/v1/p/{project}/forget"):
            pass

    async def look(self, project: ProjectId, seq: Seq) -> None:
        """Have the mount of *project* here, if there is one, look for journal entry *seq*."""
        async with self._request("POST", f"/v1/p/{project}/look/{seq}"):
            pass

    async def _slot(self, path: str) -> wire.Slot | None:
        try:
            async with self._request("GET", path) as answer:
                return decoded(_SLOT, await answer.read())
        except NotThere:
            return None

    async def roster(self, look: wire.RosterLook = "try") -> list[bytes]:
        """Return all raw roster entries, oldest first, unverified.

        The daemon looks for news first, if *look* says so; if it "must" and cannot, Unavailable is
        raised.
        """
        async with self._request("GET", f"/v1/roster?look={look}") as answer:
            return decoded(_ROSTER_LOG, await answer.read()).entries

    async def append_roster(self, seq: Seq, body: bytes) -> wire.CommitReply:
        """Create roster entry *seq* if absent."""
        async with self._request("POST", f"/v1/roster/{seq}", data=body) as answer:
            return decoded(_COMMIT_REPLY, await answer.read())

    async def invitations_asked(self) -> list[wire.Invitation]:
        """Return the requests to join that wait for an owner of this machine."""
        async with self._request("POST", "/v1/invitations/asked") as answer:
            return decoded(_INVITATIONS, await answer.read()).waiting

    async def look_for_invitations(self) -> None:
        """Have the next `invitations_asked` look into the bucket, however short ago it did."""
        async with self._request("POST", "/v1/invitations/look"):
            pass

    async def invitation(self, ident: bytes) -> wire.Invitation:
        """Return what the bucket has of an invitation."""
        data = msgspec.msgpack.encode(wire.InvitationNamed(ident.hex()))
        async with self._request("POST", "/v1/invitations/parts", data=data) as answer:
            return decoded(_INVITATION, await answer.read())

    async def create_for_invitation(
        self, ident: bytes, part: Literal["offer", "answer"], body: bytes
    ) -> bool:
        """Create a part of an invitation; False if another stands there already."""
        data = msgspec.msgpack.encode(wire.InvitationPart(ident.hex(), part, body))
        async with self._request("POST", "/v1/invitations/create", data=data) as answer:
            return decoded(_INVITATION_CREATED, await answer.read()).created

    async def way_in(self, role: Role) -> wire.WayIn:
        """Return what a newcomer of *role* needs to reach the bucket, where the role has its own."""
        return await self._asked("invitations/way-in", wire.RoleNamed(role), _WAY_IN)

    async def way_to_dashboard(self, device: DeviceId) -> wire.DashboardWay:
        """Return the way into the dashboard of a colleague's *device*, for this user's own browser.

        Raises NotThere, Refused or Unavailable with the reason if there is none.
        """
        return await self._asked("dashboard/way-in", wire.DashboardWish(device), _DASHBOARD_WAY)

    async def credentials_of(self, role: Role) -> wire.RoleSet:
        """Return the newest credentials of *role* that this workstation may know."""
        return await self._asked("credentials/of-role", wire.RoleNamed(role), _ROLE_SET)

    async def roles_unreached(self) -> list[Role]:
        """Return the roles whose newest credentials are not sealed to all who need them."""
        async with self._request("POST", "/v1/credentials/unreached") as answer:
            return decoded(_ROLES_UNREACHED, await answer.read()).roles

    async def create_role_set(self, role: Role, number: int, body: bytes) -> bool:
        """Create sealed credentials of *role*; False if something else stands there already."""
        wish = wire.NewRoleSet(role, number, body)
        return (await self._asked("credentials/create", wish, _ROLE_SET_CREATED)).created

    @contextlib.asynccontextmanager
    async def events(
        self, project: ProjectId, hello: mount_messages.MountHello
    ) -> AsyncIterator[DaemonEvents]:
        """Register this process as a mount of *project* and exchange events with the daemon.

        Raises the error that the daemon gives for turning this mount away (ERROR_OF_STATUS),
        DaemonUnreachable, and Malformed if what answers is no daemon.
        """
        try:
            async with self._opened.ws_connect(
                f"http://daemon/v1/p/{project}/events",
                max_msg_size=wire.MAX_JOURNAL_ENTRY_BYTES + 4096,
                heartbeat=20,
            ) as socket:
                await socket.send_bytes(msgspec.msgpack.encode(hello))
                first = await socket.receive()
                if first.type is not aiohttp.WSMsgType.BINARY:
                    raise DaemonUnreachable("the daemon closed the connection")
                welcome = decoded(_FROM_DAEMON, first.data)
                if isinstance(welcome, mount_messages.MountRejected):
                    raise ERROR_OF_STATUS.get(welcome.status, Unavailable)(welcome.words)
                if not isinstance(welcome, mount_messages.MountWelcome):
                    raise Malformed("the daemon did not welcome this mount")
                yield DaemonEvents(socket, welcome)
        except aiohttp.WSServerHandshakeError as error:
            raise ERROR_OF_STATUS.get(error.status, Unavailable)(error.message) from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise DaemonUnreachable(f"no daemon answers at {self._path}") from error

    async def accesses(
        self, project: ProjectId, *, names: bool
    ) -> AsyncIterator[mount_messages.Accesses]:
        """Yield what programs ask of the mount of *project* from now on, until it ends.

        Raises NotThere if it is not mounted here.
        """
        path = f"/v1/p/{project}/accesses" + ("?names=1" if names else "")
        async with self._request("GET", path, timeout=_PATIENT) as answer:
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
        async with self._request("GET", path) as answer:
            return decoded(_EVENTS_PAGE, await answer.read())

    # -- facts for people --------------------------------------------------------------------

    async def facts(self, topic: str) -> Facts:
        """Return the daemon's facts on *topic*, one of those in `node/status/snapshot.py`."""
        async with self._request("GET", f"/v1/{topic}", timeout=_PROMPT) as answer:
            return facts_in(await answer.read())

    async def store_ahead_s(self) -> float | None:
        """Return by how many seconds the store's clock was ahead of ours at its last answer, if it says."""
        try:
            ahead_s: float | None = (await self.facts("store-clock"))["ahead_s"]
        except NotThere:
            return None  # a daemon of an earlier release, until it is started anew
        return ahead_s

    async def order(self, what: str) -> None:
        """Have the daemon do *what*: `cache/clear`, `credentials/look` or `exit`, and the like."""
        async with self._request("POST", f"/v1/{what}", timeout=_PATIENT):
            pass

    async def hold_node_key(self, key: bytes) -> None:
        """Have the daemon, which began without one, seal with the node key *key* from now on.

        Raises Refused if it has another.
        """
        async with self._request("POST", "/v1/node-key", data=key):
            pass

    async def blocks_of_files(self, project: ProjectId, inos: list[int], offset: int) -> BlocksPage:
        """Return what the first of *inos* lie in. Raises NotThere if *project* is not mounted here."""
        wish = file_blocks.FilesWish(project, inos, offset)
        return await self._asked("blocks/of-files", wish, _BLOCKS_PAGE)

    async def block_places(
        self, project: ProjectId, blocks: Sequence[BlockId]
    ) -> list[file_blocks.BlockPlace]:
        """Return where each of *blocks* is."""
        wish = file_blocks.BlocksOf(project, [bytes(block) for block in blocks])
        places = (await self._asked("blocks/places", wish, _BLOCK_PLACES)).places
        if len(places) != len(blocks):
            raise Malformed("places of other blocks")
        return places

    async def evict(self, project: ProjectId, blocks: Sequence[BlockId]) -> file_blocks.Evicted:
        """Have *blocks* leave the cache here."""
        wish = file_blocks.BlocksOf(project, [bytes(block) for block in blocks])
        return await self._asked("blocks/evict", wish, _EVICTED)

    async def pins(self, wish: PinsWish) -> PinsReply:
        """Do what *wish* says. Raises NotThere if its project is not mounted here."""
        return await self._asked("pins/order", wish, _PINS_REPLY)

    async def pinned(self, part: PinnedPart) -> None:
        """Tell the daemon a part of what is pinned."""
        await self._post("/v1/pins/part", part)

    async def pinned_here(self) -> PinnedProjects:
        """Return how far the pins of all projects are here."""
        async with self._request("POST", "/v1/pins/here") as answer:
            return decoded(_PINNED_PROJECTS, await answer.read())

    async def add_webhook(self, wish: wire.WebhookWish) -> wire.WebhookAdded:
        """Have the daemon tell a receiver what happens. Raises Refused for one that will not do."""
        return await self._asked("webhooks/add", wish, _WEBHOOK_ADDED)

    async def remove_webhook(self, ident: str) -> None:
        """Have a receiver told no more. Raises NotThere, Refused."""
        await self._post("/v1/webhooks/remove", wire.WebhookNamed(ident))

    async def test_webhook(self, ident: str) -> None:
        """Have a receiver take a test. Raises NotThere, and Unavailable if it does not."""
        await self._post("/v1/webhooks/test", wire.WebhookNamed(ident))

    # -- transport ---------------------------------------------------------------------------

    @property
    def _opened(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use `async with DaemonClient(...)`"
        return self._session

    async def _asked(
        self, what: str, wish: msgspec.Struct, answers: msgspec.msgpack.Decoder[T]
    ) -> T:
        data = msgspec.msgpack.encode(wish)
        async with self._request("POST", f"/v1/{what}", data=data) as answer:
            return decoded(answers, await answer.read())

    async def _post(self, path: str, body: msgspec.Struct) -> None:
        async with self._request("POST", path, data=msgspec.msgpack.encode(body)):
            pass

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout: aiohttp.ClientTimeout = _BOUNDED,  # noqa: ASYNC109  # aiohttp's own
        session: aiohttp.ClientSession | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with (session or self._opened).request(
                method, f"http://daemon{path}", data=data, headers=headers, timeout=timeout
            ) as answer:
                if answer.status >= 300:
                    message = (await answer.content.read(1000)).decode(errors="replace")
                    raise ERROR_OF_STATUS.get(answer.status, Unavailable)(message)
                yield answer
        except TimeoutError as error:
            raise Unavailable("the daemon did not answer in time") from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise DaemonUnreachable(f"no daemon answers at {self._path}") from error
        except aiohttp.ClientError as error:
            raise Unavailable(f"the daemon's answer broke off: {error}") from error


def _query(reading: wire.Reading | None) -> str:
    if reading is None:
        return ""
    said = {**reading._asdict(), "ahead": int(reading.ahead)}
    return f"?{urlencode(said)}"
