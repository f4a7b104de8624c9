"""Commands that bring the command line into a person's shell: completion, and man pages."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from lucidnode.cli.man_pages import man_pages

_VARIABLE = "_LUCIDNODE_COMPLETE"
"""By which a shell asks this program what may come next; click derives it from the name."""


@click.command("completion", short_help="Print what completes commands in your shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print a script that has SHELL complete commands, options, settings and paths.

    Shells load it by themselves from where the examples put it, if that directory is there; zsh, if
    ~/.zfunc is in its fpath before compinit.

    \b
    Examples:
      lucidnode completion bash > ~/.local/share/bash-completion/completions/lucidnode
      lucidnode completion zsh > ~/.zfunc/_lucidnode
      lucidnode completion fish > ~/.config/fish/completions/lucidnode.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(context.find_root().command, {}, "lucidnode", _VARIABLE).source())


@click.command("manual", short_help="Write the man pages of all commands.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.pass_context
def manual_command(context: click.Context, directory: Path) -> None:
    """Write a man page for each command into DIRECTORY, from what --help says.

    `man lucidnode-mount` then shows that of `lucidnode mount`.

    \b
    Example:
      lucidnode manual ~/.local/share/man/man1
    """
    root = context.find_root().command
    pages = man_pages(root, version("lucidnode"))
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (directory / name).write_text(text, encoding="utf-8")
    click.echo(f"{len(pages)} pages are in {directory}", err=True)
