"""What the daemon tells people of itself, to commands that may be of another release than it is."""

from __future__ import annotations

from typing import Any

from lucidnode.node.client.daemon_socket.transport import PROMPT, DaemonTransport
from lucidnode.node.client.errors import NotThere, Unavailable
from lucidnode.node.client.json_text import json_in


class Facts(dict[str, Any]):
    """A JSON object of a daemon. One of an earlier release does not have all that we ask for."""

    def __missing__(self, name: str) -> Any:
        """Raise Unavailable, with the way out."""
        raise Unavailable(
            f'the daemon that runs is of another release, and does not tell "{name}"',
            "unmount, `lucidnode exit`, and mount again",
            lasting=True,
        )


class DaemonFacts:
    """The daemon's facts, by their topics."""

    def __init__(self, transport: DaemonTransport) -> None:
        self._transport = transport

    async def on(self, topic: str) -> Facts:
        """Return the daemon's facts on *topic*, one of those of `topics` in `node/shown_parts.py`."""
        return facts_in(await self._transport.read(f"/v1/{topic}", bound=PROMPT))

    async def store_ahead_s(self) -> float | None:
        """Return by how many seconds the store's clock was ahead of ours at its last answer, if it says."""
        try:
            ahead_s: float | None = (await self.on("store-clock"))["ahead_s"]
        except NotThere:
            return None  # a daemon of an earlier release, until it is started anew
        return ahead_s


def facts_in(answer: bytes) -> Facts:
    """Return the object that *answer* holds, and those in it, as Facts. Raises Malformed."""
    return Facts({name: _facts(value) for name, value in json_in(answer, dict).items()})


def _facts(value: Any) -> Any:
    if isinstance(value, dict):
        return Facts({name: _facts(each) for name, each in value.items()})
    if isinstance(value, list):
        return [_facts(each) for each in value]
    return value
