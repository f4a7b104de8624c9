"""One budget of file descriptors for a process that strangers can make open some."""

from __future__ import annotations

import resource

MAX_LIMIT = 65_536
"""Descriptors we ask for: more than all ports together may use."""

RESERVED_DESCRIPTORS = 832
"""Descriptors that no proven connection may take: files, the bucket's connections, mounts, and what
three ports let callers have who have not proven themselves yet (node/peers/listener.py)."""

MAX_CONNECTIONS = 512
"""Connections of one port, however many descriptors there are."""


def raised() -> int:
    """Raise this process's soft limit of descriptors as far as it may; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_LIMIT if hard == resource.RLIM_INFINITY else min(hard, MAX_LIMIT)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MAX_LIMIT if soft == resource.RLIM_INFINITY else soft


def share(limit: int, ports: int) -> int:
    """Return how many connections each of *ports* may have open under *limit* descriptors."""
    return max(16, min(MAX_CONNECTIONS, (limit - RESERVED_DESCRIPTORS) // ports))
