"""How this workstation is, for the pages of its colleagues: figures, and nothing that a person named. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version

from lucidnode.node.client.alerts import Alert
from lucidnode.node.peers.messages import (
    MAX_SUMMARY_ALERTS,
    MAX_SUMMARY_SOURCES,
    PeerSummary,
)

DRIVE = "drive"
"""The topic under which colleagues hear that something is amiss with a drive: its own may name it."""

_WORD = re.compile(r"[a-z0-9-]{1,40}")
_MOST = 2**40
_UNKNOWN = "0"


def node_summary(
    *,
    up_s: float,
    cache: tuple[int, int, int],
    waiting: tuple[int, float],
    drives: int,
    alerts: Iterable[Alert],
    drives_amiss: bool,
    sources: Mapping[str, int],
    page: tuple[int, bytes],
) -> PeerSummary:
    """Return it within the bounds of the message.

    *cache* is bytes, limit, and what is free on its disk; *waiting* bytes, and for how many seconds
    the oldest. *page* is
    where the dashboard is for colleagues: port, and SHA-256 of the certificate. Of alerts the kind and the beginning are told: the rest may name files.
    """
    topics: dict[str, int] = {DRIVE: 0} if drives_amiss else {}
    for alert in alerts:
        word = _WORD.match(alert.topic)
        if word is not None and len(topics) < MAX_SUMMARY_ALERTS:
            topics.setdefault(word[0], min(_MOST, max(0, alert.since_ns // 10**9)))
    most = sorted(sources.items(), key=lambda item: -item[1])[:MAX_SUMMARY_SOURCES]
    held, limit, free = (max(0, count) for count in cache)
    return PeerSummary(
        version=_release(),
        up_s=min(_MOST, max(0, int(up_s))),
        cache_bytes=held,
        cache_limit=limit,
        disk_free=free,
        waiting_bytes=max(0, waiting[0]),
        waiting_s=min(_MOST, max(0, int(waiting[1]))),
        drives=drives,
        alerts=topics,
        sources={device: count for device, count in most if count},
        page_port=page[0],
        page_pin=page[1],
    )


def _release() -> str:
    found = re.fullmatch(r"[0-9A-Za-z.+-]{1,32}", version("lucidnode"))
    return _UNKNOWN if found is None else found[0]
