"""Man pages, made from the commands themselves. Pure: commands go in, texts come out.

The macros are those of man(7). What begins with a backslash and a b in a help text is shown as it is
typed, as --help shows it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from lucidnode.cli.exit_codes import Exit

_AS_TYPED = "\b\n"


def man_pages(root: click.Command, version: str) -> dict[str, str]:
    """Return the page of *root* and of each command below it that is shown, by file name."""
    return {
        f"{'-'.join(names)}.1": _page(names, command, context, version)
        for names, command, context in _commands(root, ("lucidnode",), None)
    }


def _commands(
    command: click.Command, names: tuple[str, ...], above: click.Context | None
) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    context = click.Context(command, info_name=names[-1], parent=above)
    yield names, command, context
    if isinstance(command, click.Group):
        for name, below in _shown(command, context):
            yield from _commands(below, (*names, name), context)


def _shown(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield name, command


def _page(
    names: tuple[str, ...], command: click.Command, context: click.Context, version: str
) -> str:
    title = "-".join(names)
    short = command.get_short_help_str(limit=300).rstrip(".")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.TH "{title.upper()}" "1" "" "Lucidnode {_escaped(version)}" "Lucidnode"',
        ".SH NAME",
        f"{_escaped(title)} \\- {_escaped(short)}",
        ".SH SYNOPSIS",
        f"\\fB{_escaped(' '.join(names))}\\fR {_escaped(usage)}",
        ".SH DESCRIPTION",
        *_paragraphs(inspect.cleandoc(command.help or "")),
    ]
    options = [
        found
        for parameter in command.get_params(context)
        if (found := parameter.get_help_record(context)) is not None
    ]
    lines += _listed("OPTIONS", options)
    if isinstance(command, click.Group):
        below = [
            (f"lucidnode-{name}(1)" if len(names) == 1 else f"{title}-{name}(1)", one)
            for name, one in _shown(command, context)
        ]
        lines += _listed("COMMANDS", [(page, one.get_short_help_str(300)) for page, one in below])
    if len(names) == 1:
        lines += _listed("EXIT STATUS", [(str(code.value), code.meaning) for code in Exit])
    else:
        lines += [".SH SEE ALSO", _escaped("-".join(names[:-1]) + "(1)")]
    return "\n".join(lines) + "\n"


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the lines of a help text; those that are shown as typed keep their form."""
    for paragraph in re.split(r"\n{2,}", text):
        if paragraph.startswith(_AS_TYPED):
            yield ".PP"
            yield ".nf"
            yield from map(_line, paragraph.removeprefix(_AS_TYPED).split("\n"))
            yield ".fi"
        else:
            yield ".PP"
            yield _line(" ".join(paragraph.split()))


def _listed(heading: str, rows: list[tuple[str, str]]) -> list[str]:
    if not rows:
        return []
    lines = [f".SH {heading}"]
    for name, text in rows:
        lines += [".TP", f"\\fB{_escaped(name)}\\fR", _line(" ".join(text.split()))]
    return lines


def _line(text: str) -> str:
    """Return *text* as a line that begins with no request of roff."""
    escaped = _escaped(text)
    return f"\\&{escaped}" if escaped[:1] in {".", "'"} else escaped


def _escaped(text: str) -> str:
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    # groff reads Latin-1 unless it is told otherwise, and nobody is sure to tell it.
    return "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in plain)
