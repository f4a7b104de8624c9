"""`lucidnode gateway`: a mount handed on to machines that cannot mount it themselves."""

from __future__ import annotations

import asyncio
import pwd
import shlex
from collections.abc import Callable
from pathlib import Path

import click

from lucidnode.cli.background import facts
from lucidnode.fs.errors import MountPointMissing
from lucidnode.nfs_gateway import BadExport, NfsExport, nfs_configuration
from lucidnode.node.client.durable import replace_durably
from lucidnode.node.client.errors import AccessDenied
from lucidnode.node.client.mountinfo import mounts
from lucidnode.node.config import load_config
from lucidnode.smb_gateway import BadShare, SmbShare, smb_configuration

_STATE = Path("/var/lib/lucidnode-samba")
_NFS_STATE = Path("/var/lib/lucidnode-nfs")

_Command = Callable[..., None]


def _handed_on(
    *, name: str, port: int, at_port: str, state: Path, keeps: str
) -> Callable[[_Command], _Command]:
    """Return what gives a command DIRECTORY and the options that every server has.

    *name* is the option for its name on the network; *at_port* says who looks at *port*, and *keeps*
    what the server keeps in *state*.
    """
    parts = (
        click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path)),
        click.option(
            name, metavar="NAME", help="Its name on the network; that of DIRECTORY otherwise."
        ),
        click.option("--read-only", is_flag=True, help="Nobody changes anything through it."),
        click.option(
            "--port", type=click.IntRange(1, 65535), default=port, show_default=True, help=at_port
        ),
        click.option(
            "--state", type=click.Path(path_type=Path), default=state, show_default=True, help=keeps
        ),
        click.option(
            "--output",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Write it into this file instead of printing it.",
        ),
    )

    def given(command: _Command) -> _Command:
        for part in reversed(parts):
            command = part(command)
        return command

    return given


@click.group("gateway", short_help="Hand a mount on to macOS, Windows and NFS.")
def gateway_command() -> None:
    """Hand a mounted project on to machines that cannot mount it themselves: macOS, Windows, NFS clients.

    The files leave Lucidnode's encryption on this workstation: whoever may use the share, and whoever
    is root here, reads them.

    \b
    Examples:
      lucidnode gateway smb /srv/demo --user ada --output /etc/samba/lucidnode.conf
      lucidnode gateway nfs /srv/demo --client 192.168.7.40 --output /etc/ganesha/lucidnode.conf
    """


@gateway_command.command("smb")
@click.option(
    "--user",
    "users",
    multiple=True,
    required=True,
    metavar="NAME",
    help="A user of this machine who may use the share. Repeatable.",
)
@_handed_on(
    name="--share",
    port=445,
    at_port="macOS and Windows look at 445.",
    state=_STATE,
    keeps="Where this Samba keeps its users and files, apart from the machine's own.",
)
@click.pass_obj
def gateway_smb(
    home: Path,
    directory: Path,
    users: tuple[str, ...],
    share: str | None,
    read_only: bool,
    port: int,
    state: Path,
    output: Path | None,
) -> None:
    """Print how Samba has to be configured to share DIRECTORY of a mounted project over SMB 3.

    Names, macOS's resource forks and tags, Windows's attributes and locks are kept; locks hold
    against other workstations as well. It needs Debian's packages samba and samba-vfs-modules, and says
    on standard error how to start it.

    \b
    Example:
      lucidnode gateway smb /srv/demo --user ada --user bo --output /etc/samba/lucidnode.conf
    """
    load_config(home)
    directory = directory.resolve()
    _check_mounted(home, directory)
    owner = directory.stat().st_uid
    try:
        wanted = SmbShare(
            share or directory.name,
            directory,
            users,
            _name_of(owner),
            state.expanduser().absolute(),
            port,
            read_only,
        )
        text = smb_configuration(wanted)
    except BadShare as error:
        raise click.UsageError(str(error)) from error
    file = _put(text, output)
    folders = " ".join(shlex.quote(f"{wanted.state}/{each}") for each in _FOLDERS)
    _say(
        f"mkdir -p -m 700 {shlex.quote(str(wanted.state))} && mkdir -p {folders}",
        *(f"smbpasswd -c {file} -a {user}" for user in users),
        f"smbd --configfile={file} --daemon",
    )


_FOLDERS = ("private", "lock", "state", "cache", "run", "ncalrpc")


@gateway_command.command("nfs")
@click.option(
    "--client",
    "clients",
    multiple=True,
    required=True,
    metavar="ADDRESS",
    help="A machine that may use it, or a network as 192.168.7.0/24. Repeatable.",
)
@_handed_on(
    name="--export",
    port=2049,
    at_port="NFS clients look at 2049.",
    state=_NFS_STATE,
    keeps="Where this server keeps what it must remember.",
)
@click.pass_obj
def gateway_nfs(
    home: Path,
    directory: Path,
    clients: tuple[str, ...],
    export: str | None,
    read_only: bool,
    port: int,
    state: Path,
    output: Path | None,
) -> None:
    """Print how NFS-Ganesha has to be configured to export DIRECTORY of a mounted project.

    NFS asks nobody who he is, and sends files in clear: name single machines, of a network that is
    yours. It needs Debian's packages nfs-ganesha-vfs and rpcbind, and a project that root or, with
    `mount --allow-other`, somebody else has mounted; it says on standard error how to start it.

    \b
    Example:
      lucidnode gateway nfs /srv/demo --client 192.168.7.40 --output /etc/ganesha/lucidnode.conf
    """
    load_config(home)
    directory = directory.resolve()
    _check_mounted(home, directory)
    owner = directory.stat()
    _check_root_may(directory)
    try:
        wanted = NfsExport(
            export or directory.name,
            directory,
            clients,
            owner.st_uid,
            owner.st_gid,
            state.expanduser().absolute(),
            port,
            read_only=read_only,
        )
        text = nfs_configuration(wanted)
    except BadExport as error:
        raise click.UsageError(str(error)) from error
    file = _put(text, output)
    _say(
        f"mkdir -p -m 700 {shlex.quote(str(wanted.state))} /run/ganesha",
        f"ganesha.nfsd -f {file} -L {shlex.quote(str(wanted.state / 'ganesha.log'))} -p /run/ganesha/lucidnode.pid",
    )


def _put(text: str, output: Path | None) -> str:
    """Write or print *text*; return what to call the file in a command."""
    if output is None:
        click.echo(text, nl=False)
        return "FILE"
    replace_durably(output.absolute(), text.encode(), 0o644)
    return shlex.quote(str(output))


def _say(*steps: str) -> None:
    click.echo("As root, once and at every start the last:", err=True)
    for step in steps:
        click.echo(f"  {step}", err=True)


def _check_root_may(directory: Path) -> None:
    """Raise AccessDenied if the kernel keeps root, as whom Ganesha runs, out of the mount."""
    for mount in reversed(mounts(Path("/proc/self/mountinfo").read_bytes())):
        if mount.is_ours and directory.is_relative_to(mount.directory):
            if not {"allow_other", "user_id=0"} & mount.options:
                raise AccessDenied(
                    f"nobody but you gets into {mount.directory}, not even root, as whom an NFS server"
                    " runs: mount it with --allow-other"
                )
            return


def _check_mounted(home: Path, directory: Path) -> None:
    status = asyncio.run(facts(home, "status"))
    mounted = [Path(each["mountpoint"]) for each in status["mounts"]]
    if not any(directory.is_relative_to(place) for place in mounted):
        raise MountPointMissing(
            f"{directory} is in no mounted project: `lucidnode status` shows what is mounted"
        )


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        raise BadShare(
            f"user {user}, whose mount it is, has no name on this machine: Samba needs one"
        ) from None
