"""What mounts say of themselves, as plain JSON values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lucidnode.node.client import mount_messages
from lucidnode.node.client.alerts import Alert
from lucidnode.node.mounts import Mount

Answered = tuple[Mount, mount_messages.StatusReply | None]
"""A mount and what it said of itself, None if it said nothing."""


def me(answers: list[Answered]) -> dict[str, str] | None:
    """Return who works here, as the first mount that answers knows: names are sealed for everybody else."""
    for _, answer in answers:
        if answer is not None and answer.facts.get("member"):
            return {key: str(answer.facts[key]) for key in ("member", "role", "workstation")}
    return None


def listed(fact: object) -> list[str]:
    """Return *fact*, which a mount told, if it is a list."""
    return fact if isinstance(fact, list) else []


def collection(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return when what a project needs no more was collected last; `ended` is None while it is."""
    return {
        "begun": facts["collected_begun"],
        "ended": facts["collected_ended"] or None,
        "by": facts["collected_by"],
        "freed_bytes": facts["collected_bytes"],
        "next": facts["collected_next"],
    }


def rekey(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return how much of a project was left to seal anew `at` a time; members changed since, if `is_behind`."""
    return {
        "at": facts["rekey_at"],
        "by": facts["rekey_by"],
        "left_blocks": facts["rekey_blocks"],
        "left_bytes": facts["rekey_bytes"],
        "is_behind": facts["rekey_is_behind"],
    }


def mount_facts(mount: Mount) -> dict[str, Any]:
    """Return what the daemon knows of *mount* without asking it."""
    stats: mount_messages.MountStats = mount.stats
    return {
        "project": mount.project,
        "mountpoint": mount.hello.mountpoint,
        "pid": mount.hello.pid,
        "durability": mount.hello.durability,
        "kernel_channel": mount.hello.kernel_channel,
        "head": stats.head,
        "checkpoint": stats.checkpoint,
        "reading_to": stats.reading_to or None,
        "pending": stats.pending,
        "conflicts": stats.conflicts,
    }


def shown_alerts(own: list[Alert], answers: list[Answered]) -> list[dict[str, Any]]:
    """Return the daemon's *own* alerts, and those of its mounts."""
    return [_alert(alert) for alert in own] + [
        alert for mount, answer in answers for alert in _alerts_of(mount, answer)
    ]


def _alerts_of(mount: Mount, answer: mount_messages.StatusReply | None) -> list[dict[str, Any]]:
    where = mount.hello.mountpoint
    if answer is not None:
        return [_alert(alert, where) for alert in answer.alerts]
    silent = Alert(
        topic="mount-silent",
        cause=f"The drive at {where} does not answer.",
        remedy="It may be busy; if it stays so, unmount it and mount it again.",
        since_ns=0,
        count=1,
    )
    return [{**_alert(silent, where), "since": None}]


def _alert(alert: Alert, mountpoint: str | None = None) -> dict[str, Any]:
    """Return *alert* as JSON: *since* in seconds since 1970, *mountpoint* if it is a mount's."""
    return {
        "topic": alert.topic,
        "cause": alert.cause,
        "remedy": alert.remedy,
        "since": alert.since_ns / 1e9,
        "count": alert.count,
        "mountpoint": mountpoint,
    }
