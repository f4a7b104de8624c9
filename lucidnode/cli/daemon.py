"""The command that runs the node daemon."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import uvloop

from lucidnode.cli.background import daemon_answers, say_ready, start
from lucidnode.node.config import LOG_FILE, load_config
from lucidnode.node.daemon import DaemonOptions, run_daemon


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
@click.pass_obj
def daemon_command(
    home: Path, foreground: bool, peers: tuple[str, ...], no_mdns: bool, port: int | None
) -> None:
    """Start the node daemon: cache, peers, uploads, dashboard.

    Other commands start it when it is needed; this one is for service managers, and for nodes
    that multicast cannot reach.

    \b
    Example:
      lucidnode daemon --foreground --peer 192.168.7.20:7450
    """
    options = DaemonOptions(peers=list(peers), mdns=not no_mdns, control_port=port)
    if foreground:
        uvloop.run(run_daemon(home, options, say_ready))
        return
    load_config(home)
    if asyncio.run(daemon_answers(home)):
        click.echo("the daemon runs already", err=True)
        return
    arguments = ["--home", str(home), "daemon", "--foreground"]
    arguments += [part for peer in peers for part in ("--peer", peer)]
    arguments += ["--no-mdns"] if no_mdns else []
    arguments += ["--port", str(port)] if port else []
    pid = start(arguments, home / LOG_FILE)
    click.echo(f"daemon started, process {pid}; its log is {home / LOG_FILE}", err=True)
