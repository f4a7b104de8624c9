"""Between what the replica wants committed and the sealed bytes of a journal entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lucidnode.fs.errors import EntryAstray, EntryMisplaced
from lucidnode.fs.format.journal_entry import EntryBody, open_entry, seal_entry
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.changes import Batch
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, Seq
from lucidnode.node.client.journal import ATTEMPT_SIZE, NONCE_SIZE, EntryHeader


@dataclass(frozen=True, slots=True)
class EntryCodec:
    """Seals and opens entries of one project, as *device*.

    *keys* and *device_public_of* are asked anew each time, because the roster grows;
    *device_public_of* gives the Ed25519 key of a device that may write, else None.
    """

    keys: Callable[[], ProjectKeys]
    device: DeviceId
    device_public_of: Callable[[DeviceId], bytes | None]
    random_bytes: Callable[[int], bytes]

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

    def open(self, entry: bytes, seq: Seq, previous: bytes) -> EntryBody:
        """Return what *entry* in slot *seq*, after the link *previous*, does.

        Raises what `open_entry` raises, and EntryAstray if the entry is sound but was made after
        something else: its author was shown another past than we were, or judged it otherwise.
        """
        try:
            return self._open(entry, seq, previous)
        except EntryMisplaced as error:
            header = _header(entry)
            if header is None or header.previous == previous:
                raise
            self._open(entry, seq, header.previous)
            raise EntryAstray(seq, header.device) from error

    def _open(self, entry: bytes, seq: Seq, previous: bytes) -> EntryBody:
        return open_entry(self.keys(), entry, seq, previous, self.device_public_of)


def _header(entry: bytes) -> EntryHeader | None:
    try:
        return EntryHeader.parse(entry)
    except Malformed:
        return None
