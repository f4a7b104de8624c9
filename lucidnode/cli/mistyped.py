"""What somebody may have meant who typed a command that does not exist, or its words in another order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from difflib import get_close_matches

import click

_NO_COMMAND = re.compile(r"No such command '(.+?)'\.?(?: .*)?", re.DOTALL)
_NO_OPTION = re.compile(r"No such option '?(-[^' ]+?)'?\.?(?: .*)?", re.DOTALL)
_ALIKE_SHARE = 0.7
"""How alike the letters of two options are at least, of which one may be meant; dashes make any two alike."""

_OTHERWISE = {
    "": {
        "start": "daemon",
        "stop": "exit",
        "quit": "exit",
        "login": "join",
        "link": "mount",
        "unlink": "umount",
        "ls": "project list",
        "info": "status",
        "diagnose": "doctor",
        "check": "doctor",
        "prefetch": "warm",
        "warmup": "warm",
        "unpin": "pin unset",
        "settings": "config",
        "users": "members list",
        "version": "--version",
    },
    "project": {"remove": "delete", "rm": "delete", "ls": "list", "new": "create", "add": "create"},
    "members": {"remove": "revoke", "rm": "revoke", "ls": "list"},
    "config": {"get": "explain", "show": "list", "reset": "unset"},
    "pin": {"add": "set", "remove": "unset", "rm": "unset"},
    "snapshot": {"ls": "list", "new": "create", "add": "create"},
    "lock": {"ls": "list", "add": "take"},
}
"""What people who come from other tools type, by the command before it, and what it is called here."""

_ELSEWHERE = {
    ("cache", "limit"): "config set cache.limit",
    ("cache", "size"): "config set cache.limit",
    ("cache", "set"): "config set cache.limit",
    ("cache", "pin"): "pin set",
    ("members", "add"): "invite",
    ("members", "invite"): "invite",
}

_USUAL = {"config": "set", "pin": "set", "snapshot": "create", "lock": "take", "quota": "set"}
"""The command of a group that people mean who leave it out."""

_SHORT = {
    "-j": "--json",
    "-f": "--follow",
    "-y": "--yes",
    "-p": "--passphrase-file",
    "-r": "--role",
}

_INSTEAD = {
    ("project delete", "--yes"): "what everybody loses is deleted by its name, "
    "as in `lucidnode project delete demo --name-again demo`",
}
"""What is said of options that a command has not, by the command, where others have them."""


def what_was_meant(error: click.UsageError, typed: Sequence[str]) -> str:
    """Return the words of *error* with what may have been meant by *typed*: the arguments as given."""
    context = error.ctx
    words = " ".join(error.format_message().split()).removesuffix(".")
    if context is None:
        return words
    if option := _NO_OPTION.fullmatch(words):
        words = _option_meant(context, option[1], typed)
    elif isinstance(context.command, click.Group) and (unknown := _NO_COMMAND.fullmatch(words)):
        words = f"No such command '{unknown[1]}'"
        words += _command_meant(context, context.command, unknown[1], typed)
    return f"{words} (see `{context.command_path} --help`)"


def _command_meant(
    context: click.Context, group: click.Group, unknown: str, typed: Sequence[str]
) -> str:
    where = " ".join(context.command_path.split()[1:])
    known = group.list_commands(context)
    behind = list(typed[typed.index(unknown) + 1 :]) if unknown in typed else []
    if not where and unknown == "lucidnode":
        return f": say it once, as in `{_line(behind)}`"
    if not where and unknown == "help":
        return f". Did you mean '{' '.join(['lucidnode', *behind[:1], '--help'])}'?"
    if other := _ELSEWHERE.get((where, unknown)):
        return f". Did you mean '{_line([*other.split(), *behind])}'?"
    like = get_close_matches(unknown, known, n=1)
    if meant := _OTHERWISE.get(where, {}).get(unknown) or next(iter(like), None):
        return f". Did you mean '{meant}'?"
    swapped = [word for word in behind if word in known]
    if where and swapped:
        rest = [unknown, *(word for word in behind if word != swapped[0])]
        return f": what to do comes first, as in `{_line([where, swapped[0], *rest])}`"
    if where in _USUAL and _USUAL[where] in known:
        return f". Did you mean '{_line([where, _USUAL[where], unknown, *behind])}'?"
    return f": `lucidnode {where}` has {', '.join(known)}" if where else ""


def _option_meant(context: click.Context, option: str, typed: Sequence[str]) -> str:
    """Return what to say of an option that is not known there."""
    name = option.partition("=")[0]
    mine = {each for param in context.command.params for each in param.opts}
    where = " ".join(context.command_path.split()[1:])
    if instead := _INSTEAD.get((where, _SHORT.get(name, name))):
        return f"No such option '{option}': {instead}"
    if (long := _SHORT.get(name)) in mine:
        return f"No such option '{option}'. Did you mean '{long}'?"
    if isinstance(context.command, click.Group) and option in typed:
        # Before its command, where only what is for all of them belongs.
        place = typed.index(option)
        behind = [word for word in typed[place + 1 :] if not word.startswith("-")]
        if behind and behind[0] in context.command.list_commands(context):
            line = _line([*typed[:place], *typed[place + 1 :], option])
            return f"{option} belongs to a command, and comes behind it: `{line}`"
    letters = {each.lstrip("-"): each for each in mine if each.startswith("--")}
    alike = get_close_matches(name.lstrip("-"), letters, n=1, cutoff=_ALIKE_SHARE)
    meant = f". Did you mean '{letters[alike[0]]}'?" if alike else ""
    return f"No such option '{option}'{meant}"


def _line(words: Sequence[str]) -> str:
    return " ".join(["lucidnode", *(shlex.quote(word) for word in words)])
