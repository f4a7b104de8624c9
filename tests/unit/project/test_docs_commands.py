"""Every command line in the documents is one that this version takes: commands, and their options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from lab.places import REPOSITORY

from lucidnode.cli.app import cli

PAGES = [
    REPOSITORY / "README.md",
    *(
        page
        for page in sorted((REPOSITORY / "docs").rglob("*.md"))
        if "design" not in page.parts  # what was thought of and not built is there as well
    ),
]

_FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(lucidnode (?!\d)[^`\n]+)`")
_LINE = re.compile(r"^\s*(?:\$ |# )?(?:sudo )?(lucidnode .*)$", re.MULTILINE)
_BREAK = re.compile(r"\s*\\\n\s*")
_END = {"|", "&&", "||", ">", "<", "#", ";", "…", "...", "2>&1"}


def command_lines(text: str) -> list[str]:
    """Return what *text* has people type, in blocks and within lines."""
    blocks = [_BREAK.sub(" ", block) for block in _FENCE.findall(text)]
    return [*(line for block in blocks for line in _LINE.findall(block)), *_INLINE.findall(text)]


def words_of(line: str) -> list[str]:
    """Return the arguments of *line*, without the first, up to where the shell's words begin."""
    words = []
    for word in shlex.split(line, comments=False, posix=True)[1:]:
        if word in _END or word.startswith(("<", ">")):
            break
        words.append(word.strip("[]"))
    return words


def unknown_in(line: str) -> str | None:
    """Return what of *line* this version does not know; None if it knows all."""
    try:
        words = words_of(line)
    except ValueError:
        return None  # half a line: prose
    command: click.Command = cli
    context = click.Context(cli, info_name="lucidnode")
    for word in words:
        if word.startswith("-"):
            options = {
                name for each in command.params for name in (*each.opts, *each.secondary_opts)
            }
            options |= {"--help", "-h", "--version"}
            name = word.partition("=")[0]
            if name.startswith("--") and not {*name.split("/")} & options:
                return f"{context.command_path} has no {name}"
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z][a-z-]*", word):
            found = command.get_command(context, word)
            if found is None:
                return f"{context.command_path} has no command {word}"
            command = found
            context = click.Context(found, context, info_name=word)
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_line_of_a_page_is_one_that_is_taken(page: Path) -> None:
    said = {line: unknown_in(line) for line in command_lines(page.read_text("utf-8"))}
    assert {line: words for line, words in said.items() if words} == {}


def test_what_does_not_exist_is_found() -> None:
    page = "Try `lucidnode mount demo ~/demo --fast`.\n\n```\n$ lucidnode projects list\n```\n"
    assert [unknown_in(line) for line in command_lines(page)] == [
        "lucidnode has no command projects",
        "lucidnode mount has no --fast",
    ]
