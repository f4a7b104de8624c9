"""Between what the replica wants committed and the sealed bytes of a journal entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lucidnode.fs.errors import BadEntry, EntryMisplaced, HistoryForked, KeyMissing, NewerFormat
from lucidnode.fs.format.journal import Change, open_entry, seal_entry
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
        """Return an unsigned entry with a fresh attempt id that carries *batch*."""
        return seal_entry(
            self.keys(),
            batch.seq,
            batch.previous,
            self.device,
            Change(wall_ns, batch.changeset),
            attempt=self.random_bytes(ATTEMPT_SIZE),
            nonce=self.random_bytes(NONCE_SIZE),
        )

    def open(self, entry: bytes, seq: Seq, previous: bytes) -> Change:
        """Return what *entry* in slot *seq*, after the entry hashed *previous*, does.

        Raises what `open_entry` raises, and HistoryForked if the entry is authentic but was made
        after another predecessor: its author was shown another past than we were.
        """
        try:
            return self._open(entry, seq, previous)
        except EntryMisplaced as error:
            claimed = _claimed_previous(entry)
            if claimed in {None, previous}:
                raise
            self._open(entry, seq, claimed or b"")
            raise HistoryForked(
                f"entry {seq} follows another history than this node has seen"
            ) from error

    def is_authentic(self, entry: bytes, seq: Seq) -> bool:
        """Tell whether a device that may write made *entry* for slot *seq*, after whatever."""
        try:
            self._open(entry, seq, _claimed_previous(entry) or b"")
        except BadEntry:
            return False
        except (KeyMissing, NewerFormat):
            # Both are found out behind the signature.
            return True
        return True

    def _open(self, entry: bytes, seq: Seq, previous: bytes) -> Change:
        return open_entry(self.keys(), entry, seq, previous, self.device_public_of)


def _claimed_previous(entry: bytes) -> bytes | None:
    try:
        return EntryHeader.parse(entry).previous
    except Malformed:
        return None
