"""The documents are a site as well: every page is built, no link is dead, nothing is fetched elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from lab.places import REPOSITORY

_FETCHED = re.compile(
    r'<(?:script|img|iframe)[^>]+src="(https?:[^"]+)"|<link[^>]+stylesheet[^>]+href="(https?:[^"]+)"'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        # Without --quiet, which would hide the warnings from --strict as well.
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", target],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr  # --strict: a dead link or anchor is an error
    return target


def test_every_page_is_built_and_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("index.html"))
    sources = [p for p in (REPOSITORY / "docs").rglob("*.md") if "vectors" not in p.parts]
    assert len(pages) == len(sources)
    assert {each for page in pages for each in _FETCHED.findall(page.read_text("utf-8"))} == set()


def test_whoever_walks_through_the_site_comes_to_every_page_but_single_decisions() -> None:
    def pages(entry: object) -> list[str]:
        """Return those below a title, of a title that is a page's, or of a list of both."""
        match entry:
            case str():
                return [entry]
            case dict():
                return pages(next(iter(entry.values())))
            case list():
                return [page for each in entry for page in pages(each)]
            case _:
                raise AssertionError(entry)

    settings = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text("utf-8"))
    there = {
        str(page.relative_to(REPOSITORY / "docs"))
        for page in (REPOSITORY / "docs").rglob("*.md")
        if page.parent.name not in ("design", "vectors")
    }
    assert set(pages(settings["nav"])) == there | {"design/README.md"}
