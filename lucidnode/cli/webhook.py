"""`lucidnode webhook`: receivers that are told what happens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from lucidnode.cli.background import facts
from lucidnode.cli.mounted_project import mounted_project
from lucidnode.cli.output import as_json, show_facts, show_json, show_table
from lucidnode.cli.project_names import offering_projects_and_paths
from lucidnode.node.client import wire
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.config import load_config


@click.group("webhook", short_help="Have services told what happens in projects.")
def webhook_command() -> None:
    """Have services told what happens in projects that are mounted on this workstation.

    Each journal entry is a signed POST, in order, at least once; what a receiver does not take now
    is told when it does, also after a restart. One workstation at a time tells it: if that goes
    away, another one on which the project is mounted takes over.

    \b
    Examples:
      lucidnode webhook add https://pipeline.example/lucid --project demo
      lucidnode webhook list
    """


@webhook_command.command("add")
@click.argument("url")
@click.option(
    "--project",
    metavar="PROJECT|DIR",
    shell_complete=offering_projects_and_paths,
    help="This one; else all that are mounted here now.",
)
@click.option("--paths", is_flag=True, help="Tell paths and people's names, too; for owners.")
@as_json
@click.pass_obj
def webhook_add(home: Path, url: str, project: str | None, paths: bool, wants_json: bool) -> None:
    """Have URL told what happens from now on in a project.

    Without --paths it learns kinds of changes, states and sizes, and no name. Prints the secret
    with which the receiver checks that it is us; it is shown once.

    \b
    Example:
      lucidnode webhook add --paths --project demo https://pipeline.example/lucid
    """
    load_config(home)
    status = asyncio.run(facts(home, "status"))
    wanted = None if project is None else mounted_project(home, status, project)
    added = asyncio.run(_add(home, wire.WebhookWish(url, wanted, paths)))
    if wants_json:
        show_json({"id": added.id, "secret": added.secret})
    else:
        show_facts([("id", added.id), ("secret", added.secret)])


async def _add(home: Path, wish: wire.WebhookWish) -> wire.WebhookAdded:
    async with DaemonClient(home / SOCKET_FILE) as client:
        return await client.webhooks.add(wish)


@webhook_command.command("list")
@as_json
@click.pass_obj
def webhook_list(home: Path, wants_json: bool) -> None:
    """List the webhooks, and how many journal entries each has not taken yet.

    \b
    Example:
      lucidnode webhook list --json
    """
    load_config(home)
    found = asyncio.run(facts(home, "webhooks"))["webhooks"]
    if wants_json:
        show_json({"webhooks": found})
    elif found:
        show_table(
            ["id", "receiver", "project", "paths", "told by", "behind", "refused"], map(_row, found)
        )
    else:
        click.echo("no webhooks", err=True)


def _row(webhook: dict[str, Any]) -> list[object]:
    return [
        webhook["id"],
        webhook["url"],
        "all" if webhook["project"] is None else webhook["project"][:8],
        "yes" if webhook["paths"] else "no",
        webhook["told_by"] or "nobody yet",
        sum(webhook["behind"].values()),
        webhook["refused"] or "no",
    ]


@webhook_command.command("remove")
@click.argument("ident", metavar="ID")
@click.pass_obj
def webhook_remove(home: Path, ident: str) -> None:
    """Tell the receiver of webhook ID no more.

    \b
    Example:
      lucidnode webhook remove 1c9e0a42
    """
    load_config(home)
    asyncio.run(_remove(home, ident))
    click.echo(f"webhook {ident} is removed", err=True)


async def _remove(home: Path, ident: str) -> None:
    async with DaemonClient(home / SOCKET_FILE) as client:
        await client.webhooks.remove(ident)


@webhook_command.command("test")
@click.argument("ident", metavar="ID")
@click.pass_obj
def webhook_test(home: Path, ident: str) -> None:
    """Send webhook ID a signed test, and say whether the receiver took it.

    \b
    Example:
      lucidnode webhook test 1c9e0a42
    """
    load_config(home)
    asyncio.run(_test(home, ident))
    click.echo("the receiver took it", err=True)


async def _test(home: Path, ident: str) -> None:
    async with DaemonClient(home / SOCKET_FILE) as client:
        await client.webhooks.test(ident)
