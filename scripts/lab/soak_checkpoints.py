"""Checkpoints in a soak: how often they are, who stages them, and who joins by one when all is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from replica_fixture import KEY, rows_of

from lucidnode.fs.checkpoints.newcomer import Newcomer, NewcomerClient
from lucidnode.fs.commit.committer import Committer
from lucidnode.fs.commit.entry_codec import EntryCodec
from lucidnode.fs.commit.hooks import CommitHooks
from lucidnode.fs.commit.journal_client import CommitJournal
from lucidnode.fs.format.block import BlockName, seal
from lucidnode.fs.replica.replica import Replica
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.staging import staged_path

EVERY = 4
"""Entries from one checkpoint to the next: a run has a dozen or two."""


class SealedPieces:
    """The staging of checkpoints' pieces, sealed as real ones are: what users of a soak write is not."""

    def __init__(self, codec: EntryCodec, staging: Path) -> None:
        self._codec = codec
        self._staging = staging

    async def stage(self, plaintext: bytes) -> BlockName:
        keys = self._codec.keys()
        name, ciphertext = seal(keys, plaintext)
        path = staged_path(self._staging, keys.project, name.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ciphertext)
        return name


async def joined_late(
    path: Path,
    daemon: NewcomerClient,
    journal: CommitJournal,
    codec: EntryCodec,
    hooks: CommitHooks,
    clock: Clock,
) -> tuple[Seq | None, Any]:
    """Return the checkpoint that a newcomer begins with, and its tables at the end of the journal."""
    replica = Replica.open(path, KEY, "late")
    try:
        begun = await Newcomer(replica, daemon, codec, Alerts(clock), clock).load()
    finally:
        replica.close()
    replica = Replica.open(path, KEY, "late")
    try:
        project = codec.keys().project
        committer = Committer(replica, journal, project, codec, hooks, Alerts(clock), clock)
        await committer.catch_up()
        return begun, rows_of(replica)
    finally:
        replica.close()
