"""Tells one receiver what happens in one project: in order, at least once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.backoff import Backoff
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NotThere, Refused, Unavailable
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.mounts import Mount
from lucidnode.node.webhooks.book import TakenUpTo, Webhook, WebhookBook
from lucidnode.node.webhooks.delivery import ANSWER_S, Deliveries, NotTaken
from lucidnode.node.webhooks.messages import messages

ATTEMPTS = 8
"""Attempts of one delivery after which people are told. It is tried on until it is taken."""

FIRST_PAUSE_S, MAX_PAUSE_S = 1.0, 60.0

_NEEDED_S = ANSWER_S + 1.0
"""For how long the job has to be ours yet to begin an attempt, which is over by then."""

Place = tuple[int, int]
"""All up to that entry, and so many events of the next one."""

Leave = Callable[[], Awaitable[str]]
"""Returns why an attempt must not be made now, empty if it may. Raises _AnotherTells."""


class _AnotherTells(Exception):
    """The job is another workstation's, or it has told this already."""


class Teller:
    """Tells receivers by *deliveries*, and knows which of them take nothing."""

    def __init__(
        self,
        deliveries: Deliveries,
        here: DeviceId,
        is_owner: Callable[[], bool],
        alerts: Alerts,
        clock: Clock,
    ) -> None:
        self._deliveries = deliveries
        self._here = here
        self._is_owner = is_owner
        self._alerts = alerts
        self._clock = clock
        self.refused: dict[tuple[str, ProjectId], str] = {}
        """Why a receiver does not take what it is told of a project, by the webhook's id."""

    async def tell_alone(
        self, webhook: Webhook, mount: Mount, book: WebhookBook, turn: asyncio.Lock
    ) -> None:
        """Tell one that only this workstation knows, until the mount ends.

        Its place is noted in *book* after each delivery, so after a restart at most the last one comes twice.
        """

        async def leave() -> str:
            if webhook.paths and not self._is_owner():
                return "it is told paths, and you are no owner of the studio any more"
            return ""

        place = book.place(webhook.id, mount.project)
        try:
            while True:
                after, told = (None, 0) if place is None else (place.after, place.told)
                page = await mount.events(_reader(webhook), after, told)
                for message in messages(webhook, mount.project, page, self._here):
                    await self._deliver(webhook, mount.project, message, leave)
                now = TakenUpTo(page.after, page.told)
                if now != place:
                    place = now
                    async with turn:
                        await asyncio.to_thread(book.took, webhook.id, mount.project, place)
        except (NotThere, Refused, Unavailable):
            return  # the mount has ended, or is at its limit: it is looked for again

    async def tell_by_turns(self, webhook: Webhook, place: Place, mount: Mount) -> None:
        """Tell one of the project's, while the job is ours, from *place* on, until the mount ends.

        While it is another's this follows what he has told, and asks for the job: whether he is
        silent the mount knows.
        """
        job = _Job(webhook.id, mount, self._clock)
        try:
            while True:
                page = await mount.events(_reader(webhook), *place)
                told = messages(webhook, mount.project, page, self._here)
                if not told:
                    place = (page.after, page.told)
                    continue
                job.wanted = place
                try:
                    for message in told:
                        await self._deliver(webhook, mount.project, message, job.leave)
                    place = (page.after, page.told)
                except _AnotherTells:
                    if job.place <= place:
                        await self._clock.sleep(FIRST_PAUSE_S)
                    place = max(place, job.place)
                await mount.webhook("told", webhook.id, place)
        except (NotThere, Refused, Unavailable):
            return  # the mount has ended, or is at its limit: it is looked for again

    async def _deliver(
        self, webhook: Webhook, project: ProjectId, message: dict[str, Any], leave: Leave
    ) -> None:
        """Return once the receiver has taken *message*. Raises what *leave* does."""
        key, topic = (webhook.id, project), topic_of(webhook.id, project)
        backoff = Backoff(None, FIRST_PAUSE_S, MAX_PAUSE_S)
        attempts = 0
        while True:
            try:
                why = await leave()
                if not why:
                    await self._deliveries.post(webhook, message)
            except NotTaken as error:
                why = str(error)
            except _AnotherTells:
                self.forget(*key)
                raise
            if not why:
                self.forget(*key)
                return
            self.refused[key] = why
            attempts += 1
            if attempts == ATTEMPTS:
                self._alerts.begin(
                    topic,
                    f"The webhook {webhook.url} does not take what it is told: {why}.",
                    "Check the receiver; it is told the rest when it answers. `lucidnode webhook "
                    f"remove {webhook.id}` gives it up.",
                )
            await self._clock.sleep(backoff.pause())

    def forget(self, ident: str, project: ProjectId) -> None:
        """Note that nothing is refused any more: it was taken, or is not for us to tell."""
        self.refused.pop((ident, project), None)
        self._alerts.end(topic_of(ident, project))


class _Job:
    """The right to tell one receiver, as the mount grants it for a while."""

    def __init__(self, ident: str, mount: Mount, clock: Clock) -> None:
        self._ident = ident
        self._mount = mount
        self._clock = clock
        self._ends_at = 0.0
        self.wanted: Place = (0, 0)
        """From where on there is something to tell."""
        self.place: Place = (0, 0)
        """How far it has been told, as the mount said last."""

    async def leave(self) -> str:
        """See Leave."""
        asked_at = self._clock.boot()
        if self._ends_at - asked_at < _NEEDED_S:
            reply = await self._mount.webhook("claim", self._ident, self.wanted)
            self._ends_at = asked_at + reply.may_tell_s
            self.place = reply.after, reply.told
        if self._ends_at - self._clock.boot() < _NEEDED_S:
            raise _AnotherTells
        return ""


def topic_of(ident: str, project: ProjectId) -> str:
    """Return the topic of the alert that the receiver of a webhook takes nothing."""
    return f"webhook:{ident}:{project}"


def _reader(webhook: Webhook) -> str:
    return f"webhook-{webhook.id}"
