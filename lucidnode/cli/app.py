"""`lucidnode`: the entry point. Turns every expected error into one line and an exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import click
from click.shell_completion import CompletionItem, add_completion_class

from lucidnode.cli.exit_codes import Exit
from lucidnode.cli.failure import failure
from lucidnode.cli.home import home_of
from lucidnode.cli.mistyped import what_was_meant
from lucidnode.cli.printable import printable
from lucidnode.cli.tab_completion import QuotingBash, WholeFish
from lucidnode.fs.channel.device import built

add_completion_class(QuotingBash)
add_completion_class(WholeFish)

_EXIT_CODES = "\n".join(f"  {code.value:>3}  {code.meaning}" for code in Exit)

_COMMANDS = {
    "init": "studio",
    "invite": "inviting",
    "join": "studio",
    "recovery": "recovery",
    "recover": "recovery",
    "members": "members",
    "devices": "devices",
    "audit": "auditing",
    "leave": "changing_members",
    "keys": "keys",
    "passphrase": "passphrase",
    "credentials": "credentials",
    "bucket": "bucket",
    "project": "project",
    "quota": "quota",
    "mount": "mounting",
    "umount": "unmounting",
    "repair": "repair",
    "fsck": "fsck",
    "history": "history",
    "diff": "history",
    "usage": "usage",
    "export": "exporting",
    "import": "importing",
    "sync": "importing",
    "snapshot": "snapshots",
    "restore": "restoring",
    "undelete": "restoring",
    "clone": "restoring",
    "gc": "collecting",
    "retention": "collecting",
    "mount-process": "mount_process",
    "past-process": "past_mounting",
    "files-process": "opening",
    "open-project": "opening",
    "collect-process": "collector_process",
    "copy-process": "copy_process",
    "answer-process": "answer_process",
    "keep": "keeper",
    "daemon": "daemon",
    "service": "service",
    "exit": "node",
    "doctor": "doctor",
    "support-bundle": "support",
    "status": "node",
    "stats": "stats",
    "log": "log",
    "events": "events",
    "wait": "waiting",
    "webhook": "webhook",
    "gateway": "gateway",
    "peers": "node",
    "savings": "savings",
    "conflicts": "conflicts",
    "lock": "locks",
    "unlock": "workstation_lock",
    "cached": "nearness",
    "warm": "nearness",
    "evict": "nearness",
    "pin": "pins",
    "why": "why",
    "cache": "cache",
    "config": "config",
    "dashboard": "dashboard",
    "completion": "shell",
    "manual": "shell",
}
"""In which module of this package each command is. Only that one is imported: a daemon's worth of
libraries takes half a second to load, and `lucidnode status` needs none of them."""


_THREADS_END_S = 1.0
"""What threads that are still at work get at the end: those that hang in a disk would take for ever."""

_ALSO = {"unmount": "umount"}
"""What a command is called as well, by fingers that never learned the other spelling."""

_HIDDEN = {
    "keep",
    "mount-process",
    "past-process",
    "files-process",
    "open-project",
    "collect-process",
    "copy-process",
    "answer-process",
}
"""Commands that processes start, and no person."""

SECTIONS: dict[str, tuple[str, ...]] = {
    "Studio and members": (
        "init", "invite", "join", "members", "devices", "leave", "audit", "recovery", "recover", "keys", "passphrase",
        "credentials", "bucket",
    ),
    "Projects": (
        "project", "mount", "umount", "quota", "usage", "import", "sync", "export", "fsck", "repair",
    ),
    "As it was": ("history", "diff", "restore", "undelete", "clone", "snapshot", "retention", "gc"),
    "With others": ("events", "wait", "conflicts", "lock", "webhook", "gateway"),
    "What is near": ("cached", "warm", "evict", "pin", "why", "cache", "savings"),
    "This workstation": (
        "status", "doctor", "peers", "stats", "log", "dashboard", "config", "unlock", "service",
        "daemon", "exit", "support-bundle", "completion", "manual",
    ),
}  # fmt: skip
"""How commands stand in the help: what belongs together, and first what comes first."""


class _LazyGroup(click.Group):
    """A group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = formatter.width - 6 - max(map(len, _COMMANDS))
        for title, names in SECTIONS.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl(
                    [(name, each.get_short_help_str(width)) for name, each in found if each]
                )

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        cmd_name: str,
    ) -> click.Command | None:
        cmd_name = _ALSO.get(cmd_name, cmd_name)
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        found = import_module(f"lucidnode.cli.{module}")
        command: click.Command = getattr(found, cmd_name.replace("-", "_") + "_command")
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what may come next, importing no command: who presses Tab waits for this."""
        names = (name for name in _COMMANDS if name not in _HIDDEN and name.startswith(incomplete))
        return [*map(CompletionItem, names), *click.Command.shell_complete(self, ctx, incomplete)]


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:  # click's
    if not wanted or context.resilient_parsing:
        return
    # Imported for this alone: `lucidnode status` needs none of it.
    from lucidnode.cli.output import JSON_VERSION  # noqa: PLC0415
    from lucidnode.node.client.roster_entry import MAX_FORMAT  # noqa: PLC0415
    from lucidnode.node.peers.messages import PROTOCOL  # noqa: PLC0415

    click.echo(
        f"lucidnode, version {version('lucidnode')}, {'with' if built() else 'without'} the kernel channel\n"
        f"formats of the bucket 1 to {MAX_FORMAT}, protocol between workstations {PROTOCOL}, JSON {JSON_VERSION}"
    )
    context.exit()


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"\b\nExit codes:\n{_EXIT_CODES}",
)
@click.option(
    "--home",
    envvar="LUCIDNODE_HOME",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where this workstation keeps its keys, settings and cache. "
    "[env: LUCIDNODE_HOME; default: ~/.local/share/lucidnode]",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version, the formats that it reads and writes, and exit.",
)
@click.pass_context
def cli(context: click.Context, home: Path | None) -> None:
    """One encrypted drive in the cloud that feels local.

    \b
    Start a studio in a folder, and mount its first project:
      lucidnode init file:///srv/studio
      lucidnode project create demo
      lucidnode mount demo ~/demo
    """
    context.obj = home_of(home)


def main() -> NoReturn:
    """Run the command line and exit."""
    # Libraries warn through logging; a person gets one line, and what serves logs (`background`).
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        # Of a group that was asked nothing, click returns the code of its help.
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        _fail("interrupted", Exit.INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message(), err=True)
        sys.exit(Exit.USAGE)
    except click.UsageError as error:
        _fail(what_was_meant(error, sys.argv[1:]), Exit.USAGE)
    except click.ClickException as error:
        _fail(error.format_message(), Exit.FAILED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _end(Exit.FAILED)
    except Exception as error:  # noqa: BLE001  # the outermost place: anything else is a traceback
        _fail(*failure(error))
    _end(code if isinstance(code, int) else Exit.OK)


def _fail(words: str, code: int) -> NoReturn:
    # Advice may have several lines; names in it are others' to choose.
    shown = "\n".join(printable(line) for line in words.split("\n"))
    click.echo(f"lucidnode: {shown}", err=True)
    _end(code)


def _end(code: int) -> NoReturn:
    """End this process, in which all is done: a thread that hangs in a disk does not hold that up."""
    if any(not one.daemon for one in threading.enumerate() if one is not threading.main_thread()):
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
        threading.Thread(target=_end_anyway, args=(code,), daemon=True).start()
    sys.exit(code)


def _end_anyway(code: int) -> NoReturn:
    time.sleep(_THREADS_END_S)  # noqa: TID251  # a thread of its own, and no loop runs any more
    os._exit(code)
