"""How far a journal goes, by the names that the bucket lists: for who waits until he has read as far.

It decides nothing. Numbers are counted from the known one on as long as each follows the one before, so
a name that somebody has put far behind moves nothing.
"""

from __future__ import annotations

from typing import Protocol

from lucidnode.node.bucket.bucket import Listed
from lucidnode.node.bucket.keys import journal_key, journal_prefix
from lucidnode.node.client.ids import ProjectId, Seq

_PAGE = 1000


class ListedNames(Protocol):
    """What this needs of the bucket."""

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        """Return the next objects."""


async def journal_end(bucket: ListedNames, project: ProjectId, known: Seq) -> Seq:
    """Return the last of the entries that follow *known* without a gap; *known* if none does.

    One request for each thousand. Raises Unavailable.
    """
    newest, is_last = known, False
    while not is_last:
        page = await bucket.list(journal_prefix(project), journal_key(project, newest), _PAGE)
        before = newest
        names = {one.key for one in page}
        while journal_key(project, Seq(newest + 1)) in names:
            newest = Seq(newest + 1)
        # What is listed in between, and is no entry, is nobody's.
        is_last = len(page) < _PAGE or newest == before
    return newest
