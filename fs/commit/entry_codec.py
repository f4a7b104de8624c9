"""Between what the replica wants committed and the sealed bytes of a journal entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lucidnode.fs.errors import EntryAstray, EntryMisplaced, EntryOutdated
from lucidnode.fs.format.journal_entry import EntryBody, open_entry, seal_entry
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.membership.roster_view import Closed
from lucidnode.fs.replica.changes import Batch
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, Seq
from lucidnode.node.client.journal import ATTEMPT_SIZE, NONCE_SIZE, EntryHeader
from lucidnode.node.client.roster import FIRST_EPOCH


@dataclass(frozen=True, slots=True)
class EntryCodec:
    """Seals and opens entries of one project, as *device*.

    *keys* and *writer_key* are asked anew each time, because the roster grows; *writer_key* gives
    the Ed25519 key of a device whose entries of an epoch count, else None; *closed* why nobody may
    change the project now. Without *trusted*, checkpoints are by who may write.
    """

    keys: Callable[[], ProjectKeys]
    device: DeviceId
    writer_key: Callable[[DeviceId, int], bytes | None]
    random_bytes: Callable[[int], bytes]
    trusted: Callable[[DeviceId], bytes | None] | None = None
    closed: Callable[[], Closed | None] = lambda: None

    def may_write_now(self, device: DeviceId) -> bytes | None:
        """Return the key of a device whose entries of the newest epoch count, or whose checkpoints, else None."""
        if self.trusted is not None:
            return self.trusted(device)
        return self.writer_key(device, max(self.keys().announced))

    def is_behind(self, epoch: int) -> bool:
        """Tell whether entries of ours would end what counts up to *epoch*, the newest in a journal."""
        current = self.keys().current
        return epoch < current and self.writer_key(self.device, current) is not None

    def seal(self, batch: Batch, wall_ns: int) -> bytes:
        """Return an unsigned entry with a fresh attempt id that carries *batch*. Raises KeyMissing."""
        return seal_entry(
            self.keys(),
            batch.seq,
            batch.previous,
            self.device,
            EntryBody(wall_ns, batch.changeset),
            attempt=self.random_bytes(ATTEMPT_SIZE),
            nonce=self.random_bytes(NONCE_SIZE),
        )

    def open(self, entry: bytes, seq: Seq, previous: bytes, since: int = FIRST_EPOCH) -> EntryBody:
        """Return what *entry* in slot *seq*, after the link *previous*, does.

        *since* is the epoch of the newest entry before it that counted: of older ones nothing counts
        any more. Raises what `open_entry` raises, EntryOutdated, and EntryAstray if the entry is sound but was made after
        something else: its author was shown another past than we were, or judged it otherwise.
        """
        header = _header(entry)
        try:
            body = self._open(entry, seq, previous)
        except EntryMisplaced as error:
            if header is None or header.previous == previous:
                raise
            self._open(entry, seq, header.previous)
            raise EntryAstray(seq, header.device) from error
        if header is not None and header.epoch < since:
            raise EntryOutdated(
                f"entry {seq}: device {header.device} made it in epoch {header.epoch}, after one of "
                f"epoch {since}"
            )
        return body

    def _open(self, entry: bytes, seq: Seq, previous: bytes) -> EntryBody:
        header = _header(entry)
        epoch = FIRST_EPOCH if header is None else header.epoch
        return open_entry(
            self.keys(), entry, seq, previous, lambda device: self.writer_key(device, epoch)
        )


def _header(entry: bytes) -> EntryHeader | None:
    try:
        return EntryHeader.parse(entry)
    except Malformed:
        return None
