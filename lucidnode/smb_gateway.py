"""How Samba is configured to hand a mount on to machines that cannot mount it themselves. Pure.

The share is a second way into one mount, and other workstations change files behind Samba's back. So
nothing is cached that they might change (oplocks, leases), locks of byte ranges become locks of the
mount, which hold between workstations, and a flush is a flush.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lucidnode.node.client.errors import Malformed

_SHARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_RESERVED = {"global", "homes", "printers", "ipc$"}


class BadShare(Malformed):
    """What Samba would read as something else."""


class SmbShare(NamedTuple):
    """A *directory* of a mount, shared as *name* with Samba's *users*; on disk it acts as *owner*."""

    name: str
    directory: Path
    users: Sequence[str]
    owner: str
    state: Path
    """Where Samba keeps what is its own: users, sockets, caches."""
    port: int = 445
    read_only: bool = False


def smb_configuration(share: SmbShare) -> str:
    """Return the whole `smb.conf` for *share*. Raises BadShare."""
    _check(share)
    state = share.state
    return f"""# Made by `lucidnode gateway smb`: make it again rather than change it.
[global]
    server role = standalone server
    server min protocol = SMB3_00
    # Samba has the files in clear: from here on it is Samba that encrypts them.
    server smb encrypt = required
    map to guest = never
    restrict anonymous = 2
    load printers = no
    disable spoolss = yes
    disable netbios = yes
    smb ports = {share.port}
    private dir = {state}/private
    lock directory = {state}/lock
    state directory = {state}/state
    cache directory = {state}/cache
    pid directory = {state}/run
    ncalrpc dir = {state}/ncalrpc
    passdb backend = tdbsam:{state}/private/passdb.tdb
    log file = {state}/log.smbd
    smb2 leases = no
    max log size = 1000

[{share.name}]
    path = {share.directory}
    valid users = {" ".join(share.users)}
    force user = {share.owner}
    read only = {"yes" if share.read_only else "no"}
    create mask = 0664
    directory mask = 0775

    # What macOS keeps beside a file goes into its attributes; names that Windows forbids are mapped.
    vfs objects = catia fruit streams_xattr
    fruit:metadata = stream
    fruit:resource = stream
    fruit:encoding = native
    fruit:posix_rename = yes
    fruit:nfs_aces = no
    fruit:wipe_intentionally_left_blank_rfork = yes
    fruit:delete_empty_adfiles = yes
    ea support = yes
    store dos attributes = yes
    mangled names = no

    # Other workstations change files too: nobody may keep what he has read.
    oplocks = no
    level2 oplocks = no
    kernel oplocks = no
    durable handles = no
    # Locks are those of the mount, and hold between workstations.
    locking = yes
    posix locking = yes
    strict locking = yes
    kernel share modes = no
    strict sync = yes
"""


def _check(share: SmbShare) -> None:
    if not _SHARE.fullmatch(share.name) or share.name.lower() in _RESERVED:
        raise BadShare(f"{share.name!r} is no name for a share: letters, digits, spaces and . _ -")
    for user in (*share.users, share.owner):
        if not _USER.fullmatch(user):
            raise BadShare(f"{user!r} is no name of a user of this machine")
    for path in (share.directory, share.state):
        text = str(path)
        # What Samba would replace (%U), or read as the end of the line.
        if (
            not path.is_absolute()
            or any(sign in text for sign in '%"\n\r\\;#')
            or text != text.strip()
        ):
            raise BadShare(f"{text!r} cannot stand in Samba's configuration: rename it")
