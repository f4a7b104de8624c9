"""What Tab offers in bash, which puts it in the command line as it comes, and runs it with Enter."""

from __future__ import annotations

import os
import re
import shlex

from click.shell_completion import BashComplete, CompletionItem

_WORDS = re.compile(r"[\w .,:@%+=-]*")
"""What means nothing but itself, whatever quotes it stands in."""


class QuotingBash(BashComplete):
    """Names of projects are others' to choose: what a shell would run, or take for several words, is quoted."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Return what may come next. Within quotes that the person has opened, only what means nothing else."""
        items = super().get_completions(args, incomplete)
        if _is_quote_open(os.environ.get("COMP_WORDS", "")):
            return [each for each in items if each.type != "plain" or _WORDS.fullmatch(each.value)]
        return [
            CompletionItem(shlex.quote(each.value), each.type, each.help)
            if each.type == "plain"
            else each
            for each in items
        ]


def _is_quote_open(words: str) -> bool:
    try:
        shlex.split(words)
    except ValueError:
        return True
    return False
