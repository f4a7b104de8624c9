"""What a member does with the studio's roster: keys from the fs plane, transport from the node.

Sits above both planes: it builds signed entries with `lucidnode.fs.membership` and has the daemon
append them to the log in the bucket.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from lucidnode.fs.errors import SealDamaged, WrongPassphrase
from lucidnode.fs.membership.entries import project_entry
from lucidnode.fs.membership.member_file import (
    Membership,
    open_membership,
    seal_membership,
    sealed_in,
)
from lucidnode.fs.membership.roster_view import RosterView
from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import Refused, Unavailable
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.wire import ShownRoster
from lucidnode.node.config import MEMBER_FILE, NoStudio

_TRIES = 20
"""Races lost in a row before we give up; each one means that another member was quicker."""


def check_kept(home: Path) -> None:
    """Raise as `unlock` does, as far as that can be told without the passphrase."""
    with _said_of(home):
        sealed_in(_kept(home))


def unlock(home: Path, passphrase: str) -> Membership:
    """Return the membership kept in *home*. Takes about a second by design.

    Raises NoStudio if there is none, WrongPassphrase, and Refused if the file is damaged.
    """
    with _said_of(home):
        return open_membership(_kept(home), passphrase)


def keep(home: Path, mine: Membership, passphrase: str) -> None:
    """Keep *mine* in *home* under *passphrase*, in the place of what is kept there, whole or not at all.

    Takes about a second by design. Raises DiskFull, OSError.
    """
    write_durably(home / MEMBER_FILE, seal_membership(mine, passphrase))


def _kept(home: Path) -> bytes:
    try:
        return (home / MEMBER_FILE).read_bytes()
    except FileNotFoundError:
        raise NoStudio(
            f"this workstation belongs to no studio yet ({home} has no {MEMBER_FILE}): "
            "run `lucidnode init` or `lucidnode join`"
        ) from None


@contextlib.contextmanager
def _said_of(home: Path) -> Iterator[None]:
    try:
        yield
    except WrongPassphrase:
        raise WrongPassphrase("that is not the passphrase of this workstation: try again") from None
    except SealDamaged as error:
        raise Refused(
            f"{home / MEMBER_FILE} is damaged ({error}): restore it from a backup, or join the "
            "studio again"
        ) from error


async def read_roster(socket: Path, mine: Membership) -> RosterView:
    """Return the studio as *mine* sees it now."""
    from lucidnode.node.client.daemon_socket.client import DaemonClient  # noqa: PLC0415  # 0.1 s that `unlock` need not wait

    async with DaemonClient(socket) as client:
        return RosterView.read(await client.roster.entries(), mine)


async def read_log(socket: Path) -> list[bytes]:
    """Return the log of members as the daemon keeps it; whoever reads it verifies it."""
    from lucidnode.node.client.daemon_socket.client import DaemonClient  # noqa: PLC0415  # 0.1 s that `unlock` need not wait

    async with DaemonClient(socket) as client:
        return list(await client.roster.entries())


async def read_both_logs(socket: Path) -> tuple[list[bytes], ShownRoster]:
    """Return the log of members as the daemon keeps it, and as the bucket shows it; both are unverified.

    Raises Unavailable, and Refused if the bucket holds no log of this studio.
    """
    from lucidnode.node.client.daemon_socket.client import DaemonClient  # noqa: PLC0415  # 0.1 s that `unlock` need not wait

    async with DaemonClient(socket) as client:
        shown = await client.roster.shown()
        return list(await client.roster.entries("none")), shown


async def start_log_again(socket: Path, seq: Seq, hash_: bytes) -> None:
    """Have the daemon go by the log that the bucket shows, if its item *seq* has *hash_*.

    Raises Unavailable, and Refused if the bucket shows another one by now.
    """
    from lucidnode.node.client.daemon_socket.client import DaemonClient  # noqa: PLC0415  # 0.1 s that `unlock` need not wait

    async with DaemonClient(socket) as client:
        await client.roster.start_again(seq, hash_)


async def create_project(socket: Path, mine: Membership, name: str, block_size: int) -> ProjectId:
    """Create a project called *name*; returns its id. Raises NameTaken, NotAllowed, Unavailable."""
    project = ProjectId(secrets.token_hex(16))
    await append_entry(socket, mine, lambda view: project_entry(view, project, name, block_size))
    return project


async def append_entry(socket: Path, mine: Membership, make: Callable[[RosterView], bytes]) -> None:
    """Append what *make* builds on the newest roster; builds again when another entry wins."""
    from lucidnode.node.client.daemon_socket.client import DaemonClient  # noqa: PLC0415  # 0.1 s that `unlock` need not wait

    async with DaemonClient(socket) as client:
        for _ in range(_TRIES):
            view = RosterView.read(await client.roster.entries(), mine)
            reply = await client.roster.append(Seq(view.roster.head + 1), make(view))
            match reply.outcome:
                case "committed":
                    return
                case "lost":
                    continue
                case "unknown" | "unchained":
                    raise Unavailable(
                        "whether the change arrived is not known: look, and try again"
                    )
    raise Unavailable("too many others change the studio at this moment: try again")
