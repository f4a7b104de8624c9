"""Commands for settings: of this workstation, and those that an owner makes for the studio."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from lucidnode import studio_wide
from lucidnode.cli.membership_input import unlocked
from lucidnode.cli.moving_cache import move_cache_to
from lucidnode.cli.output import as_json, show_facts, show_json, show_table
from lucidnode.cli.progress import spinner
from lucidnode.cli.secrets_input import passphrase_file
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.errors import DaemonUnreachable
from lucidnode.node.config import NodeConfig, change_config, load_config
from lucidnode.node.setting_values import BadSetting
from lucidnode.node.settings import AT_ONCE, MOVED, SETTINGS, SETTINGS_CHANGED, Setting, setting
from lucidnode.node.studio_settings import load_texts, of_studio, overlaid


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


_for_studio = click.option(
    "--global", "for_studio", is_flag=True, help="For every workstation of the studio. For owners."
)


@click.group("config", short_help="Show and change settings: this workstation's, and the studio's.")
def config_command() -> None:
    """Show and change the settings of this workstation, and those that hold for the whole studio.

    What is set on a workstation holds there; else what an owner has set for the studio; else the
    default. Nothing has to be started again.

    \b
    Examples:
      lucidnode config set cache.limit 500GB
      lucidnode config set uploads.rate "40Mbit/s 08:00-19:00" --global
    """


@config_command.command("list")
@click.option(
    "--effective",
    "which",
    flag_value="effective",
    default=True,
    help="What holds here, and where from. The default.",
)
@click.option(
    "--global", "which", flag_value="global", help="What an owner has set for the studio."
)
@click.option("--local", "which", flag_value="local", help="What was set on this workstation.")
@as_json
@click.pass_obj
def config_list(home: Path, which: str, wants_json: bool) -> None:
    """Show settings, their values, and where these come from.

    \b
    Examples:
      lucidnode config list
      lucidnode config list --global
    """
    known = _Known.of(home)
    match which:
        case "global":
            found = {
                name: SETTINGS[name].notation.show(value) for name, value in known.studio.items()
            }
            empty = "No owner has set anything for the studio."
        case "local":
            own = [each for each in SETTINGS.values() if each.is_set_in(known.own)]
            found = {each.name: each.shown_in(known.own) for each in own}
            empty = "Nothing was set on this workstation."
        case _:
            found = {each.name: each.shown_in(known.effective) for each in SETTINGS.values()}
            empty = ""
    if wants_json:
        values = known.studio if which == "global" else {}
        show_json(
            {
                "settings": [
                    known.facts(SETTINGS[name])
                    | ({"value": values[name]} if name in values else {})
                    for name in found
                ]
            }
        )
        return
    if not found:
        click.echo(empty)
        return
    if which == "effective":
        rows = [[name, value, known.where_from(SETTINGS[name])] for name, value in found.items()]
        show_table(["setting", "value", "from"], rows)
    else:
        show_table(["setting", "value"], [[name, value] for name, value in found.items()])


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
    known = _Known.of(home)
    if wants_json:
        show_json(known.facts(chosen))
        return
    rows = [
        ("setting", chosen.name),
        (
            "value",
            f"{chosen.shown_in(known.effective)} ({known.where_from(chosen)})",
        ),
        ("default", chosen.notation.show(chosen.default)),
    ]
    if chosen.name in known.studio:
        rows.append(("for the studio", chosen.notation.show(known.studio[chosen.name])))
    rows += [
        ("takes", chosen.takes),
        ("a change counts", chosen.effect),
        ("meaning", chosen.meaning),
    ]
    show_facts(rows)


@config_command.command("set")
@_name
@click.argument("value", nargs=-1, metavar="VALUE...")
@_for_studio
@passphrase_file
@click.pass_obj
def config_set(
    home: Path,
    chosen: Setting,
    value: tuple[str, ...],
    for_studio: bool,
    passphrase_file: Path | None,
) -> None:
    """Give SETTING the value VALUE: on this workstation, or in the whole studio.

    It counts without anything being started again. Words of one value need no quotes.

    \b
    Examples:
      lucidnode config set cache.limit 500GB
      lucidnode config set office.peers 192.168.7.20:7450,192.168.7.21:7450
      lucidnode config set uploads.rate 40Mbit/s 08:00-19:00
      lucidnode config set quiet.on-battery on --global
    """
    if not value:
        raise click.UsageError(f"say what {chosen.name} is to be: {chosen.takes}")
    try:
        wanted = chosen.notation.read(" ".join(value))
    except BadSetting as error:
        raise click.BadParameter(str(error), param_hint=chosen.name) from error
    if for_studio:
        _change_for_studio(home, chosen, chosen.notation.show(wanted), passphrase_file)
    elif chosen.of_studio and wanted != chosen.default:
        raise click.UsageError(
            f"{chosen.name} is for an owner to turn on, for the whole studio: add --global"
        )
    elif chosen.effect == MOVED:
        move_cache_to(home, wanted)
        _tell_daemon(home)
    else:
        change_config(home, lambda config: chosen.set_in(config, wanted))
        _changed(home, chosen)


@config_command.command("unset")
@_name
@_for_studio
@passphrase_file
@click.pass_obj
def config_unset(
    home: Path, chosen: Setting, for_studio: bool, passphrase_file: Path | None
) -> None:
    """Take back what was set: SETTING has the studio's value again, or its default.

    \b
    Example:
      lucidnode config unset cache.limit
    """
    if for_studio:
        _change_for_studio(home, chosen, None, passphrase_file)
    elif chosen.effect == MOVED:
        move_cache_to(home, None)
        _tell_daemon(home)
    else:
        change_config(home, chosen.unset_in)
        _changed(home, chosen)


def _changed(home: Path, chosen: Setting) -> None:
    _tell_daemon(home)
    known = _Known.of(home)
    when = chosen.effect.replace(AT_ONCE, "now")
    value = chosen.shown_in(known.effective)
    from_studio = (
        ", as an owner has set it for the studio" if known.where_from(chosen) == _STUDIO else ""
    )
    click.echo(f"{chosen.name} is {value}{from_studio} {when}", err=True)


def _change_for_studio(
    home: Path, chosen: Setting, text: str | None, passphrase_file: Path | None
) -> None:
    if chosen.of_one:
        raise click.UsageError(
            f"{chosen.name} is each workstation's own: set it there, without --global"
        )
    mine, socket = unlocked(home, passphrase_file)
    known = asyncio.run(studio_wide.read_settings(home, socket, mine))
    if known.get(chosen.name) == text:
        said = "is that already" if text is not None else "is not set"
        click.echo(f"{chosen.name} {said} for the studio", err=True)
        return

    def change(texts: dict[str, str]) -> dict[str, str]:
        rest = {name: value for name, value in texts.items() if name != chosen.name}
        return rest if text is None else {**rest, chosen.name: text}

    with spinner("writing it into the bucket…"):
        asyncio.run(studio_wide.change_settings(home, socket, mine, change))
    said = f"is {text}" if text is not None else "is not set any more"
    click.echo(
        f"{chosen.name} {said} for the studio, wherever nobody has set it for one workstation; "
        "those that run know it in seconds",
        err=True,
    )


def _tell_daemon(home: Path) -> None:
    async def tell() -> None:
        async with DaemonClient(home / SOCKET_FILE) as client:
            await client.orders.give(SETTINGS_CHANGED)

    with contextlib.suppress(DaemonUnreachable):  # what it reads when it starts is the new value
        asyncio.run(tell())


_STUDIO = "the studio"


@dataclass(frozen=True, slots=True)
class _Known:
    """Settings as they lie here: this workstation's, the studio's by name, and what comes of both."""

    own: NodeConfig
    studio: dict[str, Any]
    effective: NodeConfig

    @classmethod
    def of(cls, home: Path) -> _Known:
        own, texts = load_config(home), load_texts(home)
        return cls(own, of_studio(texts), overlaid(own, texts))

    def where_from(self, found: Setting) -> str:
        if found.is_set_in(self.own):
            return "this workstation"
        return _STUDIO if found.name in self.studio and not found.of_one else "default"

    def facts(self, found: Setting) -> dict[str, Any]:
        """Return *found* for scripts; values are as in node.json: sizes in bytes, None for auto."""
        return {
            "name": found.name,
            "value": found.of(self.effective),
            "default": found.default,
            "from": self.where_from(found),
            "effect": found.effect,
            "takes": found.takes,
            "meaning": found.meaning,
        }
