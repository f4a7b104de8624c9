"""What comes over the daemon's socket is looked at before anybody behind it hears of it."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
from lab.places import REPOSITORY
from socket_fixture import served

from lucidnode.node.client import wire
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.file_blocks import BlocksOf, FilesWish
from lucidnode.node.client.pins import PinnedPart, PinsWish
from lucidnode.node.daemon_socket.blocks import BlockRoutes
from lucidnode.node.daemon_socket.checkpoints import CheckpointRoutes
from lucidnode.node.daemon_socket.collection import CollectionRoutes
from lucidnode.node.daemon_socket.credentials import CredentialRoutes
from lucidnode.node.daemon_socket.dashboard import DashboardRoutes
from lucidnode.node.daemon_socket.file_blocks import FileBlockRoutes
from lucidnode.node.daemon_socket.invitations import InvitationRoutes
from lucidnode.node.daemon_socket.journal import JournalRoutes
from lucidnode.node.daemon_socket.mounts import MountRoutes
from lucidnode.node.daemon_socket.pins import PinRoutes
from lucidnode.node.daemon_socket.roster import RosterRoutes
from lucidnode.node.daemon_socket.server import Room
from lucidnode.node.daemon_socket.webhooks import WebhookRoutes

P = "0" * 32


class Nobody:
    """Behind a room into which nothing may get."""

    def __getattr__(self, name: str) -> Any:
        def asked(*_: object, **__: object) -> None:
            raise LookupError(f"{name} was asked for")

        return asked


def rooms() -> list[Room]:
    nobody = cast("Any", Nobody())
    return [
        *(BlockRoutes(nobody), CheckpointRoutes(nobody), CollectionRoutes(nobody)),
        *(CredentialRoutes(nobody), DashboardRoutes(nobody), FileBlockRoutes(nobody)),
        *(InvitationRoutes(nobody, nobody), JournalRoutes(nobody, nobody)),
        *(MountRoutes(nobody, nobody, nobody, nobody), PinRoutes(nobody), RosterRoutes(nobody)),
        WebhookRoutes(nobody),
    ]


def packed(*messages: msgspec.Struct) -> list[bytes]:
    return [msgspec.msgpack.encode(message) for message in messages]


POSTED = {
    f"/v1/p/{P}/staged": packed(wire.RankedBlocks([bytes(32)], [1, 2])),
    f"/v1/p/{P}/withdraw": packed(wire.BlockList([bytes(31)])),
    "/v1/p/none/withdraw": packed(wire.BlockList([])),
    f"/v1/p/{P}/delete-blocks": packed(wire.BlockList([bytes(33)])),
    f"/v1/p/{P}/delete-checkpoints": packed(wire.CheckpointList([-1])),
    f"/v1/p/{P}/journal/0": packed(wire.CommitRequest(b"", [])),
    f"/v1/p/{P}/journal/1": packed(wire.BlockList([])),
    f"/v1/p/{P}/look/x": [b""],
    "/v1/roster/0": [b""],
    "/v1/chosen-roster": packed(wire.RosterChoice(1, bytes(31)), wire.RosterChoice(0, bytes(32))),
    "/v1/blocks/of-files": packed(FilesWish("none", [1], 0)),
    "/v1/blocks/places": packed(BlocksOf(P, [bytes(31)])),
    "/v1/blocks/evict": packed(BlocksOf("none", []), BlocksOf(P, [bytes(31)])),
    "/v1/pins/order": packed(PinsWish("none", "list")),
    "/v1/pins/part": packed(
        PinnedPart(P, [bytes(32)], [], first=True, last=True),
        PinnedPart(P, [bytes(31)], [1], first=True, last=True),
        PinnedPart("none", [], [], first=True, last=True),
    ),
    "/v1/invitations/parts": packed(wire.RoleNamed("owner")),
    "/v1/invitations/create": packed(wire.InvitationNamed("0" * 32)),
    "/v1/invitations/way-in": packed(wire.RoleNamed("guest")),
    "/v1/credentials/of-role": packed(wire.RoleNamed("guest")),
    "/v1/credentials/create": packed(wire.NewRoleSet("guest", 1, b"")),
    "/v1/webhooks/add": packed(wire.WebhookNamed("1")),
    "/v1/webhooks/remove": packed(wire.RoleNamed("1")),
    "/v1/webhooks/test": packed(wire.RoleNamed("1")),
    "/v1/dashboard/way-in": packed(wire.DashboardWish("e" * 31)),
}
"""Messages that mean nothing where they are sent."""

READ = (
    f"/v1/p/{P}/block/none",
    f"/v1/p/{P}/blocks?after=none",
    f"/v1/p/{P}/journal/{10**20}",
    f"/v1/p/{P}/attestation/1/none",
    "/v1/p/none/bad",
    "/v1/p/none/lost",
    "/v1/p/none/accesses",
    "/v1/roster?look=perhaps",
)
"""Paths that name nothing there could be."""


async def test_what_means_nothing_is_refused_at_the_door(tmp_path: Path) -> None:
    taken: list[str] = []
    async with served(tmp_path / "daemon.sock", *rooms()) as client:
        for path, messages in POSTED.items():
            without_message = path.endswith(("/0", "/x"))  # the path alone is wrong
            for message in messages if without_message else [*messages, b"\xff"]:
                try:
                    await client.journal._transport.tell(path, message)
                except Malformed:
                    continue
                taken.append(path)
        for path in READ:
            with contextlib.suppress(Malformed):
                await client.journal._transport.read(path)
                taken.append(path)
    assert not taken


ROOMS = ("node/client/daemon_socket", "node/daemon_socket")


def paths_in(module: Path) -> set[str]:
    """Return the paths that *module* writes down, with {} for what differs, without their queries."""
    texts = _texts(ast.parse(module.read_text()))
    paths = {text.partition("?")[0] for text in texts if text.startswith("/v1/")}
    # What follows without a slash is a query, or nothing.
    return {re.sub(r"(?<!/)\{\}", "", path) for path in paths}


def _texts(item: ast.AST) -> Iterator[str]:
    match item:
        case ast.JoinedStr():
            parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in item.values]
            yield "".join(map(str, parts))
        case ast.Constant(value=str() as text):
            yield re.sub(r"\{[^}]*\}", "{}", text)
        case _:
            for child in ast.iter_child_nodes(item):
                yield from _texts(child)


def test_both_halves_of_a_request_stand_in_rooms_of_the_same_name() -> None:
    asked, answered = (
        {
            module.stem: paths
            for module in (REPOSITORY / folder).glob("*.py")
            if (paths := paths_in(module))
        }
        for folder in ROOMS
    )
    assert len(asked) == 14
    assert asked == answered
