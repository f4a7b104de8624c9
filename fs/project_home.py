"""What this workstation keeps of a project beside the cache: its directory, and the replica in it."""

from __future__ import annotations

from pathlib import Path

from lucidnode.fs.commit.project_access import ProjectAccess
from lucidnode.fs.commit.repair.replica_files import REPLICA_FILE
from lucidnode.fs.errors import AlreadyMounted, NoSpace, ReplicaBusy, ReplicaError
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.group_sync import recover
from lucidnode.node.client.clock import boot_id
from lucidnode.node.client.disk_words import said_by
from lucidnode.node.client.durable import make_directory
from lucidnode.node.client.errors import DiskFull
from lucidnode.node.client.ids import ProjectId

_PROGRAMS_FILE = "files.sock"

_MAX_NAMED = 10
"""Files named in one alert."""


def project_directory(home: Path, project: ProjectId) -> Path:
    """Return where this workstation keeps what it has of *project* beside the cache."""
    return home / "projects" / project


def programs_socket(home: Path, project: ProjectId) -> Path:
    """Return where programs find *project* while it is open without a mount."""
    return project_directory(home, project) / _PROGRAMS_FILE


def open_replica(home: Path, access: ProjectAccess) -> Replica:
    """Open this workstation's replica of the project. Raises AlreadyMounted, ReplicaError."""
    directory = project_directory(home, access.keys().project)
    for each in (directory.parent, directory):
        make_directory(each)
    try:
        return Replica.open(
            directory / REPLICA_FILE, access.keys().replica, access.workstation, access.device
        )
    except ReplicaBusy as error:
        raise AlreadyMounted(
            "this project is mounted already: `lucidnode status` shows where, unmount it there first"
        ) from error


def take_back_lost(replica: Replica, staging_dir: Path, project: ProjectId) -> list[str]:
    """Take back what a power cut has torn of work at durability `relaxed`; return what to name.

    Whoever opens a replica does this first. Raises NoSpace, ReplicaError.
    """
    try:
        lost = recover(replica, staging_dir, project, boot_id())
    except DiskFull as error:
        raise NoSpace(str(error)) from error
    except OSError as error:
        raise ReplicaError(f"what was saved last cannot be looked at: {said_by(error)}") from error
    return [*lost[:_MAX_NAMED], "…"] if len(lost) > _MAX_NAMED else lost
