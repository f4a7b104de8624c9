"""What the dashboard answers, to whoever was let in: the page, its data, and what it may do."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import msgspec
from aiohttp import web

from lucidnode.node.client import mount_messages
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.conflicts import ConflictOrder
from lucidnode.node.client.errors import Malformed, NodeError, Refused
from lucidnode.node.client.ids import ProjectId, parse_project_id
from lucidnode.node.client.json_text import json_in
from lucidnode.node.status.history import SPANS

_REFRESH_S = 1.0

MAX_BODY_BYTES = 16 * 1024
"""Of a request: the longest path that a conflict copy can have, and a little."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_SCRIPTS = ("page", "shown", "chart", "office", "projects", "conflicts", "feed")
_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript") for name in _SCRIPTS},
}

Changes = Callable[[ProjectId, str, int | None, int], Awaitable[mount_messages.EventsPage]]
"""Returns what comes next in a project for a reader: behind a place, lately for None."""

Settle = Callable[[ProjectId, str, ConflictOrder], Awaitable[None]]
"""Settles a conflict copy of a project, by its path. Raises a NodeError."""

_READER = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What one visitor is shown: *history* of a span; without *settle* he changes nothing."""

    facts: Callable[[], Awaitable[dict[str, Any]]]
    history: Callable[[str], dict[str, Any]]
    changes: Changes
    settle: Settle | None


class _Settlement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page asks for with a button beside a conflict copy."""

    project: str
    path: str
    order: ConflictOrder


class Pages:
    """Answers by what *shown* returns for a request that was let in."""

    def __init__(self, shown: Callable[[web.Request], Shown], clock: Clock) -> None:
        self._shown = shown
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered."""
        return [
            *(web.get(path, self._file) for path in _FILES),
            web.get("/facts", self._facts),
            web.get("/live", self._live),
            web.get("/history", self._history),
            web.get("/changes", self._changes),
            web.post("/conflicts", self._settle),
        ]

    async def _file(self, request: web.Request) -> web.Response:
        name, kind = _FILES[request.path]
        text = resources.files("lucidnode.node.dashboard").joinpath(name).read_text("utf-8")
        return web.Response(text=text, content_type=kind, headers=HEADERS)

    async def _facts(self, request: web.Request) -> web.Response:
        return _json(await self._shown(request).facts())

    async def _history(self, request: web.Request) -> web.Response:
        span = request.query.get("span", "")
        if span not in SPANS:
            raise web.HTTPBadRequest(text=f"span: one of {', '.join(SPANS)}")
        return _json(self._shown(request).history(span))

    async def _changes(self, request: web.Request) -> web.Response:
        """Answer what happened in a project behind a place: empty if that is nothing soon."""
        asked = request.query
        reader = asked.get("reader", "")
        try:
            project = parse_project_id(asked.get("project", ""))
            after = _number(asked["after"]) if "after" in asked else None
            told = _number(asked.get("told", "0"))
        except Malformed as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        if not _READER.fullmatch(reader):
            raise web.HTTPBadRequest(text="reader: 16 hex digits")
        try:
            page = await self._shown(request).changes(project, reader, after, told)
        except NodeError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        return _json(page)

    async def _settle(self, request: web.Request) -> web.Response:
        """Settle a conflict for the page itself, which no other page can do in its name.

        A page elsewhere sends no JSON without asking first, and no Origin but its own: a request
        with none comes from no page, and has to show the token itself.
        """
        settle = self._shown(request).settle
        origin, own = request.headers.get("Origin"), f"{request.scheme}://{request.host}"
        if settle is None:
            raise web.HTTPForbidden(text="conflicts are settled on the workstation itself")
        if request.content_type != "application/json" or (
            origin != own and (origin is not None or "Authorization" not in request.headers)
        ):
            raise web.HTTPForbidden(text="only the page itself does that")
        try:
            asked = json_in(await request.read(), _Settlement)
            project = parse_project_id(asked.project)
        except Malformed as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        try:
            await settle(project, asked.path, asked.order)
        except Refused as error:
            raise web.HTTPConflict(text=str(error)) from error
        except NodeError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        return _json({})

    async def _live(self, request: web.Request) -> web.StreamResponse:
        """Send the facts every second over a WebSocket."""
        stream = web.WebSocketResponse(heartbeat=20, max_msg_size=4096)
        await stream.prepare(request)

        async def send() -> None:
            with contextlib.suppress(ConnectionError, web.HTTPForbidden):
                while True:
                    facts = await self._shown(request).facts()
                    await stream.send_str(msgspec.json.encode(facts).decode())
                    await self._clock.sleep(_REFRESH_S)

            await stream.close()  # who was put out meanwhile sees nothing more

        sender = asyncio.ensure_future(send())
        try:
            async for _ in stream:
                pass
        finally:
            sender.cancel()
            await asyncio.wait([sender])
        return stream


def _json(value: object) -> web.Response:
    body = msgspec.json.encode(value)
    return web.Response(body=body, content_type="application/json", headers=HEADERS)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 16):
        raise Malformed(f"{text[:20]!r} is no number")
    return int(text)
