"""One look at a slot of a log: what one answer of the bucket shows, which decides nothing yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from blake3 import blake3

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import Oversize
from lucidnode.node.bucket.fingerprint import START, oversize_fingerprint
from lucidnode.node.client.errors import Corrupt, NotThere, Unavailable
from lucidnode.node.client.ids import Seq
from lucidnode.node.journal.log_names import LogNames


@dataclass(frozen=True, slots=True)
class SlotLook:
    """What was in a slot. *body* is None for what is larger than any object of ours."""

    size: int
    hash: bytes
    body: bytes | None


class SlotReader:
    """Looks at the slots of one log. *no_answer* notes an answer that is none, and names it."""

    def __init__(
        self, bucket: Bucket, names: LogNames, no_answer: Callable[[], Unavailable]
    ) -> None:
        self._bucket = bucket
        self._names = names
        self._no_answer = no_answer

    async def look(self, seq: Seq) -> SlotLook | None:
        """Return what is in slot *seq*, None if nothing is. Raises Unavailable."""
        key = self._names.key(seq)
        try:
            body = await self._bucket.get(key)
        except NotThere:
            return None
        except Oversize as over:
            found = oversize_fingerprint(over.size, await self._start(key))
            return SlotLook(found.size, found.hash, None)
        except Corrupt as error:
            raise self._no_answer() from error
        return SlotLook(len(body), blake3(body).digest(), body)

    async def listed_size(self, seq: Seq) -> int | None:
        """Return the size of what a listing shows in slot *seq*. Raises Unavailable."""
        key = self._names.key(seq)
        after = self._names.key(Seq(seq - 1))
        listed = await self._bucket.list(self._names.folder, after, 1)
        return listed[0].size if listed and listed[0].key == key else None

    async def _start(self, key: str) -> bytes:
        try:
            return await self._bucket.get(key, (0, START))
        except (NotThere, Corrupt) as error:
            raise self._no_answer() from error
