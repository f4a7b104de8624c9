"""The dashboard for colleagues: TLS on the LAN, for members who prove that they are (login.py).

It is there only where an owner has turned `dashboard.listen` on. Whoever cannot prove it is told in
one sentence how to come in. A session ends with the daemon, after twelve hours, and in the second in
which its member is put out.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from aiohttp import web
from cachetools import LRUCache

from lucidnode.node.callers import is_secret, nameless_runner
from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed, NotThere
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.public_keys import verify
from lucidnode.node.client.roster import Device, Roster
from lucidnode.node.client.supervision import Supervisor
from lucidnode.node.dashboard.login import LOGIN_S, Opened, read_login
from lucidnode.node.dashboard.pages import MAX_BODY_BYTES, Pages, Shown
from lucidnode.node.dashboard.visitor import shown_to
from lucidnode.node.peers.errors import PortTaken
from lucidnode.node.peers.listener import LimitedListener, UnauthenticatedLimit, bind
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.status.metrics import CONTENT_TYPE

SESSION_S = 12 * 3600.0
"""Seconds of a visit: a working day."""

MAX_SESSIONS = 64
_MAX_NONCES = 4096
"""Logins that were used and could still be: more than members open in four minutes."""

_HOW = (
    "This is a workstation's dashboard. Open it with `lucidnode dashboard --node NAME` on your own "
    "workstation, whose key says that you belong to the studio; a login is good for two minutes, and once.\n"
)


@dataclass(frozen=True, slots=True)
class _Session:
    device: DeviceId
    ends_at: float


class ColleagueServer:
    """Listens on *port* of every address that *admits*, unless another program has it: an alert."""

    def __init__(
        self,
        port: int,
        *,
        context: ssl.SSLContext,
        opened: Callable[[], Opened],
        roster: Callable[[], Roster],
        metrics_token: str,
        admits: Callable[[str], bool],
        alerts: Alerts,
        clock: Clock,
        tasks: Supervisor,
        memory: MemoryBudget,
        connections: int,
    ) -> None:
        self._port = port
        self._context = context
        self._opened = opened
        self._roster = roster
        self._metrics_token = metrics_token
        self._admits = admits
        self._alerts = alerts
        self._clock = clock
        self._tasks = tasks
        self._memory = memory
        self._connections = connections
        self._probation = UnauthenticatedLimit()
        self._sessions: LRUCache[str, _Session] = LRUCache(MAX_SESSIONS)
        self._used: LRUCache[bytes, int] = LRUCache(_MAX_NONCES)
        self.port = 0
        """Where it listens now; 0 for nowhere."""
        self._cookie = f"__Host-lucidnode-{port}"

    @contextlib.asynccontextmanager
    async def serving(self, shown: Shown, metrics_text: Callable[[], bytes]) -> AsyncIterator[None]:
        """Show colleagues what they may see of *shown* while the context lasts."""
        app = web.Application(middlewares=[self._let_in])
        pages = Pages(partial(self._shown_to, shown), self._clock)
        app.router.add_routes(pages.routes())

        async def metrics(_request: web.Request) -> web.Response:
            return web.Response(body=metrics_text(), headers={"Content-Type": CONTENT_TYPE})

        app.router.add_get("/metrics", metrics)
        async with contextlib.AsyncExitStack() as stack:
            try:
                bound = stack.enter_context(bind(None, self._port))
            except PortTaken:
                # An owner has chosen the port for all: no daemon stays away for it.
                self._alerts.begin(
                    "dashboard-listen",
                    f"Port {self._port} for colleagues' browsers is taken: they do not see this dashboard.",
                    "Stop the other program, or have an owner set another `dashboard.listen`.",
                )
                yield
                return
            self.port = self._port
            stack.callback(self._ended)
            runner = await nameless_runner(app, max_body_bytes=MAX_BODY_BYTES, shutdown_timeout_s=1)
            assert runner.server is not None
            stack.push_async_callback(_cleaned_up, runner, runner.server)
            listener = LimitedListener(
                bound,
                runner.server,
                self._probation,
                self._tasks,
                memory=self._memory,
                most=self._connections,
                secured=self._secured,
                admits=self._admits,
            )
            listening = self._tasks.keeping("answering colleagues' browsers", listener.run)
            stack.callback(listening.cancel)
            yield

    def _ended(self) -> None:
        self.port = 0

    async def _secured(self, _connection: socket.socket) -> ssl.SSLContext:
        return self._context

    # -- who comes in ------------------------------------------------------------------------

    @web.middleware
    async def _let_in(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.headers.get("Origin") not in {None, f"https://{request.host}"}:
            raise web.HTTPForbidden(text=_HOW)
        if request.path == "/metrics":
            scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
            if scheme != "Bearer" or not is_secret(shown, self._metrics_token):
                raise web.HTTPForbidden(text="The metrics are for who has their token.\n")
        elif request.path == "/" and "login" in request.query:
            raise self._logged_in(request.query["login"])
        else:
            self._visitor(request)
        self._probation.mark_authenticated(request)
        return await handler(request)

    def _logged_in(self, text: str) -> web.HTTPException:
        """Return the way on for whoever shows the login *text*, which leaves the address at once."""
        now_ns = self._clock.wall_ns()
        try:
            login = read_login(text)
        except Malformed:
            return web.HTTPForbidden(text=_HOW)
        device = self._roster().devices.get(login.device)
        if (
            device is None
            or login.nonce in self._used
            or not verify(device.public, login.signed(self._opened()), login.signature)
        ):
            return web.HTTPForbidden(text=_HOW)
        if not login.is_timely(now_ns):
            return web.HTTPForbidden(
                text=f"{_HOW}\nThe login is older than {LOGIN_S} s, or the two clocks differ.\n"
            )
        self._used[login.nonce] = login.issued_ns
        session = secrets.token_urlsafe(32)
        self._sessions[session] = _Session(device.id, self._clock.boot() + SESSION_S)
        into = web.HTTPSeeOther("/")
        into.set_cookie(
            self._cookie,
            session,
            max_age=int(SESSION_S),
            httponly=True,
            samesite="Strict",
            secure=True,
            path="/",
        )
        return into

    def _visitor(self, request: web.Request) -> Device:
        """Return whose browser sent *request*, by the roster of this moment. Raises HTTPForbidden."""
        session = self._sessions.get(request.cookies.get(self._cookie, ""))
        device = None if session is None else self._roster().devices.get(session.device)
        if session is None or device is None or session.ends_at < self._clock.boot():
            raise web.HTTPForbidden(text=_HOW)
        return device

    def _shown_to(self, shown: Shown, request: web.Request) -> Shown:
        device = self._visitor(request)
        projects = {
            project for project in self._roster().projects if device.role_in(project) is not None
        }

        async def facts() -> dict[str, Any]:
            return shown_to(await shown.facts(), projects)

        async def changes(
            project: ProjectId, reader: str, after: int | None, told: int
        ) -> mount_messages.EventsPage:
            if project not in projects:
                raise NotThere("this project is not mounted here")
            return await shown.changes(project, reader, after, told)

        return replace(shown, facts=facts, changes=changes, settle=None)


async def _cleaned_up(runner: web.AppRunner, server: web.Server) -> None:
    """End *runner* and all connections to its *server*."""
    transports = [each.transport for each in server.connections]
    await runner.cleanup()
    for transport in transports:
        if transport is not None:
            # One of TLS stays for half a minute else, if the browser does not say goodbye as well.
            transport.abort()
