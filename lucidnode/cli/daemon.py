"""The command that runs the node daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import uvloop

from lucidnode.cli import confinement
from lucidnode.cli.allocator import keep_large_buffers
from lucidnode.cli.background import daemon_process, start_daemon
from lucidnode.cli.child import log_to_stderr, say_ready
from lucidnode.cli.keeper import environment_of
from lucidnode.cli.node_key_at_hand import give_to_agent, have_node_key
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.discovery.candidate import parse_peer
from lucidnode.discovery.errors import BadAddress
from lucidnode.node import sealed_file
from lucidnode.node.client.errors import Refused
from lucidnode.node.config import LOG_FILE, load_config
from lucidnode.node.peers.errors import PortTaken
from lucidnode.node.sealed_file import NODE_KEY_BYTES


@click.command("daemon")
@click.option("--foreground", is_flag=True, help="Stay in this terminal and log here.")
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="HOST:PORT",
    help="Control address of a workstation that multicast cannot reach. Repeatable.",
)
@click.option("--no-mdns", is_flag=True, help="Neither announce this node nor look for others.")
@click.option("--port", type=click.IntRange(1, 65535), help="Control port for other nodes.")
@click.option("--came-back", default="", hidden=True, help="How the one before it ended.")
@click.option("--keyed", is_flag=True, hidden=True, help="The node key comes on standard input.")
@passphrase_file
@click.pass_obj
def daemon_command(
    home: Path,
    foreground: bool,
    peers: tuple[str, ...],
    no_mdns: bool,
    port: int | None,
    came_back: str,
    keyed: bool,
    passphrase_file: Path | None,
) -> None:
    """Start the node daemon: cache, peers, uploads, dashboard.

    Other commands start it when it is needed; this one is for service managers, and for nodes
    that multicast cannot reach. It needs the passphrase, unless the key is kept elsewhere
    (`lucidnode keys hold`).

    \b
    Example:
      lucidnode daemon --foreground --peer 192.168.7.20:7450
    """
    for peer in peers:
        try:
            parse_peer(peer)
        except BadAddress as error:
            raise click.BadParameter(str(error), param_hint="--peer") from error
    mine = None
    if keyed:
        key = sys.stdin.buffer.read(NODE_KEY_BYTES)
        if key:
            sealed_file.hold(home, key)
    elif foreground or daemon_process(home) is None:
        load_config(home)
        mine = have_node_key(home, passphrase_file)
    if foreground:
        from lucidnode.node.daemon import (  # noqa: PLC0415  # else another process serves
            DaemonOptions,
            run_daemon,
        )

        if not keyed:
            _begin_anew(home)
        log_to_stderr()
        confinement.confine(environment_of("daemon", home))
        keep_large_buffers()
        options = DaemonOptions(
            peers=list(peers), mdns=not no_mdns, control_port=port, came_back=came_back
        )
        try:
            uvloop.run(run_daemon(home, options, say_ready))
        except PortTaken as error:
            if port is None:
                raise
            raise PortTaken(
                f"port {port} is taken: stop the program that listens there, or choose another "
                "with --port"
            ) from error
        return
    arguments = [part for peer in peers for part in ("--peer", peer)]
    arguments += ["--no-mdns"] if no_mdns else []
    arguments += ["--port", str(port)] if port else []
    pid = start_daemon(home, arguments, came_back)
    if mine is not None:
        give_to_agent(home, mine, typed=passphrase_file is None)
    if pid is not None:
        click.echo(f"daemon started, process {pid}; its log is {home / LOG_FILE}", err=True)
    elif arguments:
        raise Refused("the daemon runs already, as it was started: run `lucidnode exit` first")
    else:
        click.echo("the daemon runs already", err=True)


def _begin_anew(home: Path) -> None:
    """Run this command again, in this process, with the node key alone.

    Whoever asked for the passphrase had the member's keys, and a daemon must not
    (docs/design/README.md, invariant 1).
    """
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "wb") as pipe:
        pipe.write(sealed_file.held(home) or b"")  # 32 bytes: nobody has to read meanwhile
    os.dup2(ours, 0)
    again = [sys.executable, "-P", "-m", "lucidnode", *sys.argv[1:], "--keyed"]
    os.execve(sys.executable, again, environment_of("daemon", home))  # noqa: S606
