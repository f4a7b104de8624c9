"""Tails of many files share blocks: packs, made before each journal entry and staged behind it.

A pack's bytes are in the replica until its block is durably staged: a crash in between costs
nothing, for sealing the same tails again gives the same block.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import accumulate

from lucidnode.fs.errors import FsError
from lucidnode.fs.format.block import BlockName, seal
from lucidnode.fs.format.geometry import padded_size
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.replica.intents import Write
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.block_plan import Piece, extents_of, shared
from lucidnode.fs.write.other_block import MAX_OTHERS, other_plaintext, seal_nameable
from lucidnode.fs.write.stager import Stager
from lucidnode.fs.write.staging_notifier import StagingNotifier
from lucidnode.fs.write.write_buffer import WriteBuffer
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.disk_words import help_for, said_by
from lucidnode.node.client.ids import BlockId
from lucidnode.node.client.supervision import Tasks

_log = logging.getLogger(__name__)

TIME_KNOWN = 0
"""Time of a Write whose bytes the replica has accounted for already, as tails or by `utime`."""

_TOPIC = "packs"
"""What packs that cannot be staged are told as: no entry can name their bytes until they are."""

_RETRY_S = 1.0
"""Seconds. A pack holds acknowledged bytes: staging it is tried until it succeeds."""


class TailPacker:
    """The packs of one mount. Lives in one event loop; *tasks* must outlive it, and end after `stop`."""

    def __init__(
        self,
        *,
        replica: Replica,
        keys: ProjectKeys,
        block_size: int,
        stager: Stager,
        notifier: StagingNotifier,
        buffer: WriteBuffer,
        alerts: Alerts,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._replica = replica
        self._keys = keys
        self._block_size = block_size
        self._stager = stager
        self._notifier = notifier
        self._buffer = buffer
        self._alerts = alerts
        self._clock = clock
        self._tasks = tasks
        self._packed: dict[BlockId, bytes] = {}
        """Plaintext of packs whose staged file does not exist yet."""
        self._staged: dict[BlockId, asyncio.Event] = {}
        """Set once the pack is staged."""
        self._staging: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """Stage the packs that an earlier run did not get to.

        A pack is sealed again from its tails: the same bytes give the same block. Where they are
        the same no more, the replica's disk has changed them: then the pack is forgotten, and if
        nobody else has its block, LostBlocks names the files and lets the work behind them go on.
        Raises NoSpace, or a ReplicaError.
        """
        for pack, made_of in self._replica.tails.packs().items():
            sealed = self._sealed_as(pack, made_of)
            if sealed is None:
                _log.error("what block %s was made of is damaged in the replica", pack.hex())
                self._replica.tails.release_pack(pack)
            else:
                plaintext, name, ciphertext = sealed
                self._stage(name, plaintext, ciphertext)

    def _sealed_as(self, pack: BlockId, plaintext: bytes) -> tuple[bytes, BlockName, bytes] | None:
        """Return *pack* made again: of *plaintext*, or what `seal_nameable` made of it then.

        Another epoch may have begun since. None if nothing of that has its name.
        """
        made: bytes | None = plaintext
        for _ in range(MAX_OTHERS + 1):
            if made is None:
                break
            for epoch in sorted(self._keys.epochs, reverse=True):
                name, ciphertext = seal(self._keys, made, epoch)
                if name.id == pack:
                    return made, name, ciphertext
            made = other_plaintext(made)
        return None

    def pack(self) -> None:
        """Turn all tails into extents of shared blocks, in the replica at once.

        Called before a journal entry is made: what it names must exist. Staging follows in the
        background; `staged` waits for it. Takes about a millisecond for 1 MiB of tails. Raises
        NoSpace, or a ReplicaError.
        """
        rows = self._replica.tails.loose()
        pieces = [Piece(row.ino, row.offset, row.data) for row in rows]
        numbers = iter([row.row for row in rows])
        for pack in shared(pieces, self._block_size):
            sizes = [len(piece.data) for piece in pack]
            starts = accumulate(sizes[:-1], initial=0)
            places = [(number, start) for start, number in zip(starts, numbers, strict=False)]
            plaintext = b"".join(piece.data for piece in pack)
            plaintext, name, ciphertext = seal_nameable(
                self._keys, plaintext, self._replica.collected.is_listed
            )
            writes = [
                Write(ino, extents, [name], TIME_KNOWN)
                for ino, extents in extents_of(pack, name.id).items()
            ]
            self._replica.tails.packed(name, places, writes)
            self._stage(name, plaintext, ciphertext)

    def stop(self) -> None:
        """Give up staging packs: their bytes are in the replica, where the next run finds them."""
        for task in self._staging:
            task.cancel()

    async def staged(self, blocks: Sequence[BlockId]) -> None:
        """Return once none of *blocks* is still on its way into staging."""
        for block in blocks:
            event = self._staged.get(block)
            if event is not None:
                await event.wait()

    def plaintext_of(self, block: BlockId) -> bytes | None:
        """Return the plaintext of a block that is not staged yet, or None if there is a file."""
        return self._packed.get(block)

    def _stage(self, name: BlockName, plaintext: bytes, sealed: bytes) -> None:
        if name.id not in self._packed:
            self._packed[name.id] = plaintext.ljust(padded_size(len(plaintext)), b"\0")
            self._buffer.take(len(plaintext))
            self._staged[name.id] = asyncio.Event()
            task = self._tasks.create_task(self._stage_until_done(name, len(plaintext), sealed))
            self._staging.add(task)
            task.add_done_callback(self._staging.discard)

    async def _stage_until_done(self, name: BlockName, size: int, sealed: bytes | None) -> None:
        block = name.id
        while True:
            try:
                await self._stager.stage_durably(name, self._packed[block], sealed)
                # Within: the replica's disk may be full as well, and that passes, too.
                self._replica.tails.release_pack(block)
            except (FsError, OSError) as error:
                sealed = None  # a disk that fails for long shall not have us hold all of it twice
                self._alerts.begin(
                    _TOPIC,
                    f"Changes cannot be committed now: {said_by(error)}.",
                    help_for(error, "the cache or of the home directory", "Check both disks.")
                    + " They are kept on the disk of the home directory, and tried again.",
                )
            else:
                break
            # Not within `except`: the error's frames hold what was sealed until that ends.
            await self._clock.sleep(_RETRY_S)
        self._alerts.end(_TOPIC)
        del self._packed[block]
        self._notifier.notify(block)
        self._staged.pop(block).set()
        self._buffer.release(size)
