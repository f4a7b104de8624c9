"""`lucidnode support-bundle`: what somebody who helps needs to know, in one file."""

from __future__ import annotations

import asyncio
import io
import os
import platform
import sys
import tarfile
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.error import URLError

import click

from lucidnode.cli.background import facts_if_running
from lucidnode.cli.output import counted
from lucidnode.cli.progress import spinner
from lucidnode.doctor import examine
from lucidnode.fs.channel.device import built
from lucidnode.node.config import LOG_FILE, load_config
from lucidnode.support_bundle import LOG_BYTES, bundle

_TOPICS = ("status", "peers", "stats", "cache", "savings-days")
_METRICS_S = 10.0


@click.command("support-bundle", short_help="Pack what somebody who helps needs to know.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--names", is_flag=True, help="With names of files, projects, people, hosts, and all logs."
)
@click.pass_obj
def support_bundle_command(home: Path, file: Path, names: bool) -> None:
    """Write FILE, a tar.gz with what somebody who helps needs to know of this workstation.

    Version, settings, what `doctor` finds, status, metrics, and the end of the logs. There are no
    keys, passphrases or credentials in it, ever. Without --names there are no names, paths and
    addresses either: of logs only when and where something was said. It is a file on this disk;
    look into it (`tar -xzf`) before you send it to somebody.

    \b
    Examples:
      lucidnode support-bundle ~/lucidnode-support.tar.gz
      lucidnode support-bundle --names ~/all.tar.gz
    """
    config = load_config(home)
    with spinner("looking…"):
        facts = asyncio.run(_facts(home))
        findings = asyncio.run(examine(home, config, facts["status"], facts["peers"]))
        way_in = asyncio.run(facts_if_running(home, "dashboard"))
        files = bundle(
            about=_about(),
            config=config,
            findings=findings,
            facts=facts,
            metrics="" if way_in is None else _metrics(way_in["url"]),
            logs=_logs(home),
            names=names,
        )
    _pack(file, files)
    left_out = "" if names else " without names"
    click.echo(f"{counted(len(files), 'file')}{left_out} are in {file}", err=True)


async def _facts(home: Path) -> dict[str, dict[str, Any] | None]:
    return {topic: await facts_if_running(home, topic) for topic in _TOPICS}


def _about() -> dict[str, str]:
    release = platform.freedesktop_os_release()
    return {
        "lucidnode": version("lucidnode"),
        "kernel channel": "yes" if built() else "no",
        "python": sys.version.split()[0],
        "system": release.get("PRETTY_NAME", "unknown"),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "processors": str(os.cpu_count()),
        "written": f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z}",
    }


def _metrics(way_in: str) -> str:
    """Return the metrics of the daemon; why not, if it does not answer."""
    address, _, token = way_in.partition("?")
    try:
        with urllib.request.urlopen(  # noqa: S310  # our own daemon's address
            f"{address}metrics?{token}", timeout=_METRICS_S
        ) as answer:
            text: bytes = answer.read()
            return text.decode()
    except (URLError, OSError):
        return "the daemon did not answer\n"


def _logs(home: Path) -> dict[str, str]:
    """Return the ends of the logs of the daemon and of all mounts, by a name without names."""
    places = {"daemon.log": home / LOG_FILE}
    mounts = sorted(home.glob("projects/*/mount.log"))
    places |= {f"mount-{number}.log": path for number, path in enumerate(mounts, 1)}
    return {name: _end(path) for name, path in places.items() if path.exists()}


def _end(path: Path) -> str:
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - LOG_BYTES))
        return log.read(LOG_BYTES).decode(errors="replace")


def _pack(file: Path, files: Mapping[str, str]) -> None:
    """Write *files* into the new file *file*, for this user alone. Raises FileExistsError, OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, text in files.items():
            content = text.encode()
            entry = tarfile.TarInfo(f"lucidnode-support/{name}")
            entry.size = len(content)
            entry.mode = 0o600
            archive.addfile(entry, io.BytesIO(content))
