"""`lucidnode dashboard`: the page of this workstation, or of a colleague's where an owner lets members."""

from __future__ import annotations

import asyncio
import os
import webbrowser
from pathlib import Path
from typing import Any

import click

from lucidnode.cli.background import facts
from lucidnode.cli.node_key_at_hand import daemon_with_keys
from lucidnode.cli.output import as_json, show_json
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.wire import DashboardWay
from lucidnode.node.config import load_config


@click.command("dashboard", short_help="Print the address of the dashboard, and open it.")
@click.option(
    "--node",
    "name",
    metavar="NAME",
    help="That of another workstation, by its name, address or device id, if an owner lets members.",
)
@passphrase_file
@as_json
@click.pass_obj
def dashboard_command(
    home: Path, name: str | None, passphrase_file: Path | None, wants_json: bool
) -> None:
    """Print the address of this workstation's dashboard, and open it if there is a desktop.

    The token in it lets in whoever has it: it is for your own browser. So is the login in the address
    of a colleague's, which is good once, within two minutes. The browser does not know the
    certificate there and asks: it is the right one if it shows the fingerprint that is printed here.

    \b
    Examples:
      lucidnode dashboard
      lucidnode dashboard --node edit-2
    """
    daemon_with_keys(home, passphrase_file)
    load_config(home)
    if name is None:
        shown = asyncio.run(facts(home, "dashboard"))
        found = {"url": shown["url"]}
    else:
        device = _device(asyncio.run(facts(home, "peers"))["peers"], name)
        way = asyncio.run(_way(home / SOCKET_FILE, device))
        found = {"url": way.url, "certificate_sha256": way.pin.hex(":").upper()}
    if wants_json:
        show_json(found)
        return
    click.echo(found["url"])
    if name is not None:
        click.echo(
            "the browser asks about a certificate that it does not know; its SHA-256 is\n"
            + found["certificate_sha256"],
            err=True,
        )
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        # Without a desktop it would start a browser in this terminal.
        webbrowser.open(found["url"])


def _device(peers: list[dict[str, Any]], name: str) -> DeviceId:
    """Return the one of *peers* that a person calls *name*. Raises BadParameter."""
    wanted = name.strip().casefold()
    found = [
        peer["device"]
        for peer in peers
        if wanted
        in {
            peer["device"],
            peer["device"][:8],
            peer["address"].casefold(),
            (peer["name"] or "").casefold(),
            (peer["name"] or "").rpartition(" (")[0].casefold(),
        }
        and wanted
    ]
    if len(found) == 1:
        return DeviceId(found[0])
    known = ", ".join(peer["name"] or peer["address"] or peer["device"][:8] for peer in peers)
    raise click.BadParameter(
        f"several workstations are called {name}: take the device id of `lucidnode peers --json`"
        if found
        else f"no workstation here is called {name}; there are {known or 'none'}",
        param_hint="--node",
    )


async def _way(socket: Path, device: DeviceId) -> DashboardWay:
    async with DaemonClient(socket) as client:
        return await client.dashboard.way_in(device)
