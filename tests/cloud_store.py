"""A stand-in for Google Cloud Storage: what its XML API does with objects, after Google's reference.

It knows one bucket and checks no signature. https://cloud.google.com/storage/docs/xml-api/overview
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from xml.sax.saxutils import escape

import msgspec
from aiohttp import web

from lucidnode.node.bucket.credentials import Credentials

BUCKET = "studio"

KEY = Credentials(
    "studio@example.iam.gserviceaccount.com",
    msgspec.json.encode(
        {
            "gcs_base_url": "http://192.0.2.1",
            "disable_oauth": True,
            "client_email": "studio@example.iam.gserviceaccount.com",
            "private_key": "",
            "private_key_id": "",
        }
    ).decode(),
)
"""Of a service account that fetches no token first; the URL in it leads nowhere."""


class StandIn:
    """Objects in memory. *answer*, if it is set, is the answer to everything."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.answer: tuple[int, str] | None = None

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.requests.append((request.method, request.path))
        if self.answer is not None:
            return web.Response(status=self.answer[0], text=self.answer[1])
        bucket, _, key = request.path.removeprefix("/").partition("/")
        if bucket != BUCKET:
            return _error(404, "NoSuchBucket")
        if not key:
            return self._list(request)
        match request.method:
            case "PUT":
                return await self._put(key, request)
            case "DELETE":
                if self.objects.pop(key, None) is None:
                    return _error(404, "NoSuchKey")
                return web.Response(status=204)
            case _:
                return self._get(key, request)

    async def _put(self, key: str, request: web.BaseRequest) -> web.Response:
        body = await request.content.read()
        if request.headers.get("x-goog-if-generation-match") == "0" and key in self.objects:
            return _error(412, "PreconditionFailed")
        self.objects[key] = body
        return web.Response(headers=_about(body))

    def _get(self, key: str, request: web.BaseRequest) -> web.Response:
        if key not in self.objects:
            return _error(404, "NoSuchKey")
        body = self.objects[key]
        asked = request.http_range
        if asked.start is None:
            return web.Response(body=body, headers=_about(body))
        if asked.start >= len(body):
            return _error(416, "InvalidRange")
        stop = min(asked.stop, len(body))
        part = {"Content-Range": f"bytes {asked.start}-{stop - 1}/{len(body)}"}
        return web.Response(status=206, body=body[asked.start : stop], headers=_about(body) | part)

    def _list(self, request: web.BaseRequest) -> web.Response:
        query = request.query
        after = query.get("continuation-token") or query.get("start-after", "")
        most = int(query.get("max-keys", "1000"))
        keys = sorted(
            key for key in self.objects if key.startswith(query.get("prefix", "")) and key > after
        )
        listed = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size>"
            f"<LastModified>2026-11-22T00:00:00.000Z</LastModified>"
            f"<ETag>{_etag(self.objects[key])}</ETag></Contents>"
            for key in keys[:most]
        )
        cut = "".join(keys[most - 1 : most]) if len(keys) > most else ""
        more = f"<NextContinuationToken>{cut}</NextContinuationToken>" if cut else ""
        return web.Response(text=f"<ListBucketResult>{listed}{more}</ListBucketResult>")


def _about(body: bytes) -> dict[str, str]:
    return {
        "ETag": _etag(body),
        "Last-Modified": formatdate(0, usegmt=True),
        "x-goog-generation": "1",
    }


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _error(status: int, code: str) -> web.Response:
    return web.Response(
        status=status,
        text=f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>",
    )


@asynccontextmanager
async def served(store: StandIn, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve *store* on loopback; give its endpoint."""
    server = web.Server(store.handle)
    runner = web.ServerRunner(server)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        scheme = "https" if tls else "http"
        host, port = runner.addresses[0][:2]
        yield f"{scheme}://{host}:{port}"
    finally:
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()  # what nobody read is not waited for
        await runner.cleanup()
