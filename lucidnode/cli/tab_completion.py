"""What Tab offers in bash and fish, where click's own scripts change some names on their way.

bash puts it in the command line as it comes, and runs it with Enter.
"""

from __future__ import annotations

import os
import re
import shlex

from click.shell_completion import BashComplete, CompletionItem, FishComplete

_WORDS = re.compile(r"[\w .,:@%+=-]*")
"""What means nothing but itself, whatever quotes it stands in."""

_BASH = """\
%(complete_func)s() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
        dir) compopt -o dirnames ;;
        file) compopt -o default ;;
        plain) COMPREPLY+=("$value") ;;
        esac
    done < <(IFS=$'\\n' && env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" %(complete_var)s=bash_complete "$1")
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_FISH = """\
function %(complete_func)s
    for each in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) %(prog_name)s)
        set -l offered (string split -m 1 , -- $each)
        switch $offered[1]
            case dir
                __fish_complete_directories $offered[2]
            case file
                __fish_complete_path $offered[2]
            case plain
                string join -- '' $offered[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class WholeFish(FishComplete):
    """A comma ends no name, and no help."""

    source_template = _FISH


class QuotingBash(BashComplete):
    """Names of projects are others' to choose: what a shell would run, or take for several words, is quoted."""

    source_template = _BASH

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
