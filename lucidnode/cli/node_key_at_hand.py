"""Where a command has the node key from: asks the agent, then what keeps it, and a person at last."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import click
import msgspec

from lucidnode import membership, node_key
from lucidnode.cli import agent, confinement, key_places, secret_service
from lucidnode.cli.background import daemon_process, ensure_daemon
from lucidnode.cli.secrets_input import passphrase
from lucidnode.fs.membership.member_file import Membership
from lucidnode.node import sealed_file
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import DaemonUnreachable, DiskFull, NodeError, Unavailable

_MEMBERSHIP = msgspec.msgpack.Decoder(Membership)

_SEALED_NOW = (
    "the device key and the other secrets of this workstation are sealed on its disk from now on, "
    "under a key that your passphrase opens"
)
_NOT_YET = (
    "note: the daemon that runs is of another release, so the secrets of this workstation stay in clear "
    "on its disk: run `lucidnode exit` once, and any command after it seals them"
)


def membership_of_agent(home: Path, *, unasked: bool = False) -> Membership | None:
    """Return the membership of *home* that its agent holds, None if it is locked.

    This process holds the node key then. *unasked* is for work that no person has begun.
    """
    held = agent.take(home, unasked=unasked)
    if held is None:
        return None
    confinement.hide_memory()
    sealed_file.hold(home, held.node_key)
    return _MEMBERSHIP.decode(held.mine)


def membership_with(home: Path, words: str, *, typed: bool) -> Membership:
    """Return the membership of *home*, opened with the passphrase *words*; hold its node key.

    The agent of *home* holds both from now on, as `give_to_agent` says. Secrets that were in clear
    until now are sealed, and it is said. Where the passphrase was *typed* and a keyring is open, that
    keeps the node key from now on, unless somebody has chosen. Takes about a second by design. Raises NoStudio,
    WrongPassphrase, Refused, OSError.
    """
    confinement.hide_memory()
    mine = membership.unlock(home, words)
    try:
        node_key.hold_kept(home, mine.keys)
        give_to_agent(home, mine, typed=typed)
        if not node_key.is_all_sealed(home):
            if _tell_daemon(home):  # before: what it writes from now on is not in clear again
                node_key.seal_all(home)
                click.echo(_SEALED_NOW, err=True)
            else:
                click.echo(_NOT_YET, err=True)
    except DiskFull as error:  # a home of before; what is there goes on as it was
        click.echo(
            f"note: secrets of this workstation stay in clear on its disk: {error}", err=True
        )
    if typed:
        _keep_in_keyring_if_open(home)
    return mine


def _tell_daemon(home: Path) -> bool:
    """Give the daemon of *home* the node key; tell whether none runs without it."""
    from lucidnode.node.client.daemon_socket.client import DaemonClient  # noqa: PLC0415  # 0.1 s, once in a home's life

    async def tell() -> None:
        async with DaemonClient(home / SOCKET_FILE) as client:
            await client.orders.hold_node_key(sealed_file.held(home) or b"")

    try:
        asyncio.run(tell())
    except DaemonUnreachable:
        return True
    except NodeError:
        return False
    return True


def give_to_agent(home: Path, mine: Membership, *, typed: bool) -> None:
    """Have the agent of *home*, if there is one, hold *mine* and the node key that this process holds.

    One that somebody has locked takes it only if the passphrase was *typed*, and not from a file.
    """
    key = sealed_file.held(home)
    if key is None:
        return  # a home of before, whose disk is full
    agent.keep(home, agent.HeldKeys(key, msgspec.msgpack.encode(mine)), opens=typed)


def have_node_key(home: Path, passphrase_file: Path | None) -> Membership | None:
    """Have this process hold the node key of *home*, if it has one.

    Asks for the passphrase if nobody else has it, and returns what that opened. Raises as
    `membership_with`, and UsageError as `passphrase`.
    """
    if passphrase_file is None and find_node_key(home):
        return None
    return membership_with(home, passphrase(passphrase_file), typed=passphrase_file is None)


def find_node_key(home: Path) -> bool:
    """Have this process hold the node key of *home* if that can be had unasked; tell whether it can.

    A home of before, which has none, needs none. Raises Refused for a damaged one.
    """
    if not sealed_file.is_home_sealed(home) or sealed_file.held(home) is not None:
        return True
    confinement.hide_memory()
    held = agent.take(home)
    if held is not None:
        sealed_file.hold(home, held.node_key)
        return True
    try:
        key = key_places.read(home, node_key.kept_where(home), os.environ)
    except Unavailable as error:
        click.echo(f"note: {error}", err=True)
        return False
    if key is not None:
        sealed_file.hold(home, key)
    return key is not None


def daemon_with_keys(home: Path, passphrase_file: Path | None = None) -> Path:
    """Return the socket of the daemon of *home*, which runs now, whoever has to be asked for it.

    Raises as `have_node_key` and `ensure_daemon`.
    """
    mine = have_node_key(home, passphrase_file) if daemon_process(home) is None else None
    socket = ensure_daemon(home)
    if mine is not None:
        give_to_agent(home, mine, typed=passphrase_file is None)
    return socket


def _keep_in_keyring_if_open(home: Path) -> None:
    """Keep the node key in the keyring of this session, if there is one and nobody has chosen.

    So the daemon starts unasked after a login. What opens contents and names is not kept there.
    """
    key = sealed_file.held(home)
    if key is None or node_key.kept_where(home) is not None or not secret_service.is_open():
        return
    with contextlib.suppress(Unavailable):
        node_key.note_kept(home, key_places.keep(home, key, "keyring", None))
        click.echo(
            "the key of this workstation's secrets is in the keyring of your login as well "
            "(`lucidnode keys hold passphrase` ends that)",
            err=True,
        )
