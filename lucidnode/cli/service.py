"""Commands about the service that has the drives of this workstation there by themselves."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, cast

import click

from lucidnode import membership
from lucidnode.cli import confinement, secret_service, service_install
from lucidnode.cli.child import log_to_stderr
from lucidnode.cli.exit_codes import Exit
from lucidnode.cli.keeper import environment_of
from lucidnode.cli.kept_passphrase import IN_WORDS, KeptPassphrase, Place, session_bus
from lucidnode.cli.output import as_json, show_facts, show_json, show_table
from lucidnode.cli.persistent_mounts import persistent_mounts
from lucidnode.cli.progress import spinner
from lucidnode.cli.secrets_input import passphrase, passphrase_file
from lucidnode.cli.service_install import ServicePlace
from lucidnode.cli.service_loop import ServiceLoop
from lucidnode.cli.service_machine import ServiceMachine
from lucidnode.cli.service_notices import ServiceNotices
from lucidnode.cli.service_state import (
    ServiceState,
    only_service,
    read_state,
    run_of_the_machine,
    runs,
    why_away,
    write_state,
)
from lucidnode.fs.kernel.mountpoint import mounted_at
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import Refused, Unavailable
from lucidnode.node.config import load_config

_PLACES = click.Choice(list(IN_WORDS))

_KEEP_OPTION = "--keep"


@click.group("service", short_help="Have drives come back by themselves, from the start on.")
def service_command() -> None:
    """Have the drives of this workstation there by themselves: after login, reboot or a crash.

    `lucidnode mount --persist` lists what is to be there.

    \b
    Example:
      lucidnode mount --persist demo ~/demo && lucidnode service install
    """


@service_command.command("install")
@click.option(
    "--system", "is_system", is_flag=True, help="For the machine, not this login. As root."
)
@click.option(
    _KEEP_OPTION,
    "place",
    type=_PLACES,
    help="Where the passphrase is kept. [default: keyring; credential with --system]",
)
@passphrase_file
@click.pass_obj
def install_command(
    home: Path, is_system: bool, place: Place | None, passphrase_file: Path | None
) -> None:
    """Install the service of this workstation, and start it. Again, to change where the passphrase is.

    Nobody is asked for the passphrase at a start: it is kept in the desktop's keyring, sealed by
    systemd for this machine (--system), or, with `--keep file`, stays in the --passphrase-file.

    \b
    Examples:
      lucidnode service install
      sudo lucidnode --home ~/.local/share/lucidnode service install --system
    """
    load_config(home)
    where = service_install.place_of(home, os.environ, is_system=is_system)
    service_install.check_systemd(where)
    _refuse_other(home, where)
    chosen = place or _default_place(where)
    _check_place(where, chosen, passphrase_file)
    words = passphrase(passphrase_file)
    membership.unlock(home, words)
    _keep(where, chosen, words)
    file = passphrase_file.absolute() if chosen == "file" and passphrase_file is not None else None
    credential = where.credential if chosen == "credential" else None
    text = where.unit.text(_run_command(home, chosen, file), credential)
    with spinner("starting the service…"):
        service_install.install(where, text)
    click.echo(
        f"{where.unit.name} is installed and has started; the passphrase is kept {IN_WORDS[chosen]}",
        err=True,
    )
    if not persistent_mounts(home):
        click.echo(
            "list what it shall mount with `lucidnode mount --persist PROJECT DIR`", err=True
        )
    if not is_system and not service_install.lingers(os.getuid()):
        click.echo(
            "it starts when you log in; to have it from the start of the machine on, run "
            "`loginctl enable-linger`",
            err=True,
        )


@service_command.command("remove")
@click.pass_obj
def remove_command(home: Path) -> None:
    """Stop the service, which unmounts its drives, and take it out of systemd.

    The kept passphrase is forgotten; the list of mounts stays.

    \b
    Example:
      lucidnode service remove
    """
    where = service_install.installed(home, os.environ)
    if where is None:
        raise Refused(f"no service of {home} is installed")
    service_install.check_systemd(where)
    service_install.remove(where)
    if not where.is_system and secret_service.answers():
        try:
            secret_service.forget(home, secret_service.PASSPHRASE)
        except secret_service.KeyringAway as error:
            click.echo(f"note: the passphrase is still in the keyring: {error}", err=True)
    click.echo(f"{where.unit.name} is removed, and its drives are unmounted", err=True)


@service_command.command("status")
@as_json
@click.pass_obj
def status_command(home: Path, wants_json: bool) -> None:
    """Show the service, which drives it brings back, and why one is not there.

    \b
    Example:
      lucidnode service status
    """
    found = service_facts(home)
    if wants_json:
        show_json(found)
        return
    shown: list[tuple[str, object]] = [
        ("service", found["unit"] or "not installed: run `lucidnode service install`"),
        ("runs", f"yes, process {found['pid']}" if found["pid"] else "no"),
    ]
    if found["unit"]:
        shown += [("systemd says", f"{found['active']}, {found['enabled']}")]
    if found["problem"]:
        shown.append(("!", found["problem"]))
    show_facts(shown)
    if found["mounts"]:
        click.echo()
        show_table(
            ["comes back at", "project", "now", "because"],
            [[m["mountpoint"], m["project"], m["condition"], m["cause"]] for m in found["mounts"]],
        )
    else:
        click.echo("nothing is listed: do so with `lucidnode mount --persist PROJECT DIR`")


@service_command.command("run")
@click.option(_KEEP_OPTION, "place", type=_PLACES, default="file", show_default=True,
              help="Where the passphrase is kept.")  # fmt: skip
@passphrase_file
@click.pass_obj
def run_command(home: Path, place: Place, passphrase_file: Path | None) -> None:
    """Be the service: have the daemon and the listed mounts there until SIGTERM, then unmount.

    systemd runs this; with another service manager it is yours to have it run.

    \b
    Example:
      lucidnode service run --passphrase-file /etc/lucidnode/passphrase
    """
    load_config(home)
    if place == "file" and passphrase_file is None:
        raise click.UsageError("name the file with --passphrase-file")
    log_to_stderr()
    notices = ServiceNotices.of(os.environ)
    kept = KeptPassphrase(home, place, passphrase_file, dict(os.environ))
    environment = dict(os.environ)
    confinement.confine(environment_of("daemon", home) | session_bus(environment))
    machine = ServiceMachine(home, kept.read, os.environ)
    with only_service(home):
        loop = ServiceLoop(machine, notices, SystemClock(), run_of_the_machine(), read_state(home))
        if asyncio.run(_served(loop, machine, notices)):
            write_state(home, ServiceState())
            return
    sys.exit(Exit.FAILED)  # so that systemd starts our successor


async def _served(loop: ServiceLoop, machine: ServiceMachine, notices: ServiceNotices) -> bool:
    """Serve until we are told to end; tell whether with our mounts. SIGHUP leaves them to a successor."""
    asked: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()

    def heard(number: signal.Signals) -> None:
        if not asked.done():
            asked.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, heard, number)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(loop.run())
        is_handed_over = await asked == signal.SIGHUP
        if not is_handed_over:
            notices.stopping()
            notices.status("unmounting")
        serving.cancel()
    if not is_handed_over:
        await machine.end()
    return not is_handed_over


def service_facts(home: Path) -> dict[str, Any]:
    """Return how the service of *home* is, and what it brings back. Raises Refused."""
    where = service_install.installed(home, os.environ)
    pid = runs(home)
    state = read_state(home) if pid is not None else None
    known = {drive.directory: drive for drive in state.drives} if state is not None else {}
    mounts = []
    for mount in persistent_mounts(home):
        drive = known.get(mount.directory)
        # Without a service whoever mounted it did so by hand.
        there = mounted_at(Path(mount.directory)) if pid is None else None
        by_hand = there is not None and there.is_ours
        mounts.append(
            {
                "project": mount.project,
                "mountpoint": mount.directory,
                "condition": drive.condition if drive else "mounted" if by_hand else "waiting",
                "cause": "" if drive and drive.condition == "mounted" else why_away(drive, pid),
            }
        )
    manager = {"active": None, "enabled": None} if where is None else service_install.facts(where)
    return {
        "unit": None if where is None else where.unit.name,
        "system": where is not None and where.is_system,
        **manager,
        "pid": pid,
        "problem": state.daemon if state is not None else "",
        "mounts": mounts,
    }


def _refuse_other(home: Path, where: ServicePlace) -> None:
    """Refuse a second unit for one home: each would bring back what the other ends."""
    other = service_install.installed(home, os.environ)
    if other is not None and other.is_system != where.is_system:
        raise Refused(
            f"{other.path} serves {home} already: run `lucidnode service remove` first"
            + (" as root" if other.is_system else "")
        )


def _default_place(where: ServicePlace) -> Place:
    if where.is_system:
        return "credential"
    if secret_service.answers():
        return "keyring"
    raise click.UsageError(
        "no keyring answers here: write the passphrase to a file that only you can read, and say "
        "`--keep file --passphrase-file FILE`"
    )


def _check_place(where: ServicePlace, place: Place, file: Path | None) -> None:
    if place == "credential" and not where.is_system:
        raise click.UsageError(
            "systemd seals passphrases for --system only: keep it in the keyring"
        )
    if place == "keyring" and where.is_system:
        raise click.UsageError("a keyring belongs to a login: --system has `--keep credential`")
    if place == "file":
        if file is None:
            raise click.UsageError("name the file with --passphrase-file")
        service_install.check_file(where, file)


def _keep(where: ServicePlace, place: Place, words: str) -> None:
    if place == "credential":
        service_install.seal(where, words)
    elif place == "keyring":
        try:
            secret_service.keep(where.unit.home, secret_service.PASSPHRASE, words)
        except secret_service.KeyringAway as error:
            raise Unavailable(str(error)) from error


def _run_command(home: Path, place: Place, file: Path | None) -> list[str]:
    words = [sys.executable, "-P", "-m", "lucidnode", "--home", str(home), "service", "run"]
    words += [_KEEP_OPTION, cast(str, place)]
    return words + ([] if file is None else ["--passphrase-file", str(file)])
