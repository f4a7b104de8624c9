"""Asking the node that holds a lease over the links of the office, and being asked.

Nothing is decided by what is said here: a lease moves by entries alone. Who is asked gives it sooner, and who
asks spares the entry that would ask. A word that is lost, late, repeated or false costs that entry again, or one
that nobody needed (docs/design/0012-leases.md, "Asking").

One thing does rest on it: who was given a lease by an entry that names what he asked counts its time from when
he *sent* that. He made the number up then, so no entry that names it is older.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from cachetools import LRUCache

from lucidnode.fs.errors import FormatError
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.format.office_message import (
    ASKING_SIZE,
    LeaseAnswer,
    LeaseRecall,
    Word,
    open_word,
    seal_word,
)
from lucidnode.fs.leases.lease_row import RowPlace
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""How often who waits asks again. Who was not answered in that time asks by an entry."""

FORGOTTEN_S = 3 * AGAIN_S
"""After how long without a word he wants it no more."""

DEAF_S = 10.0
"""How long who did not answer is asked by entries alone."""

_MOST = 1024
"""Askings that are remembered, of ours and of others each: who is forgotten asks again."""


class Asker(NamedTuple):
    """Who wants a lease, and the number of his asking."""

    device: DeviceId
    asking: bytes


@dataclass(slots=True)
class _Asking:
    """What was asked of *holder* about a row that has *fence*. Times are of the boot clock."""

    holder: DeviceId
    fence: int
    sent_at: float
    is_answered: bool = False
    busy_until: float = 0.0
    """Until when his word counts that it is in use there: then he is asked again."""


class _Sent(NamedTuple):
    place: RowPlace
    at: float


class _Heard(NamedTuple):
    asker: Asker
    fence: int
    at: float
    is_told: bool = False
    """Whether he knows that it is in use here."""


class Recalls:
    """What one mount, which is *device*, asks of others and hears from them. Nothing here awaits."""

    def __init__(
        self,
        *,
        keys: Callable[[], ProjectKeys],
        writer_key: Callable[[DeviceId, int], bytes | None],
        device: DeviceId,
        send: Callable[[DeviceId, bytes], None],
        random_bytes: Callable[[int], bytes],
        clock: Clock,
    ) -> None:
        """Take what it works with. *send* has a word brought to the mount on a device, if there is a link.

        *writer_key* is not None for a device whose entries of an epoch count.
        """
        self._keys = keys
        self._writer_key = writer_key
        self._device = device
        self._send = send
        self._random_bytes = random_bytes
        self._clock = clock
        self._askings: LRUCache[RowPlace, _Asking] = LRUCache(_MOST)
        self._sent: LRUCache[bytes, _Sent] = LRUCache(_MOST)
        """By the number of each: every time another, so that who waits for long counts from the newest."""
        self._deaf: dict[DeviceId, float] = {}
        self._heard: LRUCache[RowPlace, _Heard] = LRUCache(_MOST)
        self._on_news: list[Callable[[], None]] = []
        self._on_word: Callable[[DeviceId, Word], None] = _pass_over

    def listen(self, on_word: Callable[[DeviceId, Word], None]) -> None:
        """Have *on_word* hear what is said of other things than leases."""
        self._on_word = on_word

    def watch(self, on_news: Callable[[], None]) -> None:
        """Have *on_news* called when something was asked or answered, or cannot be."""
        self._on_news.append(on_news)

    # -- asking ------------------------------------------------------------------------------

    def asks(self, place: RowPlace, holder: DeviceId, fence: int) -> bool:
        """Ask *holder* for what the row at *place* is for, now or again; call it while it is wanted.

        *fence* is the row's, 0 if there is none. False: it has to be asked by an entry.
        """
        now = self._clock.boot()
        if self.is_deaf(holder):
            return False
        asking = self._askings.get(place)
        if asking is None or (asking.holder, asking.fence) != (holder, fence):
            asking = self._askings[place] = _Asking(holder, fence, now)
        elif now - asking.sent_at < AGAIN_S:
            return True
        elif not asking.is_answered:
            self._deaf[holder] = now + DEAF_S
            return False
        asking.sent_at, asking.is_answered = now, False
        number = self._random_bytes(ASKING_SIZE)
        self._sent[number] = _Sent(place, now)
        self.say(holder, LeaseRecall(place.name, place.ino, fence, number))
        return True

    def is_deaf(self, device: DeviceId) -> bool:
        """Tell whether there is no link to *device*, or it has not answered lately."""
        return self._deaf.get(device, 0.0) > self._clock.boot()

    def asked_at(self, asking: bytes) -> float | None:
        """Return when this life sent *asking*, by the boot clock; None if it did not."""
        sent = self._sent.get(asking)
        return None if sent is None else sent.at

    def is_busy(self, place: RowPlace) -> bool:
        """Tell whether who holds it has just said that it is in use there."""
        asking = self._askings.get(place)
        return asking is not None and self._clock.boot() < asking.busy_until

    # -- being asked -------------------------------------------------------------------------

    def asker(self, place: RowPlace, fence: int) -> Asker | None:
        """Return who wants what the row at *place*, which has *fence*, is for; 0: there is none."""
        heard = self._heard.get(place)
        if heard is None or heard.fence != fence:
            return None
        if self._clock.boot() - heard.at > FORGOTTEN_S:
            del self._heard[place]
            return None
        return heard.asker

    def asked_for(self, name: bytes) -> list[InodeNo]:
        """Return of what the rows called *name* were asked for lately."""
        return [place.ino for place in self._heard if place.name == name]

    def say_busy(self, place: RowPlace) -> None:
        """Tell who wants it that it is in use here."""
        heard = self._heard.get(place)
        if heard is not None and not heard.is_told:
            self._heard[place] = heard._replace(is_told=True)
            self.say(heard.asker.device, LeaseAnswer(heard.asker.asking, busy=True))

    # -- words -------------------------------------------------------------------------------

    def heard(self, device: DeviceId, word: bytes) -> None:
        """Take in *word* of the mount on *device*, as the daemon says."""
        try:
            message = open_word(self._keys(), device, self._device, word)
        except (FormatError, Malformed) as error:
            log.info("a word of device %s is not understood: %s", device, error)
            return
        if isinstance(message, LeaseRecall):
            self._take(device, message)
        elif isinstance(message, LeaseAnswer):
            self._answered(device, message)
        else:
            self._on_word(device, message)
            return
        self._tell()

    def not_linked(self, device: DeviceId) -> None:
        """Hear that what was said to *device* does not go there."""
        self._deaf[device] = self._clock.boot() + DEAF_S
        self._tell()

    def _take(self, device: DeviceId, recall: LeaseRecall) -> None:
        if self._writer_key(device, max(self._keys().announced)) is None:
            return  # a viewer could not give it back: it would be nobody's until its time is over
        place = RowPlace(InodeNo(recall.ino), recall.lease)
        asker = Asker(device, recall.asking)
        first = self.asker(place, recall.fence)
        # Who came first gets it first; the others ask until it is their turn.
        if first is None or first.device == device:
            self._heard[place] = _Heard(asker, recall.fence, self._clock.boot())
        self.say(device, LeaseAnswer(recall.asking, busy=False))

    def _answered(self, device: DeviceId, answer: LeaseAnswer) -> None:
        sent = self._sent.get(answer.asking)
        asking = None if sent is None else self._askings.get(sent.place)
        if asking is not None and asking.holder == device:
            asking.is_answered = True
            asking.busy_until = self._clock.boot() + AGAIN_S if answer.busy else 0.0

    def say(self, device: DeviceId, message: Word) -> None:
        """Say *message* to the mount on *device*, if there is a link."""
        nonce = self._random_bytes
        self._send(device, seal_word(self._keys(), self._device, device, message, nonce))

    def _tell(self) -> None:
        for on_news in self._on_news:
            on_news()


def _pass_over(_device: DeviceId, _word: Word) -> None:
    """Have nothing to say of it."""
