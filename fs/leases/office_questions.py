"""Questions from mount to mount over the links that leases are asked for on, and their answers.

They are for people who look: nothing is decided by them, and who does not answer in time is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from lucidnode.fs.format.office_message import (
    ASKING_SIZE,
    LocksReply,
    ProgressReply,
    Question,
    Reply,
    Word,
)
from lucidnode.fs.leases.recalls import Recalls
from lucidnode.node.client.ids import DeviceId

ANSWER_S = 0.4
"""How long others may take to answer: who asked waits for all of a mount's status for a second."""

MOST_ASKED = 64
"""Questions at once: a quarter of the words that may wait to be said, which leases are asked for with as well."""

Q = TypeVar("Q", bound=Question)


class OfficeQuestions:
    """What one mount asks of others for people, and what it answers them."""

    def __init__(self, recalls: Recalls, random_bytes: Callable[[int], bytes]) -> None:
        self._recalls = recalls
        self._random_bytes = random_bytes
        self._answers: dict[type[Any], Callable[[Any], Reply]] = {}
        self._awaited: dict[tuple[DeviceId, bytes], asyncio.Future[Reply]] = {}
        recalls.listen(self._heard)
        recalls.watch(self._look)

    def answer(self, kind: type[Q], reply: Callable[[Q], Reply]) -> None:
        """Have questions of that *kind* answered by *reply*."""
        self._answers[kind] = reply

    async def ask(
        self, questions: Iterable[tuple[DeviceId, Callable[[bytes], Question]]]
    ) -> list[tuple[DeviceId, Reply]]:
        """Return the answers of the mounts on these devices, of such as answer within ANSWER_S.

        The first MOST_ASKED are asked: rows of others name devices, as many as they like. Each question is made with the number that its answer will have.
        """
        hearing = (each for each in questions if not self._recalls.is_deaf(each[0]))
        asked = [
            (device, self._random_bytes(ASKING_SIZE), question)
            for device, question in islice(hearing, MOST_ASKED)
        ]
        if not asked:
            return []
        loop = asyncio.get_running_loop()
        answers = {(device, number): loop.create_future() for device, number, _ in asked}
        self._awaited |= answers
        try:
            for device, number, question in asked:
                self._recalls.say(device, question(number))
            await asyncio.wait(answers.values(), timeout=ANSWER_S)
        finally:
            for place in answers:
                del self._awaited[place]
        return [
            (device, answer.result())
            for (device, _), answer in answers.items()
            if answer.done() and not answer.cancelled()
        ]

    def _look(self) -> None:
        """Wait for nobody to whom there is no link."""
        for (device, _), answer in self._awaited.items():
            if self._recalls.is_deaf(device):
                answer.cancel()

    def _heard(self, device: DeviceId, word: Word) -> None:
        if isinstance(word, LocksReply | ProgressReply):
            answer = self._awaited.get((device, word.asking))
            if answer is not None and not answer.done():
                answer.set_result(word)
        elif isinstance(word, Question) and (reply := self._answers.get(type(word))) is not None:
            self._recalls.say(device, reply(word))
