"""What an entry in the bucket does here, once it is known to be what everybody sees there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.head_check import HeadCheck
from lucidnode.fs.commit.journal_client import CommitJournal
from lucidnode.fs.errors import (
    BadEntry,
    EntryAstray,
    EntryUnannounced,
    EntryUnauthorised,
    KeyMissing,
)
from lucidnode.fs.format.journal_entry import EntryBody
from lucidnode.fs.replica.changes import Head
from lucidnode.node.client.alerts import EVENT_S, Alerts
from lucidnode.node.client.errors import Unavailable
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.wire import Slot


class EntryVerifier:
    """Opens the entries of one project; what counts as empty is told."""

    def __init__(
        self,
        journal: CommitJournal,
        project: ProjectId,
        codec: EntryCodec,
        refresh_roster: Callable[[], Awaitable[None]],
        head: HeadCheck,
        alerts: Alerts,
    ) -> None:
        self._journal = journal
        self._project = project
        self._codec = codec
        self._refresh_roster = refresh_roster
        self._head = head
        self._alerts = alerts

    async def verified(self, seq: Seq, slot: Slot, head: Head) -> tuple[Slot, EntryBody | None]:
        """Return what lies in slot *seq*, behind *head*, and what it does; None: it counts as empty.

        That needs proof, of what lies there as of what came before: one flipped bit, or one entry
        of somebody who stands on another history, shall not part us from the others. Raises
        Unavailable while there is none, KeyMissing, HistoryForked, or a NodeError.
        """
        if slot.body is not None:
            try:
                return slot, await self._opened(slot.body, seq, head)
            except BadEntry:
                pass
            proven = await self._journal.proven(self._project, seq)
            if proven is None:
                raise Unavailable(f"the bucket shows journal entry {seq} only now and then")
            slot = proven
        if slot.body is None:
            self.skipped(f"what lies in the place of journal entry {seq} is none")
            return slot, None
        try:
            return slot, await self._opened(slot.body, seq, head)
        except EntryAstray as error:
            await self._head.confirm()
            self._alerts.begin(
                f"astray:{error.device}",
                f"Device {error.device[:8]} stands on another history of this project; what it "
                f"commits counts as empty, first journal entry {seq}.",
                "Run `lucidnode repair` on that workstation.",
                lasts_s=EVENT_S,
            )
        except BadEntry as error:
            self.skipped(str(error))
        return slot, None

    def skipped(self, what: str) -> None:
        """Have people know that an entry counts as empty, and why."""
        self._alerts.begin(
            "journal:skipped",
            f"A journal entry counts as empty: {what}.",
            "Nothing is lost here; look at what the device that made it runs.",
            lasts_s=EVENT_S,
        )

    async def _opened(self, entry: bytes, seq: Seq, head: Head) -> EntryBody:
        try:
            return self._codec.open(entry, seq, head.link, head.epoch)
        except (EntryUnauthorised, EntryUnannounced, KeyMissing):
            await self._refresh_roster()
            return self._codec.open(entry, seq, head.link, head.epoch)
