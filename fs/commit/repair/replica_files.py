"""The files of a replica while another takes its place."""

from __future__ import annotations

import shutil
from pathlib import Path

from lucidnode.fs.errors import ReplicaError
from lucidnode.node.client.durable import sync_directory

REPLICA_FILE = "replica.db"
LOST_FILE = "replica.lost.db"
"""The replica that was replaced last, whole: for people who miss something."""

NEW_FILE = "replica.new.db"

HISTORY_DIRECTORY = "history"
"""Where what led to the present is kept (fs/history): made again from the journal when it is gone."""


def swap(directory: Path) -> None:
    """Put the new replica in the place of the old one, which stays beside it.

    Raises ReplicaError, or OSError.
    """
    for name in (REPLICA_FILE, NEW_FILE):
        log = directory / f"{name}-wal"
        if log.exists() and log.stat().st_size:
            raise ReplicaError(f"{directory / name} could not be closed: free some disk space")
        for suffix in ("-wal", "-shm"):
            (directory / f"{name}{suffix}").unlink(missing_ok=True)
    (directory / LOST_FILE).unlink(missing_ok=True)
    (directory / LOST_FILE).hardlink_to(directory / REPLICA_FILE)
    (directory / NEW_FILE).replace(directory / REPLICA_FILE)
    sync_directory(directory)
    shutil.rmtree(directory / HISTORY_DIRECTORY, ignore_errors=True)  # it stands on the old one


def remove(replica: Path) -> None:
    """Remove the files of a replica that nobody has open."""
    for suffix in ("", "-wal", "-shm", "-lock"):
        replica.with_name(replica.name + suffix).unlink(missing_ok=True)
