"""`scripts/lan`: the lab on the command line."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

import click
import msgspec
from rich.console import Console
from rich.table import Table

from lab.errors import LabError
from lab.lab import Lab, make, open_lab, remove
from lab.network import CLOUD, SWITCH
from lab.places import Places
from lab.record import Plan, Status

_named = click.option("--name", default="lab", show_default=True, help="Which lab.")
_node = click.argument("node")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def lan() -> None:
    """A LAN of workstations on this machine, with a cloud behind a slow line.

    \b
    Three workstations, 200 Mbit/s and 20 ms from their bucket, project `demo` mounted on each:
      scripts/lan up --nodes 3 --wan-mbit 200 --wan-ms 20
      scripts/lan exec a cp -r ~/footage /var/lib/lucidnode-lab/lab/a/mount
      scripts/lan exec b lucidnode savings
      scripts/lan cut a; scripts/lan heal a
      scripts/lan down
    """  # noqa: D301, D401  # click's own mark; the group is a thing


@lan.command()
@_named
@click.option("--nodes", type=int, default=3, show_default=True, help="Workstations: a, b, c, …")
@click.option("--wan-mbit", type=float, help="Rate of the line to the cloud, each way.")
@click.option("--wan-ms", type=float, default=0.0, help="What it adds to a round trip.")
@click.option("--bucket", type=click.Choice(["s3", "file"]), default="s3", show_default=True)
@click.option("--loopback", is_flag=True, help="No namespaces, and no root; see docs/lab.md.")
@click.option("--hostile", is_flag=True, help="Put a proxy before the bucket; see `hostile`.")
@click.option("--https", is_flag=True, help="Have that proxy speak TLS, under a CA of its own.")
def up(
    name: str,
    nodes: int,
    wan_mbit: float | None,
    wan_ms: float,
    bucket: Any,
    loopback: bool,
    hostile: bool,
    https: bool,
) -> None:
    """Bring a lab up; prints what `status --json` does once everything is ready."""
    plan = Plan(
        nodes,
        wan_mbit,
        wan_ms,
        bucket,
        namespaces=not loopback,
        hostile=hostile or https,
        https=https,
    )
    console = Console(stderr=True)
    with console.status("starting") as spinner:

        def say(what: str) -> None:
            spinner.update(what)
            if not console.is_terminal:
                console.print(f"lan: {what}")

        lab = make(name, plan, say)
    _print_json(lab.status())


@lan.command()
@_named
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def status(name: str, as_json: bool) -> None:
    """Show what runs where."""
    lab = open_lab(name)
    if as_json:
        _print_json(lab.status())
    else:
        _print_table(lab)


@lan.command(
    "exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@_named
@click.argument("place", metavar="NODE|switch|cloud")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="CMD...")
def execute(name: str, place: str, command: tuple[str, ...]) -> None:
    """Run a command on a workstation, in the switch or in the cloud.

    \b
    Example:
      scripts/lan exec b lucidnode status
      scripts/lan exec switch tcpdump -ni br0 port 5353
    """  # noqa: D301  # click's own mark
    prefix, environment = open_lab(name).inside(place)
    argv = [*prefix, *command]
    try:
        os.execvpe(argv[0], argv, environment)  # noqa: S606  # this is what it is for
    except OSError as error:
        raise LabError(f"{argv[0]}: {error.strerror}") from error


@lan.command()
@_named
@_node
def cut(name: str, node: str) -> None:
    """Take a workstation off the LAN: its frames vanish, and nobody gets a reset."""
    with Places.of(name).locked():
        open_lab(name).cut(node)


@lan.command()
@_named
@_node
def heal(name: str, node: str) -> None:
    """Connect it again."""
    with Places.of(name).locked():
        open_lab(name).heal(node)


@lan.command("hostile")
@_named
@click.option("--calm", is_flag=True, help="End all faults.")
@click.argument("rules", nargs=-1, metavar="[RULE]...")
def hostile_store(name: str, calm: bool, rules: tuple[str, ...]) -> None:
    """Have the store be hostile by RULEs, instead of those before; prints rules and hits.

    A rule is `FAULT [METHOD,...] [PATTERN] [p=PROBABILITY] [n=COUNT] [from=NODE]`. Needs a lab
    that was made with --hostile.

    \b
    Examples:
      scripts/lan hostile portal                       # a hotel's login page for everything
      scripts/lan hostile 'expired from=a'             # a's credentials have run out
      scripts/lan hostile 'lost create p=0.5' 'flip get journal/* p=0.1'
      scripts/lan hostile --calm
    """  # noqa: D301  # click's own mark
    wanted = list(rules) if rules or calm else None
    state = open_lab(name).set_rules(wanted)
    print(msgspec.json.format(msgspec.json.encode(state)).decode())


@lan.command()
@_named
@_node
def kill(name: str, node: str) -> None:
    """Kill its daemon and mount with SIGKILL, as a power cut would."""
    with Places.of(name).locked():
        open_lab(name).kill(node)


@lan.command()
@_named
@_node
def restart(name: str, node: str) -> None:
    """Stop what still runs of it, in order, and start daemon and mount again."""
    with Places.of(name).locked():
        open_lab(name).restart(node)


@lan.command()
@_named
def down(name: str) -> None:
    """Remove the lab with everything in it, also after a crash."""
    if not remove(name):
        click.echo(f"lan: lab {name!r} was not up", err=True)


def main() -> None:
    """Run `scripts/lan`."""
    run_command(lan)


def run_command(command: click.Command) -> NoReturn:
    """Run *command* and exit: 0 done, 1 not done, 2 wrong usage."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        # click.exceptions.Exit is returned as its code. Commands themselves return nothing.
        code = command.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(1)
    except LabError as error:
        click.echo(f"{command.name}: {error}", err=True)
        sys.exit(1)
    sys.exit(code or 0)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # As Ctrl-C: a lab half up is taken down on the way out.
    raise KeyboardInterrupt


def _print_json(status: Status) -> None:
    print(msgspec.json.format(msgspec.json.encode(status)).decode())


def _print_table(lab: Lab) -> None:
    status = lab.status()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("node", "address", "daemon", "mount", "mounted at"):
        table.add_column(column, overflow="fold")
    for node in status.nodes:
        table.add_row(
            node.name,
            node.address if node.connected else f"{node.address} (cut off)",
            str(node.pids.daemon or "-"),
            str(node.pids.mount or "-"),
            node.mount,
        )
    console = Console()
    console.print(table)
    console.print()
    console.print(
        f"bucket     {status.bucket_url}" + (f" at {status.s3.endpoint}" if status.s3 else "")
    )
    if status.switch is not None:
        console.print(
            f"namespaces {SWITCH}, {CLOUD} and one for each workstation: `scripts/lan exec`"
        )
