"""What the documents name exists: a walk through the files must not lead into the void."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lab.places import REPOSITORY

PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CHANGELOG.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]

_SOURCE = re.compile(r"`((?:node|fs|discovery|lucidnode|scripts|tests|docs)/[\w./-]+)`")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_BARE = re.compile(r"`(\w+\.py)\b")
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_file_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    named = [REPOSITORY / path for path in _SOURCE.findall(text)]
    linked = [page.parent / path for path in _LINK.findall(text)]
    missing = [str(path.relative_to(REPOSITORY)) for path in named + linked if not path.exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_module_a_page_names_exists(page: Path) -> None:
    folders = ("node", "fs", "discovery", "lucidnode", "scripts", "tests")
    modules = {path.name for folder in folders for path in (REPOSITORY / folder).rglob("*.py")}
    assert not set(_BARE.findall(page.read_text("utf-8"))) - modules


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_test_a_page_names_exists(page: Path) -> None:
    named = _TEST.findall(page.read_text("utf-8"))
    missing = [
        f"{file}::{name}"
        for file, name in named
        if f"def {name}(" not in (REPOSITORY / file).read_text("utf-8")
    ]
    assert not missing


def test_the_walk_through_the_files_names_both_planes() -> None:
    text = (REPOSITORY / "docs/architecture.md").read_text("utf-8")
    named = {path.split("/")[0] for path in _SOURCE.findall(text)}
    assert {"node", "fs", "discovery"} <= named


def test_every_attacker_has_a_test_and_most_play_against_daemons() -> None:
    text = (REPOSITORY / "docs/security.md").read_text("utf-8")
    table = text.partition("## Attackers\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")][1:]
    for attacker, _tries, _outcome, tests in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)", tests)
        assert named, attacker
        assert not [each for each in named if not (REPOSITORY / each).is_file()], attacker
        assert any("/integration/" in each for each in named), attacker
    known = " / ".join(row[0] for row in rows)
    for words in (
        *("stranger on the LAN", "bucket alone", "thief of credentials", "older log of members"),
        *("put out, in the middle of a stream", "viewer who forges", "member who may write"),
        *("used, withdrawn or has expired", "stands between two", "stolen ticket"),
        *("disk, powered off", "machine that sleeps", "another user of the machine"),
        *("copy of a whole home", "alters the cache", "reaches its ports"),
    ):
        assert words in known, words


def test_guarantees_have_numbers_of_their_own() -> None:
    text = (REPOSITORY / "docs/security.md").read_text("utf-8")
    numbers = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    assert sorted(numbers) == sorted(set(numbers))
