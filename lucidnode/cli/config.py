"""Commands for the settings of this workstation."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from lucidnode.cli.output import as_json, show_facts, show_json, show_table
from lucidnode.node.client.connection import DaemonClient
from lucidnode.node.client.errors import DaemonUnreachable
from lucidnode.node.config import SOCKET_FILE, NodeConfig, change_config, load_config
from lucidnode.node.settings import (
    AT_ONCE,
    SETTINGS,
    SETTINGS_CHANGED,
    BadSetting,
    Setting,
    setting,
)


class _SettingName(click.ParamType[Setting]):
    name = "setting"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Setting:
        try:
            return value if isinstance(value, Setting) else setting(value)
        except BadSetting as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        return [
            CompletionItem(each.name, help=each.meaning)
            for each in SETTINGS.values()
            if each.name.startswith(incomplete)
        ]


_name = click.argument("chosen", metavar="SETTING", type=_SettingName())


@click.group("config", short_help="Show and change the settings of this workstation.")
def config_command() -> None:
    """Show and change the settings of this workstation.

    \b
    Example:
      lucidnode config set cache.limit 500GB
    """


@config_command.command("list")
@as_json
@click.pass_obj
def config_list(home: Path, wants_json: bool) -> None:
    """Show every setting, its value, and where that comes from.

    \b
    Example:
      lucidnode config list
    """
    config = load_config(home)
    if wants_json:
        show_json({"settings": [_facts(found, config) for found in SETTINGS.values()]})
        return
    rows = [
        [found.name, found.show(found.of(config)), _where_from(found, config)]
        for found in SETTINGS.values()
    ]
    show_table(["setting", "value", "from"], rows)


@config_command.command("explain")
@_name
@as_json
@click.pass_obj
def config_explain(home: Path, chosen: Setting, wants_json: bool) -> None:
    """Say what SETTING means, what it can be, and when a change counts.

    \b
    Example:
      lucidnode config explain cache.leave-free
    """
    config = load_config(home)
    if wants_json:
        show_json(_facts(chosen, config))
        return
    show_facts(
        [
            ("setting", chosen.name),
            ("value", f"{chosen.show(chosen.of(config))} ({_where_from(chosen, config)})"),
            ("default", chosen.show(chosen.default)),
            ("takes", chosen.takes),
            ("a change counts", chosen.effect),
            ("meaning", chosen.meaning),
        ]
    )


@config_command.command("set")
@_name
@click.argument("value")
@click.pass_obj
def config_set(home: Path, chosen: Setting, value: str) -> None:
    """Give SETTING the value VALUE. The daemon may run.

    \b
    Examples:
      lucidnode config set cache.limit 500GB
      lucidnode config set office.peers 192.168.7.20:7450,192.168.7.21:7450
    """
    try:
        wanted = chosen.read(value)
    except BadSetting as error:
        raise click.BadParameter(str(error), param_hint=chosen.name) from error
    _change(home, chosen, wanted)


@config_command.command("unset")
@_name
@click.pass_obj
def config_unset(home: Path, chosen: Setting) -> None:
    """Take back what was set: SETTING has its default again.

    \b
    Example:
      lucidnode config unset cache.limit
    """
    _change(home, chosen, chosen.default)


def _change(home: Path, chosen: Setting, value: Any) -> None:
    change_config(home, lambda config: chosen.changed(config, value))
    with contextlib.suppress(DaemonUnreachable):  # what it reads when it starts is the new value
        asyncio.run(_tell_daemon(home))
    when = "now" if chosen.effect == AT_ONCE else chosen.effect
    click.echo(f"{chosen.name} is {chosen.show(value)} {when}", err=True)


async def _tell_daemon(home: Path) -> None:
    async with DaemonClient(home / SOCKET_FILE) as client:
        await client.order(SETTINGS_CHANGED)


def _where_from(found: Setting, config: NodeConfig) -> str:
    return "default" if found.of(config) == found.default else "this workstation"


def _facts(found: Setting, config: NodeConfig) -> dict[str, Any]:
    """Return *found* for scripts; values are as in node.json: sizes in bytes, None for auto."""
    return {
        "name": found.name,
        "value": found.of(config),
        "default": found.default,
        "from": _where_from(found, config),
        "effect": found.effect,
        "takes": found.takes,
        "meaning": found.meaning,
    }
