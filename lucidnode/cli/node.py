"""Commands about this workstation's daemon: run it, ask it, stop it."""

from __future__ import annotations

import asyncio
import webbrowser
from pathlib import Path
from typing import Any

import click
import uvloop

from lucidnode.cli.background import daemon_answers, ensure_daemon, say_ready, start
from lucidnode.cli.output import show_json, show_table, size
from lucidnode.node.client.connection import DaemonClient
from lucidnode.node.config import LOG_FILE, SOCKET_FILE, load_config
from lucidnode.node.daemon import DaemonOptions, run_daemon

as_json = click.option("--json", "wants_json", is_flag=True, help="Print JSON for scripts.")


@click.command()
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
def daemon(
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


@click.command("exit")
@click.pass_obj
def exit_node(home: Path) -> None:
    """Stop the daemon of this workstation. What is not uploaded yet goes on when it starts again.

    Unmount first: a mounted project keeps the daemon needed.

    \b
    Example:
      lucidnode umount ~/demo && lucidnode exit
    """
    asyncio.run(_order(home / SOCKET_FILE, "exit"))


@click.command()
@as_json
@click.pass_obj
def status(home: Path, wants_json: bool) -> None:
    """Show what runs on this workstation and how it is.

    \b
    Example:
      lucidnode status --json | jq .uploads.bytes
    """
    facts = asyncio.run(_facts(home, "status"))
    if wants_json:
        show_json(facts)
        return
    uploads = facts["uploads"]
    show_table(
        ["", ""],
        [
            ["bucket", facts["bucket"]],
            ["dashboard", facts["addresses"]["dashboard"]],
            ["peers connected", str(facts["peers"])],
            ["waiting to upload", f"{size(uploads['bytes'])} in {uploads['blocks']} blocks"],
        ],
    )
    if facts["mounts"]:
        click.echo()
        show_table(
            ["mounted at", "changes not in the cloud yet", "conflicts"],
            [[m["mountpoint"], m["pending"], m["conflicts"]] for m in facts["mounts"]],
        )
    for line in facts["trouble"]:
        click.echo(f"! {line}")


@click.command()
@as_json
@click.pass_obj
def peers(home: Path, wants_json: bool) -> None:
    """Show the other workstations of this office and their share of the cache.

    \b
    Example:
      lucidnode peers
    """
    facts = asyncio.run(_facts(home, "peers"))
    if wants_json:
        show_json(facts)
        return
    rows = [["this workstation", "up", f"{facts['share']:.0%}", "", ""]]
    for peer in facts["peers"]:
        totals = peer["totals"] or {}
        rows.append(
            [
                peer["address"],
                peer["state"],
                f"{peer['share']:.0%}",
                size(totals.get("served", 0)),
                size(totals.get("received", 0)),
            ]
        )
    show_table(["workstation", "state", "keeps", "gave", "got"], rows)
    if not facts["peers"]:
        click.echo(
            "No other workstation found. If there are some, multicast may be blocked between you: "
            "name one with `lucidnode daemon --peer HOST:PORT`."
        )


@click.command()
@as_json
@click.pass_obj
def savings(home: Path, wants_json: bool) -> None:
    """Show how much of the bucket's bandwidth this office did without.

    \b
    Example:
      lucidnode savings --json | jq .office.percent
    """
    facts = asyncio.run(_facts(home, "savings"))
    if wants_json:
        show_json(facts)
        return
    labels = {
        "delivered": "read by applications",
        "downloaded": "downloaded from the cloud",
        "saved": "saved",
        "wasted": "moved for nothing",
    }
    rows = [[text, size(facts["here"][k]), size(facts["office"][k])] for k, text in labels.items()]
    rows.append(["", f"{facts['here']['percent']:.1f} %", f"{facts['office']['percent']:.1f} %"])
    rows.append(["", f"${facts['here']['money']:.2f}", f"${facts['office']['money']:.2f}"])
    show_table(["", "this workstation", "office"], rows)


@click.group()
def cache() -> None:
    """Look at the block cache of this workstation, or empty it."""


@cache.command("show")
@as_json
@click.pass_obj
def cache_show(home: Path, wants_json: bool) -> None:
    """Show how full the cache is.

    \b
    Example:
      lucidnode cache show
    """
    facts = asyncio.run(_facts(home, "cache"))
    if wants_json:
        show_json(facts)
        return
    show_table(
        ["", ""],
        [
            ["cached", f"{size(facts['bytes'])} in {facts['blocks']} blocks"],
            ["limit", size(facts["limit"])],
            ["free on the disk", size(facts["disk_free"])],
        ],
    )


@cache.command("clear")
@click.pass_obj
def cache_clear(home: Path) -> None:
    """Delete every cached block. What waits for its upload is not touched.

    \b
    Example:
      lucidnode cache clear
    """
    asyncio.run(_order(ensure_daemon(home), "cache/clear"))


@click.command()
@as_json
@click.pass_obj
def dashboard(home: Path, wants_json: bool) -> None:
    """Open the dashboard of this workstation in a browser, and print its address.

    \b
    Example:
      lucidnode dashboard
    """
    ensure_daemon(home)
    url = asyncio.run(_facts(home, "status"))["addresses"]["dashboard"]
    if wants_json:
        show_json({"url": url})
        return
    click.echo(url)
    webbrowser.open(url)


async def _facts(home: Path, topic: str) -> dict[str, Any]:
    load_config(home)
    async with DaemonClient(home / SOCKET_FILE) as client:
        return await client.facts(topic)


async def _order(socket: Path, what: str) -> None:
    async with DaemonClient(socket) as client:
        await client.order(what)
