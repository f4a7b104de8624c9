"""How NFS-Ganesha is configured to hand a mount on to machines that have no Lucidnode. Pure.

As with Samba (lucidnode/smb_gateway.py) other workstations change files behind the server's back, so it
may remember neither attributes nor names. Its own parameters: ganesha-core-config(8),
ganesha-export-config(8), ganesha-cache-config(8).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lucidnode.node.client.errors import Malformed

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class BadExport(Malformed):
    """What Ganesha would read as something else, or what would let everybody in."""


class NfsExport(NamedTuple):
    """A *directory* of a mount, exported as */name* to *clients*; on disk it acts as *user* and *group*."""

    name: str
    directory: Path
    clients: Sequence[str]
    """Addresses of machines, or of networks such as 192.168.7.0/24."""
    user: int
    group: int
    state: Path
    """Where Ganesha keeps what is its own."""
    port: int = 2049
    mount_port: int = 20048
    read_only: bool = False
    address: str = "0.0.0.0"  # noqa: S104  # what clients reach is said by *clients*


def nfs_configuration(export: NfsExport) -> str:
    """Return the whole `ganesha.conf` for *export*. Raises BadExport."""
    clients = ", ".join(_check(export))
    return f"""# Made by `lucidnode gateway nfs`: make it again rather than change it.
NFS_CORE_PARAM {{
    Protocols = 3, 4;
    Bind_addr = {export.address};
    NFS_Port = {export.port};
    MNT_Port = {export.mount_port};
    # Locks of version 3 are another service's; those of version 4 are part of it.
    Enable_NLM = false;
    Enable_RQUOTA = false;
}}

NFSV4 {{
    Graceless = true;
    RecoveryRoot = "{export.state}";
}}

MDCACHE {{
    # Other workstations change directories too: no names are remembered.
    Dir_Chunk = 0;
}}

EXPORT {{
    Export_Id = 1;
    Path = "{export.directory}";
    Pseudo = "/{export.name}";
    # The same after every start, so that clients go on.
    Filesystem_Id = 76.1;
    Protocols = 3, 4;
    SecType = sys;
    # Nobody, but for the clients below; whoever they say that they are acts as the owner of the mount.
    Access_Type = None;
    Squash = All_Squash;
    Anonymous_Uid = {export.user};
    Anonymous_Gid = {export.group};
    Attr_Expiration_Time = 0;
    CLIENT {{
        Clients = {clients};
        Access_Type = {"RO" if export.read_only else "RW"};
    }}
    FSAL {{
        Name = VFS;
    }}
}}
"""


def _check(export: NfsExport) -> list[str]:
    if not _NAME.fullmatch(export.name):
        raise BadExport(f"{export.name!r} is no name for an export: letters, digits and . _ -")
    for path in (export.directory, export.state):
        if not path.is_absolute() or any(sign in str(path) for sign in "\"'\n\r\\;#{}"):
            raise BadExport(f"{str(path)!r} cannot stand in Ganesha's configuration: rename it")
    try:
        clients = [str(ipaddress.ip_network(each)) for each in export.clients]
    except ValueError as error:
        raise BadExport(
            f"a client is an address, or a network as 192.168.7.0/24: {error}"
        ) from error
    if not clients:
        raise BadExport("an export needs clients")
    for client in clients:
        if ipaddress.ip_network(client).prefixlen == 0:
            raise BadExport(f"{client} is everybody: NFS asks nobody who he is")
    return [client.removesuffix("/32").removesuffix("/128") for client in clients]
