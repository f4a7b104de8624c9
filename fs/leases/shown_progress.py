"""The files on their way to the bucket, for people: ours, and those of others with what they say of them."""

from __future__ import annotations

from functools import partial

from lucidnode.fs.files.on_their_way import OnTheirWay
from lucidnode.fs.format.office_message import (
    MOST_FILES,
    FileProgress,
    ProgressQuery,
    ProgressReply,
)
from lucidnode.fs.leases.office_questions import OfficeQuestions
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.node.client import mount_messages
from lucidnode.node.client.ids import DeviceId


class ShownProgress:
    """What `status` lists of one project's files under way, with how far each is."""

    def __init__(self, on_their_way: OnTheirWay, questions: OfficeQuestions) -> None:
        self._on_their_way = on_their_way
        self._questions = questions
        self._said: dict[tuple[DeviceId, InodeNo], FileProgress] = {}
        questions.answer(ProgressQuery, self._reply)

    async def ask(self) -> None:
        """Ask the workstations of the office how far their files are, for the next `files`."""
        theirs: dict[DeviceId, list[InodeNo]] = {}
        for device, ino in self._on_their_way.others():
            theirs.setdefault(device, []).append(ino)
        replies = await self._questions.ask(
            (device, partial(_query, inos[first : first + MOST_FILES]))
            for device, inos in theirs.items()
            for first in range(0, len(inos), MOST_FILES)
        )
        self._said = {
            (device, InodeNo(file.ino)): file
            for device, reply in replies
            if isinstance(reply, ProgressReply)
            for file in reply.files
        }

    def files(self) -> list[mount_messages.FileOnItsWay]:
        """Return the files on their way now; of others' what they said when they were asked last."""
        return [
            each.shown(each.progress or self._said.get((each.device, each.ino)))
            for each in self._on_their_way.files()
        ]

    def _reply(self, query: ProgressQuery) -> ProgressReply:
        return ProgressReply(query.asking, self._on_their_way.progress(query.inos))


def _query(inos: list[InodeNo], number: bytes) -> ProgressQuery:
    return ProgressQuery(number, list(inos))
