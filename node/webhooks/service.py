"""Tells receivers what happens in mounted projects: in order, at least once, across restarts.

What a receiver has not taken waits in the journal. Its place there is noted after each delivery, so
after a restart at most the last one comes twice; while a project is not mounted here nothing is
told, and all of it once it is mounted again: the daemon knows no names and reads no journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NotThere, Refused, Unavailable
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.msgpack import decoded
from lucidnode.node.client.supervision import Tasks
from lucidnode.node.mounts import Mount, MountTable
from lucidnode.node.webhooks.book import TakenUpTo, Webhook, WebhookBook
from lucidnode.node.webhooks.delivery import Deliveries, NotTaken
from lucidnode.node.webhooks.messages import messages

ATTEMPTS = 8
"""Attempts of one delivery after which people are told. It is tried on until it is taken."""

FIRST_PAUSE_S, MAX_PAUSE_S = 1.0, 60.0

_LOOK_INTERVAL_S = 1.0
"""How soon a project that was mounted, or a webhook that was added, is followed."""

_WISH = msgspec.msgpack.Decoder(wire.WebhookWish)
_NAMED = msgspec.msgpack.Decoder(wire.WebhookNamed)


class Webhooks:
    """Follows mounts for all webhooks of *book*. *is_owner* tells whether an owner uses this machine."""

    def __init__(
        self,
        book: WebhookBook,
        mounts: MountTable,
        here: DeviceId,
        is_owner: Callable[[], bool],
        alerts: Alerts,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._book = book
        self._mounts = mounts
        self._here = here
        self._is_owner = is_owner
        self._alerts = alerts
        self._clock = clock
        self._tasks = tasks
        self._following: dict[tuple[str, ProjectId], asyncio.Task[None]] = {}
        self._refused: dict[str, str] = {}
        """Why a receiver does not take what it is told, by the webhook's id."""
        # The book is written by threads, one at a time and in order.
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Tell until cancelled."""
        async with Deliveries(self._clock) as deliveries:
            try:
                while True:
                    self._follow(deliveries)
                    await self._clock.sleep(_LOOK_INTERVAL_S)
            finally:
                for task in self._following.values():
                    task.cancel()

    def _follow(self, deliveries: Deliveries) -> None:
        """Have each webhook told of each mounted project that it is for, and of no other."""
        wanted = {
            (webhook.id, mount.project): (webhook, mount)
            for webhook in self._book.webhooks()
            for mount in self._mounts
            if webhook.project in {None, mount.project}
        }
        for key, task in list(self._following.items()):
            if key not in wanted:
                task.cancel()
            if task.done() or key not in wanted:
                del self._following[key]
        for key, (webhook, mount) in wanted.items():
            if key not in self._following:
                self._following[key] = self._tasks.create_task(
                    self._tell(deliveries, webhook, mount), name="calling webhooks"
                )

    async def _tell(self, deliveries: Deliveries, webhook: Webhook, mount: Mount) -> None:
        reader = f"webhook-{webhook.id}"
        place = self._book.place(webhook.id, mount.project)
        try:
            while True:
                after, told = (None, 0) if place is None else (place.after, place.told)
                page = await mount.events(reader, after, told)
                for message in messages(webhook, mount.project, page, self._here):
                    await self._deliver(deliveries, webhook, message)
                now = TakenUpTo(page.after, page.told)
                if now != place:
                    place = now
                    async with self._turn:
                        await asyncio.to_thread(self._book.took, webhook.id, mount.project, place)
        except (NotThere, Refused, Unavailable):
            return  # the mount has ended, or is at its limit: it is looked for again

    async def _deliver(
        self, deliveries: Deliveries, webhook: Webhook, message: dict[str, Any]
    ) -> None:
        topic = f"webhook:{webhook.id}"
        backoff = Backoff(None, FIRST_PAUSE_S, MAX_PAUSE_S)
        attempts = 0
        while True:
            if webhook.paths and not self._is_owner():
                why = "it is told paths, and you are no owner of the studio any more"
            else:
                try:
                    await deliveries.post(webhook, message)
                except NotTaken as error:
                    why = str(error)
                else:
                    self._refused.pop(webhook.id, None)
                    self._alerts.end(topic)
                    return
            self._refused[webhook.id] = why
            attempts += 1
            if attempts == ATTEMPTS:
                self._alerts.begin(
                    topic,
                    f"The webhook {webhook.url} does not take what it is told: {why}.",
                    "Check the receiver; it is told the rest when it answers. `lucidnode webhook "
                    f"remove {webhook.id}` gives it up.",
                )
            await self._clock.sleep(backoff.pause())

    # -- for people --------------------------------------------------------------------------

    async def facts(self) -> dict[str, Any]:
        """Return every webhook but its secret, and how far it is with each project."""
        return {
            "webhooks": [
                {
                    "id": webhook.id,
                    "url": webhook.url,
                    "project": webhook.project,
                    "paths": webhook.paths,
                    "refused": self._refused.get(webhook.id, ""),
                    "behind": {
                        mount.project: max(0, self._mounts.head(mount.project) - place.after)
                        for mount in self._mounts
                        if (place := self._book.place(webhook.id, mount.project)) is not None
                    },
                }
                for webhook in self._book.webhooks()
            ]
        }

    async def add(self, wish: bytes) -> bytes:
        """Add the webhook of a wire.WebhookWish; return the wire.WebhookAdded.

        Raises Refused, a sentence, for what is not allowed or no address; Malformed, DiskFull.
        """
        wanted = decoded(_WISH, wish)
        if wanted.paths and not self._is_owner():
            raise Refused("only an owner of the studio may have a webhook told paths")
        project = None if wanted.project is None else ProjectId(wanted.project)
        async with self._turn:
            added = await asyncio.to_thread(self._book.add, wanted.url, project, paths=wanted.paths)
        return msgspec.msgpack.encode(wire.WebhookAdded(added.id, added.secret))

    async def remove(self, named: bytes) -> bytes:
        """Remove the webhook of a wire.WebhookNamed. Raises NotThere, Refused, Malformed, DiskFull."""
        ident = decoded(_NAMED, named).id
        async with self._turn:
            await asyncio.to_thread(self._book.remove, ident)
        self._alerts.end(f"webhook:{ident}")
        return b""

    async def test(self, named: bytes) -> bytes:
        """Have the receiver of a wire.WebhookNamed take a test. Raises Unavailable, NotThere."""
        webhook = self._book.webhook(decoded(_NAMED, named).id)
        async with Deliveries(self._clock) as deliveries:
            try:
                await deliveries.post(webhook, {"event": "test"})
            except NotTaken as error:
                raise Unavailable(f"{webhook.url} does not take a test: {error}") from None
        return b""
