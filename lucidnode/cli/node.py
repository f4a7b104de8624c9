"""Commands that ask this workstation's daemon, or stop it."""

from __future__ import annotations

import asyncio
import webbrowser
from pathlib import Path
from typing import Any

import click

from lucidnode.cli.background import ensure_daemon
from lucidnode.cli.output import show_json, show_table, size
from lucidnode.node.client.connection import DaemonClient
from lucidnode.node.config import SOCKET_FILE, load_config

as_json = click.option("--json", "wants_json", is_flag=True, help="Print JSON for scripts.")


@click.command("exit")
@click.pass_obj
def exit_command(home: Path) -> None:
    """Stop the daemon of this workstation. What is not uploaded yet goes on when it starts again.

    Unmount first: a mounted project keeps the daemon needed.

    \b
    Example:
      lucidnode umount ~/demo && lucidnode exit
    """
    asyncio.run(_order(home / SOCKET_FILE, "exit"))


@click.command("status")
@as_json
@click.pass_obj
def status_command(home: Path, wants_json: bool) -> None:
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


@click.command("peers")
@as_json
@click.pass_obj
def peers_command(home: Path, wants_json: bool) -> None:
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


@click.command("savings")
@as_json
@click.pass_obj
def savings_command(home: Path, wants_json: bool) -> None:
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


@click.group("cache")
def cache_command() -> None:
    """Look at the block cache of this workstation, or empty it."""


@cache_command.command("show")
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


@cache_command.command("clear")
@click.pass_obj
def cache_clear(home: Path) -> None:
    """Delete every cached block. What waits for its upload is not touched.

    \b
    Example:
      lucidnode cache clear
    """
    asyncio.run(_order(ensure_daemon(home), "cache/clear"))


@click.command("dashboard")
@as_json
@click.pass_obj
def dashboard_command(home: Path, wants_json: bool) -> None:
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
