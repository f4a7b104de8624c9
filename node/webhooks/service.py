"""Has receivers told what happens in mounted projects, across restarts.

The webhooks of a project are in its log, and one workstation at a time tells each of them: the mounts say
which, for they read the log (docs/design/0022-webhooks.md). Those of the book are this workstation's alone. While
a project is not mounted here nothing of it is told from here: the daemon knows no names and reads no journal.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NotThere, Refused, Unavailable
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.supervision import Tasks
from lucidnode.node.client.webhooks import ProjectWebhook
from lucidnode.node.mounts import Mount, MountTable
from lucidnode.node.secret_file import CHARACTERS
from lucidnode.node.webhooks.book import Webhook, WebhookBook, check_url
from lucidnode.node.webhooks.delivery import Deliveries, NotTaken
from lucidnode.node.webhooks.telling import Teller

_LOOK_INTERVAL_S = 1.0
"""How soon a project that was mounted, or a webhook that was added, is followed."""

_Key = tuple[Webhook, ProjectId]


class Webhooks:
    """Follows mounts for all webhooks. *is_owner* tells whether an owner uses this machine."""

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
        self._clock = clock
        self._tasks = tasks
        self._deliveries = Deliveries(clock)
        self._teller = Teller(self._deliveries, here, is_owner, alerts, clock)
        self._following: dict[_Key, asyncio.Task[None]] = {}
        # The book is written by threads, one at a time and in order.
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Tell until cancelled."""
        async with self._deliveries:
            try:
                while True:
                    self._follow()
                    await self._clock.sleep(_LOOK_INTERVAL_S)
            finally:
                for task in self._following.values():
                    task.cancel()

    def _follow(self) -> None:
        """Have each webhook told of each mounted project that it is for, and of no other."""
        wanted = {
            (webhook, mount.project): (mount, shared) for webhook, mount, shared in self._pairs()
        }
        for key, task in list(self._following.items()):
            if key not in wanted:
                task.cancel()
                self._teller.forget(key[0].id, key[1])
            if task.done() or key not in wanted:
                del self._following[key]
        for key, (mount, shared) in wanted.items():
            if key not in self._following:
                work = self._telling(key[0], mount, shared)
                self._following[key] = self._tasks.create_task(work, name="calling webhooks")

    def _pairs(self) -> Iterator[tuple[Webhook, Mount, ProjectWebhook | None]]:
        for mount in self._mounts:
            for webhook in self._book.webhooks():
                if webhook.project in {None, mount.project}:
                    yield webhook, mount, None
            for shared in mount.webhooks:
                if not _why_not(shared):
                    yield _webhook(shared, mount), mount, shared

    def _telling(
        self, webhook: Webhook, mount: Mount, shared: ProjectWebhook | None
    ) -> Coroutine[None, None, None]:
        if shared is None:
            return self._teller.tell_alone(webhook, mount, self._book, self._turn)
        return self._teller.tell_by_turns(webhook, (shared.after, shared.told), mount)

    # -- for people --------------------------------------------------------------------------

    async def facts(self) -> dict[str, Any]:
        """Return every webhook but its secret, who tells it, and how far it is with each project."""
        alone = [self._told_alone(webhook) for webhook in self._book.webhooks()]
        by_turns = [each for mount in self._mounts for each in await self._told_by_turns(mount)]
        return {"webhooks": alone + by_turns}

    def _told_alone(self, webhook: Webhook) -> dict[str, Any]:
        refused = [why for (ident, _), why in self._teller.refused.items() if ident == webhook.id]
        return {
            "id": webhook.id,
            "url": webhook.url,
            "project": webhook.project,
            "paths": webhook.paths,
            "told_by": "this workstation alone",
            "refused": refused[0] if refused else "",
            "behind": {
                mount.project: max(0, mount.stats.head - place.after)
                for mount in self._mounts
                if (place := self._book.place(webhook.id, mount.project)) is not None
            },
        }

    async def _told_by_turns(self, mount: Mount) -> list[dict[str, Any]]:
        others = sorted({one.teller for one in mount.webhooks} - {"", self._here})
        described = await mount.describe(every_alert=False, devices=others) if others else None
        names = {} if described is None else described.names
        return [
            {
                "id": one.id,
                "url": one.url,
                "project": mount.project,
                "paths": one.paths,
                "told_by": "this workstation"
                if one.teller == self._here
                else names.get(one.teller, one.teller[:8]),
                "refused": self._teller.refused.get((one.id, mount.project), "") or _why_not(one),
                "behind": {mount.project: max(0, mount.stats.head - one.after)},
            }
            for one in mount.webhooks
        ]

    async def add(self, wanted: wire.WebhookWish) -> wire.WebhookAdded:
        """Add a webhook to its project, or to all mounted ones; return what it is called, and its secret.

        Raises Refused, a sentence, for what is not allowed or no address; NotThere, Unavailable.
        """
        check_url(wanted.url, paths=wanted.paths)
        if wanted.paths and not self._is_owner():
            raise Refused("only an owner of the studio may have a webhook told paths")
        if wanted.project is None:
            mounts = list(self._mounts)
        else:
            mounts = [self._mounts.mount(ProjectId(wanted.project))]
        if not mounts:
            raise NotThere("a webhook belongs to a project: mount that first")
        ident, secret = secrets.token_hex(4), secrets.token_hex(CHARACTERS // 2)
        refused = [
            reply.refused
            for mount in mounts
            if (
                reply := await mount.webhook(
                    "add", ident, url=wanted.url, secret=secret, paths=wanted.paths
                )
            ).refused
        ]
        if len(refused) == len(mounts):
            raise Refused(refused[0])
        return wire.WebhookAdded(ident, secret)

    async def remove(self, ident: str) -> None:
        """Remove the webhook with that id, from each project that is mounted here.

        Raises NotThere, Refused, Unavailable, DiskFull.
        """
        mounts = [mount for mount in self._mounts if any(one.id == ident for one in mount.webhooks)]
        for mount in mounts:
            if (reply := await mount.webhook("remove", ident)).refused:
                raise Refused(reply.refused)
        if not mounts:
            async with self._turn:
                await asyncio.to_thread(self._book.remove, ident)
        self._follow()

    async def test(self, ident: str) -> None:
        """Have the receiver of the webhook with that id take a test. Raises Unavailable, NotThere, Refused."""
        webhook = self._told_from_here(ident)
        async with Deliveries(self._clock) as deliveries:
            try:
                await deliveries.post(webhook, {"event": "test"})
            except NotTaken as error:
                raise Unavailable(f"{webhook.url} does not take a test: {error}") from None

    def _told_from_here(self, ident: str) -> Webhook:
        """Return the webhook with that id. Raises NotThere, and Refused if it is not told from here."""
        for mount in self._mounts:
            for one in mount.webhooks:
                if one.id == ident:
                    if why := _why_not(one):
                        raise Refused(why)
                    return _webhook(one, mount)
        return self._book.webhook(ident)


def _webhook(shared: ProjectWebhook, mount: Mount) -> Webhook:
    return Webhook(shared.id, shared.url, shared.secret, mount.project, shared.paths)


def _why_not(shared: ProjectWebhook) -> str:
    """Return why a webhook of a project is not told from here, empty if it is.

    Its address comes from another workstation, and is looked at as if somebody here had typed it.
    """
    if shared.why:
        return shared.why
    try:
        check_url(shared.url, paths=shared.paths)
    except Refused as error:
        return str(error)
    return ""
