"""What a colleague is shown of a workstation: what his own role lets him see, and nothing to press. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_WHOLE = ("bucket", "uploads", "savings", "office", "cache")
"""Figures of the workstation and the office."""

_NAMELESS = "another workstation"
"""With nothing mounted it does not know what it is called."""

_OF_MOUNTS = ("on_their_way", "locks", "leases", "conflicts", "collections")


def shown_to(facts: dict[str, Any], projects: Collection[str]) -> dict[str, Any]:
    """Return the part of the page's *facts* for a colleague who may read *projects*.

    Directories of the workstation are not his affair: a drive goes by its project's name.
    """
    mounts = [mount for mount in facts["mounts"] if mount["project"] in projects]
    named = {
        mount["mountpoint"]: mount["words"].get("project") or mount["project"][:8]
        for mount in mounts
    }

    def renamed(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            item | {"mountpoint": named[item["mountpoint"]]}
            for item in items
            if item["mountpoint"] in named
        ]

    return {
        **{name: facts[name] for name in _WHOLE},
        **{name: renamed(facts[name]) for name in _OF_MOUNTS},
        "mounts": renamed(mounts),
        "alerts": [alert for alert in facts["alerts"] if alert["mountpoint"] is None]
        + renamed([alert for alert in facts["alerts"] if alert["mountpoint"] is not None]),
        "visitor": next(
            filter(None, (mount["words"].get("workstation") for mount in mounts)), _NAMELESS
        ),
    }
