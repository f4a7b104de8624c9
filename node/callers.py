"""HTTP servers for our ports: they tell callers no versions, and log each kind of nonsense once a minute."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web

QUIET_S = 60.0
"""Seconds in which one kind of record is logged once: anybody can call, and send nonsense."""


class OncePerKind(logging.Filter):
    """Lets a record pass if none of its kind did for QUIET_S, and adds how many were left out.

    A kind is the record's unformatted text with the type of its exception. Both are the library's
    own, so their number is bounded whatever callers send.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._passed_at: dict[tuple[str, str], float] = {}
        self._left_out: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether *record* is to be logged."""
        raised = record.exc_info[0] if record.exc_info else None
        kind = str(record.msg), "" if raised is None else raised.__name__
        now = self._now()
        if now - self._passed_at.get(kind, -QUIET_S) < QUIET_S:
            self._left_out[kind] += 1
            return False
        self._passed_at[kind] = now
        if left_out := self._left_out.pop(kind, 0):
            record.msg = f"{record.msg} (and {left_out} more like it)"
        return True


CALLERS_LOG = logging.getLogger("aiohttp.server.callers")
"""For the servers of our ports: aiohttp logs each malformed request with its traceback."""
CALLERS_LOG.addFilter(OncePerKind())


def is_secret(shown: str, secret: str) -> bool:
    """Tell whether *shown*, which may be any bytes of a header, is *secret*; in the same time whatever it is."""
    return secrets.compare_digest(shown.encode(errors="surrogateescape"), secret.encode())


class NamelessRequest(web.BaseRequest):
    """A request whose answer does not tell the versions of aiohttp and Python, an error included."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        _say_little(self, response)


class NamelessAppRequest(web.Request):
    """The same for a request to a `web.Application`, whose own hook never sees what is malformed."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        await super()._prepare_hook(response)
        _say_little(self, response)


_MALFORMED = "UNKNOWN"
"""The method that aiohttp gives to a request it could not parse."""


def _say_little(request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers["Server"] = "lucidnode"
    if request.method == _MALFORMED and isinstance(response, web.Response):
        # aiohttp repeats what it did not understand, each odd byte as four characters.
        response.body = None
        response.headers["Content-Length"] = "0"
        del response.headers["Content-Type"]


async def nameless_runner(
    app: web.Application, *, max_body_bytes: int, shutdown_timeout_s: float
) -> web.AppRunner:
    """Return aiohttp's runner for *app*, set up, which answers and logs no more than it must."""
    loop = asyncio.get_running_loop()

    def request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.Request:
        return NamelessAppRequest(
            message, payload, protocol, writer, task, loop, client_max_size=max_body_bytes
        )

    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=shutdown_timeout_s, logger=CALLERS_LOG
    )
    await runner.setup()
    assert runner.server is not None
    runner.server.request_factory = request
    return runner


def nameless_server(handle: Callable[[web.BaseRequest], object], **limits: Any) -> web.Server:
    """Return aiohttp's server for *handle*, which answers and logs no more than it must.

    *limits* are aiohttp's own. To be called in the event loop that will serve.
    """
    loop = asyncio.get_running_loop()

    def request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Any:
        return NamelessRequest(message, payload, protocol, writer, task, loop)

    return web.Server(
        handle,  # type: ignore[arg-type]
        request_factory=request,
        access_log=None,
        logger=CALLERS_LOG,
        **limits,
    )
