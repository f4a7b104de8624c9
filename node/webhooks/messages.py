"""What a receiver is told. Pure."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import msgspec

from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.mount_messages import EventsPage, ProjectEvent
from lucidnode.node.webhooks.book import Webhook

_NAMES = ("path", "old_path", "member", "workstation")
"""Fields of an event that say what people call things."""

_OF_ENTRY = ("seq", "time_ns", "device")


def is_told(webhook: Webhook, event: ProjectEvent, here: DeviceId) -> bool:
    """Tell whether the workstation *here* is the one that tells *webhook* of *event*.

    One that was added is known to the workstation where that was done, and told everything from
    there. One of node.json may be known to all, so each tells what it committed itself.
    """
    return event.device == here or not webhook.only_own


def messages(
    webhook: Webhook, project: ProjectId, page: EventsPage, here: DeviceId
) -> list[dict[str, Any]]:
    """Return what *webhook* is told of a *page* of events: one message for each entry, in order."""
    told: list[dict[str, Any]] = []
    if page.missed_from is not None:
        told.append(
            {"event": "missed", "project": project, "first": page.missed_from, "last": page.after}
        )
    wanted = [event for event in page.events if is_told(webhook, event, here)]
    for _, group in groupby(wanted, key=lambda event: event.seq):
        events = list(group)
        first = events[0]
        told.append(
            {
                "event": "commit",
                "project": project,
                "seq": first.seq,
                "time_ns": first.time_ns,
                "device": first.device,
                "changes": [_change(event, paths=webhook.paths) for event in events],
            }
        )
    return told


def _change(event: ProjectEvent, *, paths: bool) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(event)
    left_out = _OF_ENTRY if paths else (*_OF_ENTRY, *_NAMES)
    return {name: value for name, value in fields.items() if name not in left_out}
