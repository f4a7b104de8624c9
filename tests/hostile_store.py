"""The hostile proxy before a real store, for tests of real processes: it runs in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random  # noqa: TID251 - seeded: a failure can be repeated
from urllib.parse import urlsplit

from lab.hostile import Fault, Hostility, Request, parse_rule
from lab.hostile_proxy import HostileProxy
from lab.private_ca import Authority


class HostileStore:
    """What a workstation is told is its store. Rules are for a while: `with store.rules(…)`."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname
        assert parts.port
        self.endpoint = ""
        self._hostility = Hostility(Random(1))
        self._proxy = HostileProxy((parts.hostname, parts.port), self._decide)
        self._lock = threading.Lock()

    @contextmanager
    def rules(self, *texts: str) -> Iterator[Counter[str]]:
        """Have these rules in force; gives the hits, all of which must have come in the end."""
        with self._lock:
            self._hostility.hits.clear()
            self._hostility.set([parse_rule(text) for text in texts])
        try:
            yield self._hostility.hits
            missing = {text.split()[0] for text in texts} - set(self._hostility.hits)
            assert not missing, f"never hit: {missing}"
        finally:
            with self._lock:
                self._hostility.set([])

    def requests(self) -> int:
        """Return how many requests came so far."""
        return len(self._proxy.requests)

    def puts(self, part: str) -> int:
        """Return how many objects with *part* in their keys it was to take so far."""
        requests = list(self._proxy.requests)
        return sum(each.method == "put" and part in each.key for each in requests)

    def _decide(self, request: Request) -> Fault | None:
        with self._lock:
            rule = self._hostility.befalls(request)
        return rule.fault if rule else None

    @contextmanager
    def running(self, authority: Authority | None = None) -> Iterator[HostileStore]:
        """Serve on loopback from a thread; over TLS with an *authority*."""
        ready = threading.Event()
        loop = asyncio.new_event_loop()
        ended = asyncio.Event()

        async def serve() -> None:
            context = None if authority is None else authority.server_context()
            async with self._proxy.serving(tls=context) as endpoint:
                self.endpoint = endpoint
                ready.set()
                await ended.wait()

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
        thread.start()
        try:
            assert ready.wait(40)
            yield self
        finally:
            loop.call_soon_threadsafe(ended.set)
            thread.join(20)
            loop.close()
