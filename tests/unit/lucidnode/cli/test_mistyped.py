"""What people type instead, and what they are told."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from lucidnode.cli.app import cli
from lucidnode.cli.mistyped import what_was_meant
from lucidnode.cli.mounting import projects_meant


def said_to(home: Path, *typed: str) -> str:
    words = ["--home", str(home), *typed]
    with pytest.raises(click.UsageError) as caught:
        cli.main(words, prog_name="lucidnode", standalone_mode=False)
    return what_was_meant(caught.value, typed)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("mout demo", "Did you mean 'mount'?"),
        ("umunt /drive", "Did you mean 'umount'?"),
        # Nouns and verbs in the other order, or the verb left out.
        ("project demo create", "what to do comes first, as in `lucidnode project create demo`"),
        ("config cache.limit 5GB", "Did you mean 'lucidnode config set cache.limit 5GB'?"),
        ("config set cache.limit=5GB", "did you mean cache.limit?"),
        ("config set cache.limit", "say what cache.limit is to be: a size, such as"),
        ("config set cache.limit 5 GBit", "'5 GBit' is no size"),
        ("why .", ". is a directory: `lucidnode cached .` says how much of it is here"),
        ("snapshot demo", "Did you mean 'lucidnode snapshot create demo'?"),
        ("pin /drive/rushes", "Did you mean 'lucidnode pin set /drive/rushes'?"),
        ("lock /drive/cut.prproj", "Did you mean 'lucidnode lock take /drive/cut.prproj'?"),
        # Words of other programs.
        ("project rm demo", "Did you mean 'delete'?"),
        ("members add bo", "Did you mean 'lucidnode invite bo'?"),
        ("cache limit 5GB", "Did you mean 'lucidnode config set cache.limit 5GB'?"),
        ("config get cache.limit", "Did you mean 'explain'?"),
        ("help mount", "Did you mean 'lucidnode mount --help'?"),
        ("version", "Did you mean '--version'?"),
        ("lucidnode status", "say it once, as in `lucidnode status`"),
        # Options in the wrong place, or by one letter.
        (
            "--json status",
            "--json belongs to a command, and comes behind it: `lucidnode status --json`",
        ),
        ("status -j", "Did you mean '--json'?"),
        ("events -f", "Did you mean '--follow'?"),
        ("status --jsn", "Did you mean '--json'?"),
        ("project delete demo --yes", "`lucidnode project delete demo --name-again demo`"),
        ("project delete demo -y", "`lucidnode project delete demo --name-again demo`"),
        # What nobody can guess is answered by what there is.
        ("retention 30", "`lucidnode retention` has set, show"),
        ("status -q", "No such option '-q' (see `lucidnode status --help`)"),
        ("dashboard --open", "No such option '--open' (see `lucidnode dashboard --help`)"),
        ("zzzzzz", "No such command 'zzzzzz' (see `lucidnode --help`)"),
    ],
)
def test_a_mistake_is_told_what_was_meant(tmp_path: Path, typed: str, said: str) -> None:
    told = said_to(tmp_path, *typed.split())
    assert said in told, told
    assert told.endswith("--help`)")
    assert "\n" not in told


def test_what_a_shell_would_take_apart_is_quoted(tmp_path: Path) -> None:
    assert "lucidnode pin set '/drive/day 12'" in said_to(tmp_path, "pin", "/drive/day 12")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("dmeo", "did you mean demo?"),
        ("two", "did you mean 'two words'?"),
        ("other", "there is demo, 'two words'"),
    ],
)
def test_a_project_that_there_is_not_is_told_which_was_meant(written: str, said: str) -> None:
    assert projects_meant(written, ["demo", "two words"]) == said
    assert "project create" in projects_meant(written, [])
