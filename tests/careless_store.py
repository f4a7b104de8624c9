"""Small S3 servers that break the promise of create-if-absent, each as some engine does."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from aiohttp import web

from lucidnode.node.bucket.address import S3Address

Manner = Literal["ignores", "acts late", "refuses", "inverts", "is busy", "hides absence"]
"""What it does with `If-None-Match: *`: nothing (rclone serve s3); check, then act (SeaweedFS
before #8802); 501 (Backblaze B2); the opposite (a Ceph driver); 503. "hides absence" keeps it but
answers 403 for what is missing, as S3 does to those who may not list."""


class CarelessStore:
    """One bucket in memory. It checks no signature."""

    def __init__(self, manner: Manner) -> None:
        self.manner = manner
        self.objects: dict[str, bytes] = {}
        self.conditions = 0  # how many creates asked for absence

    async def answer(self, request: web.BaseRequest) -> web.Response:
        key = request.path.removeprefix("/careless").removeprefix("/")
        if not key:  # the bucket itself
            return web.Response(text="<ListBucketResult></ListBucketResult>")
        match request.method:
            case "PUT":
                return await self._put(key, await request.read(), request)
            case "DELETE":
                self.objects.pop(key, None)
                return web.Response(status=204)
            case _:
                return self._get(key, request)

    async def _put(self, key: str, body: bytes, request: web.BaseRequest) -> web.Response:
        if request.headers.get("If-None-Match") == "*":
            self.conditions += 1
            taken = key in self.objects
            match self.manner:
                case "acts late":
                    await asyncio.sleep(0.05)
                case "refuses":
                    return _error(501, "NotImplemented")
                case "is busy":
                    return _error(503, "SlowDown")
                case "inverts":
                    taken = not taken
                case "ignores":
                    taken = False
                case "hides absence":
                    pass
            if taken:
                return _error(412, "PreconditionFailed")
        self.objects[key] = body
        return web.Response(headers={"ETag": _etag(body)})

    def _get(self, key: str, request: web.BaseRequest) -> web.Response:
        if key not in self.objects:
            if self.manner == "hides absence":
                return _error(403, "AccessDenied")
            return _error(404, "NoSuchKey")
        body = self.objects[key]
        headers = {"ETag": _etag(body), "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"}
        asked = request.http_range
        if asked.start is None:
            return web.Response(body=body, headers=headers)
        stop = min(asked.stop, len(body))
        headers["Content-Range"] = f"bytes {asked.start}-{stop - 1}/{len(body)}"
        return web.Response(status=206, body=body[asked.start : stop], headers=headers)


def _error(status: int, code: str) -> web.Response:
    return web.Response(status=status, text=f"<Error><Code>{code}</Code></Error>")


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()}"'


@asynccontextmanager
async def running(store: CarelessStore) -> AsyncIterator[S3Address]:
    """Serve *store* on loopback; give its address."""
    server = web.Server(store.answer)
    runner = web.ServerRunner(server)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield S3Address("careless", "", f"http://{host}:{port}", "us-east-1")
    finally:
        await runner.cleanup()
