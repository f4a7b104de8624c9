"""Commands that ask this workstation's daemon, or stop it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from lucidnode.cli.background import (
    daemon_process,
    end_daemon_keeper,
    facts,
    facts_if_running,
)
from lucidnode.cli.other_process import OtherProcess
from lucidnode.cli.output import (
    alert_line,
    as_json,
    counted,
    in_blocks,
    is_cache_missing,
    moment,
    show_facts,
    show_json,
    show_line,
    show_table,
    size,
)
from lucidnode.cli.persistent_mounts import persistent_mounts
from lucidnode.cli.progress import spinner
from lucidnode.cli.service_state import read_state, runs, why_away
from lucidnode.cli.status_answers import moving_cells, status_answers
from lucidnode.cli.unmounting import require_unmounted
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import Refused, Unavailable
from lucidnode.node.client.guarded_disk import TOPIC as CACHE_DISK
from lucidnode.node.config import load_config

_EXIT_S = 30.0
_LOOK_INTERVAL_S = 0.25


@click.command("exit")
@click.pass_obj
def exit_command(home: Path) -> None:
    """Stop the daemon of this workstation. What is not uploaded yet goes on when it starts again.

    Unmount first: a mounted project keeps the daemon needed.

    \b
    Example:
      lucidnode umount ~/demo && lucidnode exit
    """
    status = asyncio.run(facts_if_running(home, "status"))
    require_unmounted(home, status)
    process = daemon_process(home)
    if status is None or process is None:
        # One that died may be about to come back.
        had_keeper = end_daemon_keeper(home)
        click.echo("the daemon has stopped" if had_keeper else "no daemon runs here", err=True)
        return
    asyncio.run(_ask_to_exit(home / SOCKET_FILE))
    with spinner("stopping the daemon…"):
        if not process.ends_within(_EXIT_S):
            raise Unavailable(
                f"the daemon was told to stop and has not ended yet{_held_by(process, status)}"
            )
        end_daemon_keeper(home)  # which sees the same, and is waited for
    click.echo(f"the daemon has stopped{_waiting(status)}", err=True)
    if runs(home) is not None:
        click.echo("it comes back at the next start of the service", err=True)


def _held_by(process: OtherProcess, status: dict[str, Any]) -> str:
    """Return what holds up a daemon that does not end, and what there is to do."""
    if not process.hangs_in_disk():
        return "; look again soon"
    causes = [alert["cause"] for alert in status["alerts"] if alert["topic"] == CACHE_DISK]
    said = f" ({causes[0].rstrip('.')})" if causes else ""
    return f": it waits for a disk that does not answer{said}, and ends once that does; `lucidnode doctor` names it"


def _waiting(status: dict[str, Any]) -> str:
    """Return what the person should know of blocks that are not in the cloud, or nothing."""
    uploads = status["uploads"]
    if not uploads["blocks"]:
        return ""
    waiting = in_blocks(uploads["bytes"], uploads["blocks"])
    if is_cache_missing(status):
        return f"; {waiting} wait in the cache that is missing, and go on once it is there again"
    return f"; {waiting} are safe on this disk and go on to the cloud when it starts again"


@click.command("status")
@click.option("--alerts", "wants_alerts", is_flag=True, help="List all that is amiss, and no more.")
@as_json
@click.pass_obj
def status_command(home: Path, wants_alerts: bool, wants_json: bool) -> None:
    """Show whether your work is safe, your drives fast, who you are here, and what there is to do.

    \b
    Example:
      lucidnode status --json | jq .uploads.bytes
    """
    found = _facts(home, "alerts" if wants_alerts else "status")
    if not wants_alerts:
        found["persistent"] = _persistent(home, found["mounts"])
    if wants_json:
        show_json(found)
        return
    if wants_alerts:
        _show_alerts(found["alerts"])
        if not found["alerts"]:
            click.echo("Nothing is amiss.")
        return
    mounts = found["mounts"]
    show_facts(
        [
            *status_answers(found),
            ("other workstations", f"{found['peers']} connected" if found["peers"] else "none"),
            ("bucket", found["bucket"]),
            ("dashboard", found["addresses"]["dashboard"]),
        ]
    )
    if mounts:
        click.echo()
        lasting = {each["mountpoint"] for each in found["persistent"]}
        columns = [
            "mounted at",
            "durability",
            "changes not in the cloud yet",
            "conflicts",
            "checkpoint",
        ]
        rows = [
            [
                m["mountpoint"],
                m["durability"],
                m["pending"],
                m["conflicts"],
                _checkpoint(m),
                *_back(m, lasting),
            ]
            for m in mounts
        ]
        show_table(columns + (["comes back"] if lasting else []), rows)
        if not all(mount["kernel_channel"] for mount in mounts):
            click.echo(
                "without the compiled kernel channel: a C compiler when installing brings it"
            )
    for each in found["persistent"]:
        if not each["mounted"]:
            show_line(f"! {each['mountpoint']}: {each['project']} is not mounted: {each['cause']}")
    if moving := found["on_their_way"]:
        click.echo()
        columns = ["on its way to the cloud", "state", "from", "left", "rate", "time left"]
        show_table(columns, map(moving_cells, moving))
    if conflicts := found["conflicts"]:
        click.echo()
        paths = [str(Path(one["mountpoint"]) / one["path"]) for one in conflicts]
        show_table(["conflict copies"], [[path] for path in paths])
        more = sum(mount["conflicts"] for mount in mounts) - len(paths)
        click.echo(
            (f"and {more} more; " if more > 0 else "")
            + "`lucidnode conflicts keep mine` or `theirs` settles one"
        )
    for each in found["indexers"]:
        show_line(_indexer(each))
    for each in found["collections"]:
        click.echo(f"{each['mountpoint']}: {_collection(each)}")
    for each in found["rekeys"]:
        click.echo(f"{each['mountpoint']}: {_rekey(each)}")
    _show_alerts(found["alerts"])


def _indexer(each: dict[str, Any]) -> str:
    """Return what a program had, and did not get, that is held to what is cheap."""
    return (
        f"{each['program']} looks into files by itself: {size(each['fetched_bytes'])} fetched for it, "
        f"{size(each['withheld_bytes'])} not (`lucidnode config explain indexers.programs`)"
    )


def _collection(each: dict[str, Any]) -> str:
    """Return when room was freed in the bucket last, and when that is next."""
    if each["ended"] is None:
        return f"{each['by']} frees what nothing needs any more, since {moment(each['begun'])}"
    return (
        f"{size(each['freed_bytes'])} freed in the bucket on {moment(each['ended'])} by {each['by']}; "
        f"not again before {moment(each['next'])}"
    )


def _rekey(each: dict[str, Any]) -> str:
    """Return how much is still sealed as before the last change of members."""
    if each["is_behind"]:
        return (
            "members have changed since it was sealed anew: `lucidnode project rekey --dry-run` says how "
            "much is older"
        )
    said = f"by {each['by']} on {moment(each['at'])}"
    if not each["left_blocks"]:
        return f"all of it is sealed without those who were put out, {said}"
    return (
        f"{size(each['left_bytes'])} in {counted(each['left_blocks'], 'block')} left to seal anew, {said}; "
        "`lucidnode project rekey` goes on"
    )


def _checkpoint(mount: dict[str, Any]) -> str:
    """Return how old the newest checkpoint is that *mount* knows, in changes of the project."""
    at = mount["checkpoint"]
    return f"{mount['head'] - at:,} entries ago" if at else "none yet"


def _back(mount: dict[str, Any], lasting: set[str]) -> list[str]:
    """Return the cell that says whether *mount* comes back; none if no mount does."""
    return ["yes" if mount["mountpoint"] in lasting else "no"] if lasting else []


def _persistent(home: Path, mounts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mounts that come back by themselves, and why one is not there."""
    try:
        listed = persistent_mounts(home)
    except Refused as error:
        click.echo(f"note: {error}", err=True)  # the rest is still worth knowing
        return []
    there = {each["mountpoint"] for each in mounts}
    pid = runs(home)
    state = read_state(home) if pid is not None else None
    known = {drive.directory: drive for drive in state.drives} if state is not None else {}
    return [
        {
            "project": each.project,
            "mountpoint": each.directory,
            "mounted": each.directory in there,
            "cause": "" if each.directory in there else why_away(known.get(each.directory), pid),
        }
        for each in listed
    ]


def _show_alerts(alerts: list[dict[str, Any]]) -> None:
    for alert in alerts:
        click.echo(f"! {alert_line(alert)}")


@click.command("peers", short_help="Show the other workstations of this office.")
@as_json
@click.pass_obj
def peers_command(home: Path, wants_json: bool) -> None:
    """Show the other workstations of this office and their share of the cache.

    \b
    Example:
      lucidnode peers
    """
    found = _facts(home, "peers")
    if wants_json:
        show_json(found)
        return
    rows = [["this workstation", "", "up", f"{found['share']:.0%}", "", ""]]
    rows += [_peer(peer) for peer in found["peers"]]
    show_table(["workstation", "address", "state", "keeps", "gave", "got"], rows)
    if not found["peers"]:
        click.echo(
            "No other workstation found. If there are some, `lucidnode doctor` says why; `lucidnode "
            "config set office.peers HOST:PORT` names one where multicast does not reach."
        )


def _peer(peer: dict[str, Any]) -> list[str]:
    totals = peer["totals"] or {}
    return [
        peer["name"] or peer["device"][:8],
        peer["address"],
        peer["state"],
        f"{peer['share']:.0%}",
        size(totals.get("served", 0)),
        size(totals.get("received", 0)),
    ]


def _facts(home: Path, topic: str) -> dict[str, Any]:
    load_config(home)
    return asyncio.run(facts(home, topic))


async def _ask_to_exit(socket: Path) -> None:
    async with DaemonClient(socket) as client:
        await client.orders.give("exit")
